"""An emergency sweep: what an attacker could have taken, in which order it goes, how long it takes.

Pure. A sweep is no row of its own: it is the rotations that were asked for at one instant for the
reason `sweep`, so the journal of each of them is the journal of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Final

from rotator.domain.credential import Credential, CredentialSpec

DANGER: Final[Mapping[str, int]] = {
    "rotator-token": 0,
    "org-token": 0,
    "deploy-token": 1,
    "wireguard-token": 2,
    "wireguard-peer": 2,
    "ssh-token": 3,
    "machine-exec-token": 3,
    "readonly-token": 4,
}
"""What goes first: whoever holds the first ones can make himself the others."""
_HARMLESS: Final = 5
ALONE: Final = timedelta(seconds=15)
"""How long a replacement without a rollout is taken to last before one has been seen."""
WITH_ROLLOUT: Final = timedelta(seconds=120)
"""The same with a rollout."""


@dataclass(frozen=True)
class Scope:
    """Where the attacker was: in one app, or in an organisation."""

    app: str | None = None
    organization: str | None = None

    def __str__(self) -> str:
        return f"app {self.app}" if self.app else f"organisation {self.organization}"

    def holds(self, spec: CredentialSpec) -> bool:
        """Whether an attacker there could have taken it: an app's machines hold what is delivered
        to it, and its tokens are seen by whoever builds and deploys it."""
        if self.organization is not None:
            return spec.organization == self.organization
        own = spec.params.get("app")
        return own == self.app or any(target.app == self.app for target in spec.targets)


def ordered(credentials: Iterable[Credential]) -> tuple[Credential, ...]:
    """The most dangerous apps first, everything of one app together (it shares a rollout), and
    within an app the most dangerous first."""
    chosen = tuple(credentials)
    worst: dict[str, int] = {}
    for credential in chosen:
        app = _app(credential)
        worst[app] = min(worst.get(app, _HARMLESS), danger(credential.spec.kind))
    return tuple(
        sorted(
            chosen,
            key=lambda c: (worst[_app(c)], _app(c), danger(c.spec.kind), c.name),
        )
    )


def danger(kind: str) -> int:
    """A lower number is worse."""
    return DANGER.get(kind, _HARMLESS)


def _app(credential: Credential) -> str:
    return next((t.app for t in credential.spec.targets if t.app), "")


@dataclass(frozen=True)
class Pending:
    """A replacement that has not ended. `left` is what its own rollout says, where one runs."""

    began: timedelta | None
    rolls_out: bool
    left: timedelta | None = None


def time_left(pending: Sequence[Pending], took: Sequence[timedelta], lanes: int) -> timedelta:
    """How long the sweep still takes, from how long those that have ended took.

    `began` of a pending one is how long it has been at work, None for one that waits for a lane.
    """
    at_work = [p for p in pending if p.began is not None]
    queued = [p for p in pending if p.began is None]
    ends = [_left(p, took) for p in at_work]
    rounds = math.ceil(len(queued) / max(1, lanes))
    longest = max((_typical(p, took) for p in queued), default=timedelta(0))
    return max(ends, default=timedelta(0)) + rounds * longest


def _left(pending: Pending, took: Sequence[timedelta]) -> timedelta:
    if pending.left is not None:
        return pending.left
    return max(_typical(pending, took) - (pending.began or timedelta(0)), timedelta(seconds=2))


def _typical(pending: Pending, took: Sequence[timedelta]) -> timedelta:
    if took:
        return timedelta(seconds=median(t.total_seconds() for t in took))
    return WITH_ROLLOUT if pending.rolls_out else ALONE
