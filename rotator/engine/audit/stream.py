"""Send every event out, at least once and in order, from a cursor that outlives the process.

A batch is on record before it is sent (how far it reaches, and until when nobody else sends it),
and the cursor moves once it was taken. Whoever dies in between leaves the batch to be sent again,
with the same id; nothing is lost. A place that does not answer holds up itself alone: it is tried
later and later, and no transaction is open while it is waited for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from rotator.domain.errors import RotatorError
from rotator.domain.events import LoggedEvent
from rotator.domain.ocsf import ocsf_event
from rotator.domain.ports import Batch, LogCursor, Store, Unit
from rotator.domain.rotation import Actor
from rotator.engine.audit.cursor import note_failure, note_success
from rotator.engine.audit.publish import Sent

EVENTS_AT_ONCE: Final = 100
BYTES_AT_ONCE: Final = 200_000
"""A batch ends before it grows beyond this, but has one event at least."""
BATCHES_A_ROUND: Final = 20
LEASE: Final = timedelta(seconds=60)
"""So long nobody else sends a batch that is being sent; longer than any sink takes."""


class EventSink(Protocol):
    """A place that events are sent to. `name` is the cursor's and never changes."""

    name: str

    async def send(self, batch: Batch) -> None:
        """Hand events over; they may come twice. Raises an error of `domain.errors`, within a
        bound of time well below `LEASE`."""
        ...


@dataclass(frozen=True)
class Streamer:
    """Sends the events of one log. `now` tells the time, `is_stopping` when to leave off."""

    store: Store
    actor: Actor
    version: str
    now: Callable[[], datetime]
    is_stopping: Callable[[], bool]

    async def run(self, sinks: Sequence[EventSink]) -> Sequence[Sent]:
        """Send to every place what it has not had yet, side by side."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_to(sink)) for sink in sinks]
        return [task.result() for task in tasks]

    async def _send_to(self, sink: EventSink) -> Sent:
        count = 0
        for _ in range(BATCHES_A_ROUND):
            if not await self._has_news(cursor_name(sink)):
                break
            async with self.store.unit() as unit:
                cursor, batch = await self._taken(unit, cursor_name(sink))
            if batch is None:
                break
            try:
                await sink.send(batch)
            except RotatorError as problem:
                async with self.store.unit() as unit:
                    await note_failure(unit, cursor, problem, self.actor, self.now())
                return Sent(sink.name, count, str(problem))
            async with self.store.unit() as unit:
                await note_success(unit, cursor, batch.last, self.actor, self.now())
            count += len(batch.lines)
            if self.is_stopping():
                break
        return Sent(sink.name, count)

    async def _has_news(self, name: str) -> bool:
        """A look that holds up no writer."""
        async with self.store.view() as unit:
            cursor = await unit.log_cursor(name)
            size = (await unit.log_head()).size
        if cursor is None:
            return size > 0
        waits = cursor.resume_at is not None and cursor.resume_at > self.now()
        return cursor.position < size and not waits

    async def _taken(self, unit: Unit, name: str) -> tuple[LogCursor, Batch | None]:
        """The next batch, with its reach on record; none where nothing is new, where it is not the
        time yet, or where somebody else is sending it."""
        now = self.now()
        cursor = await unit.log_cursor(name) or LogCursor(name, 0)
        if cursor.resume_at is not None and cursor.resume_at > now:
            return cursor, None
        promised = int(cursor.note) if cursor.note else None
        events = await unit.events_after(cursor.position, EVENTS_AT_ONCE)
        origin = (await unit.log_head()).origin
        batch = self._batch(origin, events, promised)
        if batch is None:
            return cursor, None
        cursor = replace(cursor, note=str(batch.last), resume_at=now + LEASE)
        await unit.save_log_cursor(cursor)
        return cursor, batch

    def _batch(
        self, origin: str, events: Sequence[LoggedEvent], promised: int | None
    ) -> Batch | None:
        lines: list[str] = []
        last, size = 0, 0
        for logged in events:
            line = event_line(logged, origin, self.version)
            size += len(line.encode()) + 1
            beyond = size > BYTES_AT_ONCE if promised is None else logged.sequence > promised
            if lines and beyond:
                break
            lines.append(line)
            last = logged.sequence
        if not lines:
            return None
        first = events[0].sequence
        return Batch(f"{origin.replace('.', '-')}-{first}-{last}", first, last, lines)


def cursor_name(sink: EventSink) -> str:
    """The name of a sink's cursor."""
    return f"events:{sink.name}"


def event_line(logged: LoggedEvent, origin: str, version: str) -> str:
    """An event as one line of OCSF."""
    record = ocsf_event(logged, origin=origin, version=version)
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


async def sent_to_all(store: Store, sinks: Sequence[EventSink]) -> int | None:
    """The last event that every place has; None without a place."""
    if not sinks:
        return None
    async with store.view() as unit:
        cursors = [await unit.log_cursor(cursor_name(sink)) for sink in sinks]
    return min(cursor.position if cursor is not None else 0 for cursor in cursors)
