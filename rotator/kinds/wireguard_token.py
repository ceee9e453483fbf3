"""Tokens that manage the WireGuard peers of an organisation."""

# ruff: noqa: ARG002 - the base class passes more than this kind needs
from __future__ import annotations

from rotator.domain.fields import Params
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.kinds.limited_token import LimitedTokenKind


class WireguardTokenKind(LimitedTokenKind):
    """An organisation token for its peers, which may read the rest but no app, as
    `fly tokens create wireguard` makes it. No peer is made when it is proven."""

    name = "wireguard-token"
    narrows = ("mutations", "actions", "window", "until")

    def copies(self, params: Params, organization: int) -> tuple[tuple[c.Caveat, ...], ...]:
        """No app; of the features only this one; else reading."""
        inner = [c.apps({}), c.caveat(c.FEATURE_SET, {"wg": c.ALL_ACTIONS})]
        return ((c.caveat(c.IF_PRESENT, inner, c.READ),),)

    def permits(self, params: Params, access: Access) -> bool:
        """Peers, and reading what is neither an app nor another feature."""
        if access.app is not None:
            return False
        if access.feature is not None:
            return access.feature == "wg"
        return access.action & ~c.READ == 0

    def reads_values(self, params: Params) -> bool:
        """Never: a peer is in the network, and no value is there."""
        return False
