"""Workers that look at the posture of an organisation that a test makes up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotator.domain.events import Event
from rotator.domain.ports import EventQuery, Store
from rotator.domain.posture.finding import Finding, Inspected, Missing, RotationWish, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.record import FindingRecord, PostureLook
from rotator.domain.posture.suppression import Suppression
from rotator.domain.rotation import Actor
from rotator.engine.parts import Parts
from rotator.engine.posture.job import Told, Watch, look_if_due
from tests.integration.store_objects import SettableClock
from tests.unit.kind_doubles import SeededEntropy

DAY = timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class FakeInspector:
    """Finds what it is told to find."""

    findings: Sequence[Finding] = ()
    missing: Sequence[Missing] = ()
    wishes: Sequence[RotationWish] = ()
    topics: frozenset[Topic] = frozenset(Topic)
    error: Exception | None = None
    meanwhile: Callable[[], Awaitable[object]] | None = None
    scopes: list[InspectionScope] = field(default_factory=list)

    async def inspect(
        self, scope: InspectionScope, policy: PosturePolicy, now: datetime
    ) -> Inspected:
        """Look once."""
        self.scopes.append(scope)
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.error is not None:
            raise self.error
        return Inspected(tuple(self.findings), tuple(self.missing), tuple(self.wishes))


@dataclass
class Company:
    """An organisation, what is wrong with it, and the database that its workers share."""

    store: Store
    clock: SettableClock = field(default_factory=SettableClock)
    every: timedelta = DAY
    suppressions: Sequence[Suppression] = ()
    inspector: FakeInspector = field(default_factory=FakeInspector)
    others: Sequence[FakeInspector] = ()

    def parts(self, worker: str = "w1") -> Parts:
        """What a worker has; nothing but the database is used."""
        absent: Any = None
        return Parts(
            store=self.store,
            kinds={},
            targets={},
            fleet=absent,
            releases=absent,
            prober=absent,
            authority=absent,
            calls=absent,
            clock=self.clock,
            entropy=SeededEntropy(),
            worker_id=worker,
            actor=Actor("worker", worker),
        )

    def watch(self) -> Watch:
        """What is looked at now."""
        inspectors = (self.inspector, *self.others)
        return Watch("acme", inspectors, PosturePolicy(), self.suppressions)

    async def look(self, worker: str = "w1", *, parts: Parts | None = None) -> Told | None:
        """Look if that is due."""
        return await look_if_due(parts or self.parts(worker), "acme", self.every, self.watch)

    async def look_now(self, *findings: Finding, missing: Sequence[Missing] = ()) -> Told:
        """A day later: look, and find this."""
        self.inspector.findings, self.inspector.missing = findings, missing
        self.clock.advance(timedelta(hours=1))
        await self.make_due()
        told = await self.look()
        assert told is not None
        return told

    async def make_due(self) -> None:
        """Have the next look be due, by whichever clock the database goes."""
        async with self.store.unit() as unit:
            look = await unit.posture_look("acme") or PostureLook("acme", LONG_AGO)
            await unit.save_posture_look(replace(look, due_at=LONG_AGO))

    async def records(self) -> dict[str, FindingRecord]:
        """All, by subject."""
        async with self.store.view() as unit:
            return {record.subject: record for record in await unit.finding_records()}

    async def told(self) -> list[Event]:
        """Events of findings, oldest first."""
        query = EventQuery(action="posture", limit=1000)
        async with self.store.view() as unit:
            events = [logged.event for logged in await unit.events(query)][::-1]
        return [event for event in events if event.action != "posture.looked"]

    async def actions(self) -> list[str]:
        """What was told of findings, oldest first."""
        return [event.action.value.removeprefix("posture.") for event in await self.told()]


async def at_once(*work: Awaitable[Any]) -> list[Any]:
    """Side by side; what is raised is a result."""
    return list(await asyncio.gather(*work, return_exceptions=True))
