"""When and how a credential is rotated: schedule, window, overlap and rollout."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum


class Missed(StrEnum):
    """What to do with a rotation whose time passed while rotator could not run it."""

    CATCH_UP = "catch-up"
    NEXT_WINDOW = "next-window"
    ALERT = "alert"


class Mend(StrEnum):
    """What to do about what somebody changed or took away behind rotator's back."""

    ROTATE = "rotate"
    REPORT = "report"


class OnFailure(StrEnum):
    """What a rollout does when a machine does not become healthy."""

    UNDO = "undo"
    PAUSE = "pause"
    CONTINUE = "continue"


class Strategy(StrEnum):
    """How an app's machines come to a new value."""

    ROLLING = "rolling"
    CANARY = "canary"
    IMMEDIATE = "immediate"
    BLUE_GREEN = "blue-green"
    NEXT_START = "next-start"
    NEXT_RELEASE = "next-release"
    NONE = "none"


WAITING_STRATEGIES = frozenset({Strategy.NEXT_START, Strategy.NEXT_RELEASE})
"""Strategies that leave running machines alone and watch for what happens to them anyway."""


class Order(StrEnum):
    """Which machines of a group go first: a region after the other, or one of each in turn."""

    REGION = "region"
    SPREAD = "spread"


class Asleep(StrEnum):
    """What becomes of machines that are down: updated as they are, or left until they start."""

    UPDATE = "update"
    NEXT_START = "next-start"


@dataclass(frozen=True)
class Window:
    """A recurring time in which rotations may start: on `days` (0 = Monday) at `start`, for `span`.

    The span may cross midnight and be as long as a week; wall-clock times are those of `zone`
    (an IANA name), also across daylight saving changes.
    """

    days: frozenset[int]
    start: time
    span: timedelta
    zone: str = "UTC"


@dataclass(frozen=True)
class Blackout:
    """A stretch of time, [start, end) in UTC, in which nothing starts on schedule."""

    start: datetime
    end: datetime
    label: str = ""


@dataclass(frozen=True)
class Policy:
    """Schedule of one credential. Exactly one of `every` and `cron`, or neither: manual only.

    `on_gone` is for a value that the issuer or a target no longer holds, `on_drift` for a target
    that holds somebody else's.
    """

    every: timedelta | None = None
    cron: str | None = None
    zone: str = "UTC"
    window: Window | None = None
    blackouts: tuple[Blackout, ...] = ()
    jitter: timedelta = timedelta(0)
    overlap: timedelta = timedelta(hours=24)
    max_age: timedelta | None = None
    missed: Missed = Missed.CATCH_UP
    on_gone: Mend = Mend.ROTATE
    on_drift: Mend = Mend.REPORT


@dataclass(frozen=True)
class Share:
    """A number of machines, absolute or as a percentage of a group."""

    count: int | None = None
    percent: int | None = None

    def of(self, total: int) -> int:
        """How many of `total` (rounded down for a percentage), never less than one."""
        if self.count is not None:
            return max(1, self.count)
        return max(1, total * (self.percent or 0) // 100)

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{self.percent}%"


@dataclass(frozen=True)
class Probe:
    """A request of rotator's own to a machine over the private network, after its checks pass."""

    port: int
    path: str = "/"
    status: int = 200
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class Rehearsal:
    """Boot a disposable machine with the new value first. `command` is run in it where given."""

    command: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=60)


@dataclass(frozen=True)
class DisruptionBudget:
    """How many machines of the whole organisation rotator may have out of service: at once in all,
    in one app, in one region; and how many it may restart within an hour. None is no limit."""

    at_once: int | None = None
    per_app: int | None = None
    per_region: int | None = None
    per_hour: int | None = None

    @property
    def limited(self) -> bool:
        """Whether it forbids anything."""
        return any(v is not None for v in vars(self).values())


@dataclass(frozen=True)
class RolloutPolicy:
    """How an app's machines are restarted. Times are spans; `canary` counts machines.

    `groups` are the process groups that read the value, empty for all. `smoke` is how long a
    machine without any health check has to stay up to count as healthy (flyctl's smoke check is as
    long). `soak` is how long the
    machines of a wave have to stay healthy before the next one, `canary_soak` the same for a
    canary. `max_wait` is when a wait for machines that nobody restarts is told; `deadline` when
    `next-release` restarts them itself.
    """

    strategy: Strategy = Strategy.ROLLING
    groups: tuple[str, ...] = ()
    max_unavailable: Share = field(default_factory=lambda: Share(percent=33))
    allow_single: bool = False
    order: Order = Order.REGION
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    stagger: timedelta = timedelta(seconds=10)
    canary: int = 0
    canary_soak: timedelta = timedelta(seconds=30)
    smoke: timedelta = timedelta(seconds=10)
    soak: timedelta = timedelta(0)
    drain: timedelta = timedelta(0)
    probe: Probe | None = None
    rehearsal: Rehearsal | None = None
    asleep: Asleep = Asleep.UPDATE
    start_timeout: timedelta = timedelta(minutes=5)
    health_timeout: timedelta = timedelta(minutes=5)
    on_failure: OnFailure = OnFailure.UNDO
    failure_budget: Share | None = None
    max_wait: timedelta = timedelta(days=7)
    deadline: timedelta = timedelta(days=7)
    max_rollouts_per_day: int | None = None
    coalesce: timedelta = timedelta(minutes=15)
    release: bool = True
    disruption: DisruptionBudget = field(default_factory=DisruptionBudget)

    @property
    def canaries(self) -> int:
        """How many machines of a group go first, alone."""
        return max(1, self.canary) if self.strategy is Strategy.CANARY else self.canary
