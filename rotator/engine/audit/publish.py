"""Send checkpoints out, so that cutting the log off shows to whoever kept one.

Each place has a cursor in the database: a checkpoint that could not be sent waits there, and is
tried again later and later. No rotation waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from rotator.domain.errors import RotatorError
from rotator.domain.ports import LogCursor, Store
from rotator.domain.rotation import Actor
from rotator.engine.audit.cursor import note_failure, note_success

AT_ONCE: Final = 50


class Sink(Protocol):
    """A place that checkpoints are sent to. `name` is the cursor's and never changes. A place that
    holds one at a time wants the `newest_only`."""

    name: str
    newest_only: bool

    async def send(self, note: str) -> None:
        """Hand one over; it may come twice. Raises an error of `domain.errors`, within a bound."""
        ...


@dataclass(frozen=True)
class Sent:
    """What became of a place in one round."""

    sink: str
    count: int
    error: str | None = None


async def publish(
    store: Store, sinks: Sequence[Sink], actor: Actor, now: datetime
) -> Sequence[Sent]:
    """Send to every place what it has not had yet, oldest first."""
    return [await _publish_to(store, sink, actor, now) for sink in sinks]


async def _publish_to(store: Store, sink: Sink, actor: Actor, now: datetime) -> Sent:
    name = f"checkpoints:{sink.name}"
    async with store.view() as unit:
        cursor = await unit.log_cursor(name)
        if cursor is None:
            # A new place gets the newest one, not the history: that one vouches for it all.
            newest = await unit.newest_checkpoint()
            cursor = LogCursor(name, newest.sequence - 1 if newest else 0)
        if cursor.resume_at is not None and cursor.resume_at > now:
            return Sent(sink.name, 0, "waits after a failure")
        waiting = await unit.checkpoints(after=cursor.position, limit=AT_ONCE)
    if not waiting:
        return Sent(sink.name, 0)
    if sink.newest_only:
        waiting = waiting[-1:]
    count, position, failure = 0, cursor.position, None
    for checkpoint in waiting:
        if checkpoint.note is not None:
            try:
                await sink.send(checkpoint.note)
            except RotatorError as problem:
                failure = problem
                break
            count += 1
        position = checkpoint.sequence
    async with store.unit() as unit:
        if position > cursor.position:
            cursor = await note_success(unit, cursor, position, actor, now)
        if failure is not None:
            await note_failure(unit, cursor, failure, actor, now)
    return Sent(sink.name, count, str(failure) if failure is not None else None)
