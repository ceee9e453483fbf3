"""What rotator's own database says of apps: which secrets it looks after, and what is under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.policy import Policy, Strategy
from rotator.domain.ports import Store
from rotator.domain.posture.running import LastRollout, OwnRecord, TrackedSecret
from rotator.domain.rotation import ACTIVE, OPEN_ROLLOUTS, Rollout, RolloutState

_FLY_SECRET: Final = "fly-secret"  # noqa: S105 - a type of target
_ENDED: Final = frozenset({RolloutState.SUCCEEDED, RolloutState.PARTIAL, RolloutState.FAILED})
_RESTARTING: Final = frozenset(
    {Strategy.ROLLING, Strategy.CANARY, Strategy.IMMEDIATE, Strategy.BLUE_GREEN}
)
SLACK: Final = timedelta(days=7)
"""How much later than its schedule a rotation may come: windows and blackouts hold it up."""
MOST: Final = 10_000
"""Rotations and rollouts that are looked at. Far more than can be under way."""


@dataclass(frozen=True)
class OwnBook:
    """All that is the same for every app."""

    tracked: Mapping[str, Mapping[str, TrackedSecret]]
    under_way: frozenset[str]

    def credentials(self) -> Mapping[tuple[str, str], str]:
        """Which credential is delivered to a secret, by app and name."""
        return {
            (app, name): secret.credential
            for app, secrets in self.tracked.items()
            for name, secret in secrets.items()
        }


async def open_book(store: Store) -> OwnBook:
    """Read it once for all apps."""
    async with store.view() as unit:
        managed = await unit.credentials(status=CredentialStatus.MANAGED)
        active = {each.credential_id for each in await unit.rotations(states=ACTIVE, limit=MOST)}
        rollouts = await unit.rollouts(states=OPEN_ROLLOUTS, limit=MOST)
    tracked: dict[str, dict[str, TrackedSecret]] = defaultdict(dict)
    under_way = {each.app for each in rollouts}
    for credential in managed:
        for target in credential.spec.targets:
            app, name = target.params.get("app"), target.params.get("name")
            if target.type == _FLY_SECRET and isinstance(app, str) and isinstance(name, str):
                tracked[app][name] = _tracked(credential)
            if credential.id in active and target.app is not None:
                under_way.add(target.app)
    return OwnBook(tracked, frozenset(under_way))


async def own_record(store: Store, book: OwnBook, app: str) -> OwnRecord:
    """What is known of one app."""
    async with store.view() as unit:
        ended = await unit.rollouts(app=app, states=_ENDED, limit=1)
    return OwnRecord(
        tracked=book.tracked.get(app, {}),
        under_way=app in book.under_way,
        last_rollout=_last(ended[0]) if ended else None,
    )


def _tracked(credential: Credential) -> TrackedSecret:
    spec = credential.spec
    return TrackedSecret(spec.name, _max_age(spec.policy), spec.observed)


def _max_age(policy: Policy) -> timedelta | None:
    """As the policy says, else as its schedule implies; None where it says nothing of age."""
    if policy.max_age is not None:
        return policy.max_age
    return policy.every + policy.jitter + SLACK if policy.every is not None else None


def _last(rollout: Rollout) -> LastRollout | None:
    """None of one that was to restart nothing."""
    if rollout.policy.strategy not in _RESTARTING:
        return None
    return LastRollout(
        rollout.id,
        rollout.secrets_version,
        rollout.started_at,
        failed=rollout.state is RolloutState.FAILED,
        groups=rollout.policy.groups,
    )
