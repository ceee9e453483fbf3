"""Tokens for `fly ssh`: they log in to machines of one app and change nothing else."""

# ruff: noqa: ARG002 - the base class passes more than this kind needs
from __future__ import annotations

from typing import Final

from rotator.domain.fields import Params
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.kinds.limited_token import DEPLOY, LimitedTokenKind

MUTATIONS: Final = ("issueCertificate", "addWireGuardPeer")


class SshTokenKind(LimitedTokenKind):
    """Two copies of a deploy token, as `fly tokens create ssh` makes it: one to read, one for the
    two mutations that a login needs. Logging in is not tried when it is proven."""

    name = "ssh-token"
    profile = DEPLOY
    narrows = ("window", "until")

    def copies(self, params: Params, organization: int) -> tuple[tuple[c.Caveat, ...], ...]:
        """One copy reads, the other logs in."""
        return ((c.caveat(c.ACTION, c.READ),), (c.caveat(c.MUTATIONS, list(MUTATIONS)),))

    def permits(self, params: Params, access: Access) -> bool:
        """Reading, and the two mutations."""
        return access.action & ~c.READ == 0 or access.mutation in MUTATIONS

    def reads_values(self, params: Params) -> bool:
        """Always: it logs in to machines."""
        return True
