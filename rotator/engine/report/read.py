"""Read the evidence of a period, a page of events in memory at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from rotator.domain.ages import LIFE_ACTIONS, AgeRow, Life, LifeReader, age_row, life_of
from rotator.domain.courses import COURSE_ACTIONS, Course, Period, course_of
from rotator.domain.credential import Credential, CredentialStatus, VersionState
from rotator.domain.events import Action, LoggedEvent
from rotator.domain.ports import Checkpoint, EventQuery, Store, Unit
from rotator.domain.posture.trend import LOOK_ACTION, TREND_ACTIONS, Trend

PAGE: Final = 1000
LOOKS_BEFORE: Final = 50
"""So many looks before the period are gone through for the last one of each organisation."""
MOST_OF_ONE: Final = 2000
"""No rotation has more events of its course, and no credential more in the life of a value."""
LOOKED_AT: Final = 20
MOST_WALKED: Final = 50_000
"""So many events are gone through for the lives of all credentials at once."""


@dataclass(frozen=True)
class Reading:
    """A period, and the log as it was when the report began: what comes later is not in it."""

    store: Store
    period: Period
    size: int


async def begin(store: Store, period: Period) -> Reading:
    """Fix where the log ends."""
    async with store.view() as unit:
        return Reading(store, period, (await unit.log_head()).size)


async def newest_checkpoint(store: Store) -> Checkpoint | None:
    """The newest signed statement over the log."""
    async with store.view() as unit:
        return await unit.newest_checkpoint()


async def events_of(
    reading: Reading, query: EventQuery, *, from_beginning: bool = False
) -> AsyncIterator[LoggedEvent]:
    """The period's events that fit a filter, newest first; or all up to its end."""
    query = replace(
        query,
        since=None if from_beginning else reading.period.since,
        until=reading.period.until,
        before=reading.size + 1,
        limit=PAGE,
    )
    while True:
        async with reading.store.view() as unit:
            page = await unit.events(query)
        for logged in page:
            yield logged
        if len(page) < PAGE:
            return
        query = replace(query, before=page[-1].sequence)


async def posture_trend(reading: Reading) -> Trend:
    """How findings came, went and stood."""
    trend = Trend(reading.period)
    async for logged in events_of(reading, EventQuery(action=TREND_ACTIONS)):
        trend.add(logged.event)
    query = EventQuery(
        action=LOOK_ACTION,
        until=reading.period.since,
        before=reading.size + 1,
        limit=LOOKS_BEFORE,
    )
    async with reading.store.view() as unit:
        for logged in await unit.events(query):
            trend.begin_with(logged.event)
    return trend


async def courses(reading: Reading) -> AsyncIterator[Course]:
    """Every rotation that something was told of in the period, as it stood at its end; the newest
    wish first. Only those that are not told to their beginning are held in memory."""
    open_: dict[str, list[LoggedEvent]] = {}
    async for logged in events_of(reading, EventQuery(action=COURSE_ACTIONS)):
        rotation = logged.event.rotation_id
        if rotation is None:
            continue
        open_.setdefault(rotation, []).append(logged)
        if logged.event.action is Action.ROTATION_REQUESTED:
            yield course_of(open_.pop(rotation)[::-1])
    for rotation in sorted(open_, reverse=True):
        told = open_[rotation][::-1]
        yield course_of([*await _before(reading, rotation, told[0].sequence), *told])


async def _before(reading: Reading, rotation: str, sequence: int) -> list[LoggedEvent]:
    """What was told of a rotation before the period."""
    query = EventQuery(
        rotation_id=rotation, action=COURSE_ACTIONS, before=sequence, limit=MOST_OF_ONE
    )
    async with reading.store.view() as unit:
        return list(await unit.events(query))[::-1]


async def ages(reading: Reading) -> AsyncIterator[AgeRow]:
    """Every credential that was tracked at the end of the period, by name."""
    async with reading.store.view() as unit:
        tracked = await unit.credentials()
    known = {c.name: c for c in tracked if c.created_at < reading.period.until}
    lives = await _recent_lives(reading, known)
    for name, credential in known.items():
        life = lives.get(name)
        if life is None:
            async with reading.store.view() as unit:
                life = await _life(unit, reading, credential)
        yield age_row(credential, life, reading.period.until)


async def _recent_lives(reading: Reading, known: Mapping[str, Credential]) -> Mapping[str, Life]:
    """What the newest events tell of credentials: most were rotated not long ago. Those of which
    they do not tell all are left out, and asked for one by one."""
    readers = {name: LifeReader() for name in known}
    told: dict[str, Life] = {}
    walked = 0
    async for logged in events_of(reading, EventQuery(action=LIFE_ACTIONS), from_beginning=True):
        walked += 1
        name = logged.event.credential or ""
        reader = readers.get(name)
        if reader is not None:
            reader.add(logged)
            managed = reader.managed or known[name].status is CredentialStatus.MANAGED
            if reader.has_value and (managed or reader.managed is not None):
                told[name] = readers.pop(name).life
        if not readers or walked >= MOST_WALKED:
            break
    return told


async def _life(unit: Unit, reading: Reading, credential: Credential) -> Life:
    """What the log tells of a credential; where that is in an archive, the inventory's own word."""
    query = EventQuery(
        credential=credential.name,
        action=LIFE_ACTIONS,
        until=reading.period.until,
        before=reading.size + 1,
        limit=LOOKED_AT,
    )
    found = await unit.events(query)
    life = life_of(found)
    if life.version is None and len(found) == LOOKED_AT:
        life = life_of(await unit.events(replace(query, limit=MOST_OF_ONE)))
    if life.version is not None or not await unit.archives():
        return life
    for version in reversed(await unit.versions(credential.id)):
        issued = version.issued
        born = version.promoted_at or (issued.created_at if issued and version.adopted else None)
        used = version.state not in (VersionState.PENDING, VersionState.DISCARDED)
        if used and version.created_at < reading.period.until:
            return replace(life, version=version.id, born=born, adopted=version.adopted)
    return life
