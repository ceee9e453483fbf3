"""Reading the log in memory as it is hashed: rows, tree, checkpoints, archives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rotator.domain.events import (
    GENESIS,
    LEAF_COLUMNS,
    LEAF_STARTS,
    LeafRow,
    LoggedEvent,
    LogRow,
    to_row,
)
from rotator.domain.ports import Archive, Checkpoint, LogCursor, LogHead
from rotator.store.memory.base import UnitBase

BLOCK: Final = 256
ORIGIN: Final = "rotator/0000000000000000"
_AT: Final = LEAF_STARTS + LEAF_COLUMNS.index("at")


class LogReadUnit(UnitBase):
    """The part of a unit that reads the log in order."""

    async def _gone(self) -> int:
        """The number of the last event that was dropped."""
        return await self._tx.get(self._db.dropped, 1) or 0

    async def _range(self, first: int, last: int) -> Sequence[LoggedEvent]:
        gone = await self._gone()
        return self._db.events[max(first - 1, gone, 0) : max(last, 0)]

    async def events_after(self, sequence: int, limit: int) -> Sequence[LoggedEvent]:
        """In order."""
        return (await self._range(sequence + 1, len(self._db.events)))[:limit]

    async def head(self) -> LoggedEvent | None:
        """The newest event."""
        return await self.event_at(len(self._db.events))

    async def event_at(self, sequence: int) -> LoggedEvent | None:
        """One event."""
        found = await self._range(sequence, sequence)
        return found[0] if found else None

    async def log_head(self) -> LogHead:
        """Where the log ends."""
        await self._tx.begin_statement()
        events = self._db.events
        found = events[-1].hash if events else GENESIS
        return LogHead(len(events), found, self._db.tree.frontier.packed(), ORIGIN)

    async def log_rows(self, first: int, last: int) -> Sequence[LogRow]:
        """Rows of a range in order."""
        return [to_row(logged) for logged in await self._range(first, last)]

    async def log_leaves(self, first: int, last: int) -> Sequence[LeafRow] | None:  # noqa: ARG002
        """Nothing: Python makes leaves here."""
        return None

    async def next_row(self, after: int) -> int | None:
        """The number of the next row."""
        found = max(after, await self._gone(), 0) + 1
        return found if found <= len(self._db.events) else None

    async def last_row(self) -> int:
        """The number of the last row."""
        gone = await self._gone()
        return len(self._db.events) if len(self._db.events) > gone else 0

    async def tree_hashes(self, level: int, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Nodes of a level in order."""
        await self._tx.begin_statement()
        return list(enumerate(self._db.tree.levels.get(level, [])[first : last + 1], first))

    async def leaf_position(self, leaf: bytes) -> int | None:
        """The number of the event with this leaf."""
        await self._tx.begin_statement()
        leaves = self._db.tree.levels.get(0, [])
        return leaves.index(leaf) + 1 if leaf in leaves else None

    async def block_times(self, first: int, last: int) -> Sequence[tuple[int, int]]:
        """The times of a range of full blocks."""
        await self._tx.begin_statement()
        full = range(max(first, 0), min(last + 1, len(self._db.events) // BLOCK))
        return [self._times(block) for block in full]

    def _times(self, block: int) -> tuple[int, int]:
        events = self._db.events[block * BLOCK : (block + 1) * BLOCK]
        times = [int(to_row(logged)[_AT] or 0) for logged in events]
        return min(times), max(times)

    async def known_actors(self) -> frozenset[tuple[str, str]]:
        """Kind and name of all actors."""
        await self._tx.begin_statement()
        return frozenset((e.event.actor.kind, e.event.actor.name) for e in self._db.events)

    async def first_since(self, at: datetime) -> int | None:
        """The number of the first event that is not older."""
        events = await self._range(1, len(self._db.events))
        return next((e.sequence for e in events if e.event.at >= at), None)

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert. One that is there already stays as it is."""
        if await self._tx.locked(self._db.checkpoints, checkpoint.sequence) is None:
            await self._tx.put(self._db.checkpoints, checkpoint.sequence, checkpoint)

    async def checkpoints(
        self, *, after: int = 0, limit: int | None = None
    ) -> Sequence[Checkpoint]:
        """In order."""
        found = [c for c in await self._tx.every(self._db.checkpoints) if c.sequence > after]
        return sorted(found, key=lambda c: c.sequence)[:limit]

    async def newest_checkpoint(self) -> Checkpoint | None:
        """The newest that has a note."""
        noted = [c for c in await self.checkpoints() if c.note is not None]
        return noted[-1] if noted else None

    async def archives(self) -> Sequence[Archive]:
        """In order."""
        return sorted(await self._tx.every(self._db.archives), key=lambda a: a.first)

    async def save_archive(self, archive: Archive) -> None:
        """Insert."""
        await self._tx.insert(self._db.archives, archive.first, archive)

    async def drop_archived(self, limit: int) -> int:
        """Hide up to this many events that stand in an archive, oldest first."""
        gone = await self._tx.locked(self._db.dropped, 1) or 0
        end = max((a.last for a in await self.archives()), default=0)
        last = min(end, gone + limit, len(self._db.events))
        if last <= gone:
            return 0
        await self._tx.put(self._db.dropped, 1, last)
        return last - gone

    async def log_cursor(self, name: str) -> LogCursor | None:
        """One by name."""
        return await self._tx.get(self._db.cursors, name)

    async def save_log_cursor(self, cursor: LogCursor) -> None:
        """Insert or replace by name."""
        await self._tx.put(self._db.cursors, cursor.name, cursor)
