"""What a seed stands for, spelt out: the organisation, the manifest, what people do, what fails.

Everything that chance decides before a world begins is in its `Plan`, so that a failing world can
be made smaller piece by piece. What chance decides meanwhile comes from generators of the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from rotator.domain.policy import Strategy
from rotator.simulator.switches import Switches


class Backend(StrEnum):
    """What the database is like."""

    SQLITE_LIKE = "sqlite-like"
    """In memory; writers take turns, and the worker's clock counts."""
    POSTGRESQL_LIKE = "postgresql-like"
    """In memory; transactions interleave, and the database has a clock of its own."""
    SQLITE = "sqlite"
    """A real SQLite file."""


@dataclass(frozen=True)
class GroupPlan:
    """The machines of one process group. `kind` says what is special about them."""

    name: str
    regions: tuple[str, ...]
    checked: bool = True
    kind: str = "plain"
    down: tuple[int, ...] = ()
    """Which of them are stopped from the beginning."""
    suspended: tuple[int, ...] = ()


@dataclass(frozen=True)
class AppPlan:
    """One app and its machines."""

    name: str
    groups: tuple[GroupPlan, ...]


@dataclass(frozen=True)
class RolloutPlan:
    """How machines are restarted for a credential: a `rollout` table of the manifest."""

    strategy: Strategy = Strategy.ROLLING
    max_unavailable: int | str = 1
    canary: int = 0
    soak_seconds: int = 0
    drain_seconds: int = 0
    rehearsal: bool = False
    on_failure: str = "undo"
    groups: tuple[str, ...] = ()
    asleep: str = "update"
    release: bool = True
    stagger_seconds: int = 5

    def allowed(self, size: int) -> int:
        """How many machines of a group of this size may be away at once (P4)."""
        if self.strategy is Strategy.IMMEDIATE:
            return max(1, size)
        share = self.max_unavailable
        count = share if isinstance(share, int) else size * int(share.rstrip("%")) // 100
        return max(1, min(count, size - 1))


@dataclass(frozen=True)
class CredentialPlan:
    """One credential of the manifest. Targets are (`fly-secret`, app, name) or (`file`, path)."""

    name: str
    kind: str
    app: str
    targets: tuple[tuple[str, ...], ...]
    every_hours: int
    overlap_minutes: int
    rollout: RolloutPlan = field(default_factory=RolloutPlan)
    adopted: bool = False
    """Whether something stands at its place from before."""


@dataclass(frozen=True)
class Act:
    """Something that a person does at a time, in seconds. `dice` decides its details."""

    at: float
    verb: str
    dice: int


@dataclass(frozen=True)
class Kill:
    """The death of a worker: at a time, or at the nth time that a step is at a phase."""

    worker: int
    away_seconds: float
    at: float | None = None
    step: str = ""
    phase: str = ""
    nth: int = 1


@dataclass(frozen=True)
class Freeze:
    """A worker that stands still past its claim, and then goes on as if nothing had been."""

    worker: int
    seconds: float
    step: str
    phase: str
    nth: int


@dataclass(frozen=True)
class Loss:
    """The answer to the nth change that a step makes outside (or its commit) is lost."""

    step: str
    nth: int


@dataclass(frozen=True)
class Jump:
    """A jump of a worker's wall clock, which is set right again after a while."""

    worker: int
    at: float
    seconds: float
    lasting: float


@dataclass(frozen=True)
class Injection:
    """One fault: of the network at the nth request, or of the database at the nth transaction."""

    where: str
    ordinal: int
    kind: str
    seconds: float = 0.0
    status: int = 503


@dataclass(frozen=True)
class Plan:
    """One world. `script` replaces the rates where a world is made smaller."""

    seed: int
    days: float
    backend: Backend
    workers: int
    apps: tuple[AppPlan, ...]
    credentials: tuple[CredentialPlan, ...]
    switches: Switches
    rates: tuple[tuple[str, float], ...] = ()
    database_rates: tuple[tuple[str, float], ...] = ()
    slow_boots: float = 0.0
    acts: tuple[Act, ...] = ()
    kills: tuple[Kill, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    losses: tuple[Loss, ...] = ()
    jumps: tuple[Jump, ...] = ()
    script: tuple[Injection, ...] | None = None

    @property
    def span(self) -> timedelta:
        """How long people and faults are about."""
        return timedelta(days=self.days)

    @property
    def calm(self) -> bool:
        """Whether nothing at all goes wrong by itself."""
        return not (self.rates or self.database_rates or self.kills or self.freezes)
