"""Send checkpoints out, so that cutting the log off shows to whoever kept one.

Each place has a cursor in the database: a checkpoint that could not be sent waits there, and is
tried again later and later. No rotation waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from rotator.domain.errors import RotatorError
from rotator.domain.ports import LogCursor, Store

_log = logging.getLogger(__name__)
AT_ONCE: Final = 50
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=1)


class Sink(Protocol):
    """A place that checkpoints are sent to. `name` is the cursor's and never changes."""

    name: str

    async def send(self, note: str) -> None:
        """Hand one over; it may come twice. Raises an error of `domain.errors`, within a bound."""
        ...


@dataclass(frozen=True)
class Sent:
    """What became of a place in one round."""

    sink: str
    count: int
    error: str | None = None


async def publish(store: Store, sinks: Sequence[Sink], now: datetime) -> Sequence[Sent]:
    """Send to every place what it has not had yet, oldest first."""
    return [await _publish_to(store, sink, now) for sink in sinks]


async def _publish_to(store: Store, sink: Sink, now: datetime) -> Sent:
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
    count, error = 0, None
    for checkpoint in waiting:
        if checkpoint.note is not None:
            try:
                await sink.send(checkpoint.note)
            except RotatorError as problem:
                error = str(problem)
                cursor = _later(cursor, now)
                _log.warning(
                    "checkpoint %d not sent to %s: %s; tried again at %s",
                    checkpoint.sequence,
                    sink.name,
                    error,
                    cursor.resume_at,
                )
                break
            count += 1
        cursor = LogCursor(name, checkpoint.sequence)
    if waiting:
        async with store.unit() as unit:
            await unit.save_log_cursor(cursor)
    return Sent(sink.name, count, error)


def _later(cursor: LogCursor, now: datetime) -> LogCursor:
    pause = min(FIRST_PAUSE * 2 ** min(cursor.failures, 12), LONGEST_PAUSE)
    return replace(cursor, failures=cursor.failures + 1, resume_at=now + pause)
