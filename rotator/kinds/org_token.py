"""Organisation tokens: everything in one organisation, or what `narrow` leaves of it."""

from __future__ import annotations

from rotator.kinds.limited_token import LimitedTokenKind


class OrgTokenKind(LimitedTokenKind):
    """With `narrow.apps` it becomes a deploy token of several apps."""

    name = "org-token"
