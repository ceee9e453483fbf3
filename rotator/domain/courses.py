"""What became of rotations, from the audit log alone: each row names the events it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.events import Action, LoggedEvent
from rotator.domain.rotation import Mode

COURSE_ACTIONS: Final = "rotation,version.promoted,version.revoked"
MOST_WEEKS: Final = 120
"""A chart of a longer period counts months."""


@dataclass(frozen=True)
class Period:
    """From an instant up to another, which is left out."""

    since: datetime
    until: datetime


class Ending(StrEnum):
    """How a rotation stood at the end of the period."""

    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled back"
    PARKED = "parked"
    UNDER_WAY = "under way"


@dataclass(frozen=True)
class Trouble:
    """Something that went wrong on the way, and the event that tells of it."""

    at: datetime
    what: str
    cause: str
    sequence: int


@dataclass(frozen=True)
class Course:
    """One rotation: who wanted it and why, what became of it, how long it took."""

    rotation: str
    credential: str
    kind: str
    app: str | None
    mode: str
    actor: str
    reason: str
    asked_at: datetime
    promoted_at: datetime | None
    revoked_at: datetime | None
    ended_at: datetime | None
    ending: Ending
    troubles: tuple[Trouble, ...]
    people: tuple[str, ...]
    first: int
    last: int

    @property
    def took(self) -> timedelta | None:
        """From the wish to the end, overlap included."""
        return self.ended_at - self.asked_at if self.ended_at is not None else None

    @property
    def in_use_after(self) -> timedelta | None:
        """From the wish until the new value was the current one."""
        return self.promoted_at - self.asked_at if self.promoted_at is not None else None

    @property
    def revoked_after(self) -> timedelta | None:
        """From the wish until the issuer refused the old value."""
        return self.revoked_at - self.asked_at if self.revoked_at is not None else None

    @property
    def is_emergency(self) -> bool:
        """Whether the old value had to go at once."""
        return self.mode != Mode.NORMAL

    @property
    def how_it_ended(self) -> str:
        """The ending, with the people who brought it about."""
        by = f", {'; '.join(self.people)}" if self.people else ""
        return f"{self.ending}{by}"


_ENDINGS: Final = {
    Action.ROTATION_SUCCEEDED: Ending.SUCCEEDED,
    Action.ROTATION_ROLLED_BACK: Ending.ROLLED_BACK,
    Action.ROTATION_PARKED: Ending.PARKED,
}
_TROUBLES: Final = {
    Action.ROTATION_UNDOING: "turned back",
    Action.ROTATION_PARKED: "parked",
    Action.ROTATION_RECOVERED: "left by a worker that died",
}
_PEOPLE: Final = {
    Action.ROTATION_RETRIED: "let go on by",
    Action.ROTATION_ABORTED: "turned back by",
    Action.ROTATION_UNDO_REQUESTED: "undone by",
}
_NO_END: Final = frozenset({Action.ROTATION_RECOVERED, Action.ROTATION_ABORTED})
"""What follows an end only because it was written late, or was refused."""


def course_of(events: Sequence[LoggedEvent]) -> Course:
    """A rotation from its events of `COURSE_ACTIONS`, oldest first; at least one."""
    first = next(
        (e.event for e in events if e.event.action is Action.ROTATION_REQUESTED), events[0].event
    )
    ended = _end(events)
    return Course(
        rotation=first.rotation_id or "",
        credential=first.credential or "",
        kind=first.kind or "",
        app=first.app,
        mode=_detail(events, "mode") or Mode.NORMAL.value,
        actor=str(first.actor),
        reason=first.reason,
        asked_at=first.at,
        promoted_at=_at(events, Action.VERSION_PROMOTED),
        revoked_at=_at(events, Action.VERSION_REVOKED),
        ended_at=ended.event.at if ended is not None else None,
        ending=_ENDINGS[ended.event.action] if ended is not None else Ending.UNDER_WAY,
        troubles=tuple(_troubles(events)),
        people=tuple(_people(events)),
        first=events[0].sequence,
        last=events[-1].sequence,
    )


def _end(events: Sequence[LoggedEvent]) -> LoggedEvent | None:
    for logged in reversed(events):
        action = logged.event.action
        if action in _ENDINGS:
            return logged
        if action.value.startswith("rotation.") and action not in _NO_END:
            return None
    return None


def _detail(events: Sequence[LoggedEvent], key: str) -> str:
    return next((e.event.detail[key] for e in events if e.event.detail.get(key)), "")


def _at(events: Sequence[LoggedEvent], action: Action) -> datetime | None:
    return next((e.event.at for e in events if e.event.action is action), None)


def _troubles(events: Sequence[LoggedEvent]) -> list[Trouble]:
    return [
        Trouble(
            logged.event.at,
            _TROUBLES[logged.event.action],
            logged.event.detail.get("cause", ""),
            logged.sequence,
        )
        for logged in events
        if logged.event.action in _TROUBLES
    ]


def _people(events: Sequence[LoggedEvent]) -> list[str]:
    told = [(_PEOPLE.get(e.event.action), e.event.actor) for e in events]
    return list(dict.fromkeys(f"{did} {actor}" for did, actor in told if did is not None))


def bin_start(at: datetime, *, monthly: bool) -> date:
    """The Monday of its week, or the first of its month."""
    day = at.astimezone(UTC).date()
    return day.replace(day=1) if monthly else day - timedelta(days=day.weekday())


def is_monthly(period: Period) -> bool:
    """Whether the bins of a period are months."""
    return period.until - period.since > timedelta(weeks=MOST_WEEKS)


def bin_days(period: Period) -> Iterator[date]:
    """The first day of each week or month that a period has a part of."""
    monthly = is_monthly(period)
    last = bin_start(period.until - timedelta(microseconds=1), monthly=monthly)
    day = bin_start(period.since, monthly=monthly)
    while day <= last:
        yield day
        later = day + timedelta(days=32 if monthly else 7)
        day = later.replace(day=1) if monthly else later


@dataclass
class Tally:
    """What is counted of the rotations of a period as they are gone through."""

    period: Period
    endings: Counter[Ending] = field(default_factory=Counter)
    bins: dict[date, Counter[Ending]] = field(default_factory=dict)
    in_use_after: list[timedelta] = field(default_factory=list)
    emergencies: int = 0
    troubled: int = 0

    def __post_init__(self) -> None:
        self.bins = {day: Counter() for day in bin_days(self.period)}

    @property
    def monthly(self) -> bool:
        """Whether the bins are months."""
        return is_monthly(self.period)

    def add(self, course: Course) -> None:
        """Count one."""
        self.endings[course.ending] += 1
        self.emergencies += course.is_emergency
        self.troubled += bool(course.troubles)
        if course.in_use_after is not None:
            self.in_use_after.append(course.in_use_after)
        at = max(course.ended_at or course.asked_at, self.period.since)
        found = self.bins.get(bin_start(at, monthly=self.monthly))
        if found is not None:
            found[course.ending] += 1

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.endings.values())

    def share_within(self, share: float) -> timedelta | None:
        """In what time that share of the new values was in use."""
        if not self.in_use_after:
            return None
        last = len(self.in_use_after) - 1
        return sorted(self.in_use_after)[min(int(len(self.in_use_after) * share), last)]
