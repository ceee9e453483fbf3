"""Deploy tokens: limited access tokens of one app, old and new side by side for a while."""

from __future__ import annotations

from rotator.kinds.limited_token import APP_NARROWS, DEPLOY, LimitedTokenKind


class DeployTokenKind(LimitedTokenKind):
    """A token that may do everything to one app. Fly also lets it build and reach the app's
    machines by WireGuard, which is why what it may do to the organisation is left to Fly."""

    name = "deploy-token"
    profile = DEPLOY
    narrows = APP_NARROWS
