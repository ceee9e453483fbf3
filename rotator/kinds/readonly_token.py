"""Read-only tokens of an organisation."""

# ruff: noqa: ARG002 - the base class passes more than this kind needs
from __future__ import annotations

from rotator.domain.fields import Params
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.kinds.limited_token import LimitedTokenKind


class ReadonlyTokenKind(LimitedTokenKind):
    """An organisation token that may only read, as `fly tokens create readonly` makes it."""

    name = "readonly-token"
    narrows = ("apps", "window", "until")

    def copies(self, params: Params, organization: int) -> tuple[tuple[c.Caveat, ...], ...]:
        """The organisation once more, to read."""
        return ((c.organization(organization, c.READ),),)

    def permits(self, params: Params, access: Access) -> bool:
        """Reading."""
        return access.action & ~c.READ == 0

    def reads_values(self, params: Params) -> bool:
        """Never: the API shows digests only."""
        return False
