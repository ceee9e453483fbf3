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


class OnFailure(StrEnum):
    """What a rollout does when a machine does not become healthy."""

    UNDO = "undo"
    PAUSE = "pause"
    CONTINUE = "continue"


class RolloutMode(StrEnum):
    """Whether machines are restarted after a delivery."""

    ROLLING = "rolling"
    NONE = "none"


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
    """Schedule of one credential. Exactly one of `every` and `cron`, or neither: manual only."""

    every: timedelta | None = None
    cron: str | None = None
    zone: str = "UTC"
    window: Window | None = None
    blackouts: tuple[Blackout, ...] = ()
    jitter: timedelta = timedelta(0)
    overlap: timedelta = timedelta(hours=24)
    max_age: timedelta | None = None
    missed: Missed = Missed.CATCH_UP


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
class RolloutPolicy:
    """How an app's machines are restarted. Times are spans; `canary` counts machines."""

    mode: RolloutMode = RolloutMode.ROLLING
    max_unavailable: Share = field(default_factory=lambda: Share(percent=33))
    stagger: timedelta = timedelta(seconds=10)
    canary: int = 0
    soak: timedelta = timedelta(seconds=0)
    start_timeout: timedelta = timedelta(minutes=5)
    health_timeout: timedelta = timedelta(minutes=5)
    on_failure: OnFailure = OnFailure.UNDO
