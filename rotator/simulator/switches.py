"""What Fly's documents leave open, as switches: a client must be right whichever way they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Switches:
    """The uncertain behaviours of the simulated Fly. They may be changed at any time."""

    update_of_stopped_starts: bool = False
    """An update without `skip_launch` boots a machine that was stopped."""
    restart_takes_secrets: bool = False
    """The restart call boots with the newest secrets instead of those it ran with."""
    start_takes_secrets: bool = True
    """Starting a stopped machine boots with the newest secrets, not those of its last update."""
    revocation_lag_seconds: float = 0.0
    """How long a revoked token is still accepted."""
    list_lag_seconds: float = 0.0
    """How long a new or revoked token, or a new peer, is missing from lists."""
    retry_after_on_429: bool = False
    """A 429 names its pause in a Retry-After header."""
    equal_value_keeps_digest_date: bool = True
    """Setting a secret to the value that it has leaves its `updated_at` alone."""
    min_secrets_version_unknown: Literal["refuse", "accept"] = "refuse"
    """What an update with a `min_secrets_version` that the app has not reached gets."""
    app_actions_share_bucket: bool = True
    """All actions on one app count against one rate limit, not one limit for each action. Off in
    the simulator that is served, since flyctl could not live with it."""
    org_token_list_has_app_tokens: bool = True
    """An organization's list of tokens also shows those that are limited to one app."""
    tokens_have_discharges: bool = True
    """A new token needs the word of Fly's login service, and comes with its discharge."""
    deploy_tokens_have_features: bool = True
    """A deploy token may also handle WireGuard peers and remote builders."""
    tokens_may_list_members: bool = True
    """A limited token may list the members of its organization."""
    tokens_see_personal_tokens: bool = False
    """A limited token may list the personal tokens of whoever made it."""
    leavers_tokens_are_revoked: bool = False
    """Removing a member revokes the tokens that they made (Fly's own page on removing members has
    that as a step for people)."""
    clock_ahead_seconds: float = 0.0
    """How far the time in the Date header is ahead of the caller's."""
    update_keeps_snapshot: bool = False
    """Whether a suspended machine that is updated without a launch stays suspended, with its old
    memory (MACHINES.md 9: verify the state after, else stop)."""
