"""Gather what a report says: ages, courses of rotations, events, and whether the log holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from rotator import __version__
from rotator.cli.auditing import told_of
from rotator.cli.event_filters import query_of
from rotator.cli.evidence.spool import Spool
from rotator.domain.ages import EXCEPTIONS, AgeRow, Standing
from rotator.domain.controls import FILTERS, PCI_LONGEST, Section
from rotator.domain.courses import Course, Period, Tally
from rotator.domain.events import LoggedEvent
from rotator.domain.note import parse_checkpoint
from rotator.domain.ports import Signer, Store
from rotator.domain.posture.trend import Trend
from rotator.engine.audit.verify import Progress, Verification, Walker, verify_log
from rotator.engine.report.read import (
    Reading,
    ages,
    begin,
    courses,
    events_of,
    newest_checkpoint,
    posture_trend,
)

EVENT_SECTIONS: Final = (
    Section.EXCEPTIONS,
    Section.POSTURE,
    Section.CHANGES,
    Section.PEOPLE,
    Section.WORKERS,
)


@dataclass(frozen=True)
class EventLine:
    """One event of a table."""

    sequence: int
    at: datetime
    action: str
    outcome: str
    about: str
    by: str
    reason: str
    detail: str


@dataclass(frozen=True)
class LogState:
    """Whether the log holds, and the newest signed statement over it."""

    verification: Verification
    checkpoint: str | None
    signed_at: datetime | None
    covers: int


@dataclass(frozen=True)
class Report:
    """The evidence of a period."""

    period: Period
    generated_at: datetime
    version: str
    origin: str
    inventory: Sequence[AgeRow]
    courses: Spool[Course]
    tally: Tally
    events: Mapping[Section, Spool[EventLine]]
    log: LogState
    trend: Trend

    @property
    def organizations(self) -> Sequence[str]:
        """Whose credentials these are."""
        return sorted({row.organization for row in self.inventory})

    @property
    def standings(self) -> Counter[Standing]:
        """How many credentials stand how."""
        return Counter(row.standing for row in self.inventory)

    @property
    def open_exceptions(self) -> Sequence[AgeRow]:
        """Credentials that stood outside of their policy at the end."""
        return [row for row in self.inventory if row.standing in EXCEPTIONS]

    @property
    def older_than_pci(self) -> int:
        """Values in use that were older than PCI DSS lets a password be."""
        return sum(row.age is None or row.age > PCI_LONGEST for row in self.inventory)

    def emergencies(self) -> Iterator[Course]:
        """Rotations whose old value had to go at once."""
        return (course for course in self.courses if course.is_emergency)

    def troubled(self) -> Iterator[Course]:
        """Rotations in which something went wrong."""
        return (course for course in self.courses if course.troubles)

    def slowest_revocation(self) -> timedelta | None:
        """The longest that an emergency took until the old value was refused."""
        return max((c.revoked_after for c in self.emergencies() if c.revoked_after), default=None)


async def gather(
    store: Store,
    signer: Signer | None,
    period: Period,
    now: datetime,
    *,
    walker: Walker | None = None,
    progress: Progress | None = None,
) -> Report:
    """Read everything that a report says of a period."""
    verification = await verify_log(store, signer, walker=walker, progress=progress)
    reading = await begin(store, period)
    found, tally = Spool(Course), Tally(period)
    async for course in courses(reading):
        found.add(course)
        tally.add(course)
    async with store.view() as unit:
        origin = (await unit.log_head()).origin
    return Report(
        period=period,
        generated_at=now,
        version=__version__,
        origin=origin,
        inventory=[row async for row in ages(reading)],
        courses=found,
        tally=tally,
        events={section: await _lines(reading, section, now) for section in EVENT_SECTIONS},
        log=await _log_state(store, verification),
        trend=await posture_trend(reading),
    )


async def _lines(reading: Reading, section: Section, now: datetime) -> Spool[EventLine]:
    """The events of a section: those that its command gives."""
    spool = Spool(EventLine)
    async for logged in events_of(reading, query_of(FILTERS[section], now)):
        spool.add(_line(logged))
    return spool


def _line(logged: LoggedEvent) -> EventLine:
    event = logged.event
    uid = f" (uid {event.actor.uid})" if event.actor.uid is not None else ""
    about, detail = told_of(replace(logged, event=replace(event, reason="")))
    return EventLine(
        sequence=logged.sequence,
        at=event.at,
        action=event.action.value,
        outcome=event.outcome.value,
        about=about,
        by=f"{event.actor}{uid}",
        reason=event.reason,
        detail=detail,
    )


async def _log_state(store: Store, verification: Verification) -> LogState:
    checkpoint = await newest_checkpoint(store)
    if checkpoint is None or checkpoint.note is None:
        return LogState(verification, None, None, 0)
    head, _ = parse_checkpoint(checkpoint.note)
    return LogState(verification, checkpoint.note, checkpoint.signed_at, head.size)
