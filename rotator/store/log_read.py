"""Reading the audit log as it is hashed: rows, tree, checkpoints, archives."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, delete, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from rotator.domain.event_words import words_of
from rotator.domain.events import (
    LEAF_COLUMNS,
    ROW_COLUMNS,
    LeafRow,
    LoggedEvent,
    LogRow,
    to_event,
)
from rotator.domain.ports import Archive, Checkpoint, LogCursor
from rotator.store.base import UnitBase
from rotator.store.errors import unreadable
from rotator.store.log import BLOCK
from rotator.store.tables import (
    archives,
    checkpoints,
    event_actors,
    event_spans,
    events,
    log_cursors,
    tree_nodes,
)

_COLUMNS: Final = ", ".join(ROW_COLUMNS)
ROWS: Final = f"SELECT {_COLUMNS} FROM events"  # noqa: S608 - names of ours
_RANGE: Final = f"{ROWS} WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
_LEAVES: Final = (
    "SELECT sequence, previous, hash, version, "  # noqa: S608 - names of ours
    f"CAST(json_array({', '.join(LEAF_COLUMNS)}) AS BLOB), at, actor_kind, actor_name "
    "FROM events WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
)
_NODES: Final = (
    "SELECT position, hash FROM tree_nodes WHERE level = ? AND position BETWEEN ? AND ? "
    "ORDER BY position"
)
_SPANS: Final = (
    "SELECT first_at, last_at FROM event_spans WHERE block BETWEEN ? AND ? ORDER BY block"
)
_FORGET_WORDS: Final = text(
    "INSERT INTO event_words (event_words, rowid, words) VALUES ('delete', :sequence, :words)"
)


def read_event(row: LogRow) -> LoggedEvent:
    """A row as an event.

    Raises:
        NeedsHuman: no rotator wrote such a row.
    """
    try:
        return to_event(row)
    except (ValueError, TypeError, AttributeError):
        raise unreadable(row[0]) from None


class LogReadUnit(UnitBase):
    """The part of a unit that reads the log in order."""

    async def log_rows(self, first: int, last: int) -> Sequence[LogRow]:
        """Rows of a range in order."""
        return await self._raw(_RANGE, first, last)

    async def log_leaves(self, first: int, last: int) -> Sequence[LeafRow] | None:
        """Rows with their leaf bytes. SQLite writes JSON as orjson does, PostgreSQL with blanks."""
        if self._postgres:
            return None
        try:
            return await self._raw(_LEAVES, first, last)
        except DBAPIError:
            # A value of a type that no rotator writes, which JSON can't hold either.
            return None

    async def events_after(self, sequence: int, limit: int) -> Sequence[LoggedEvent]:
        """In order."""
        statement = text(f"{ROWS} WHERE sequence > :after ORDER BY sequence LIMIT :limit")
        found = await self._connection.execute(statement, {"after": sequence, "limit": limit})
        return [read_event(tuple(row)) for row in found.all()]

    async def head(self) -> LoggedEvent | None:
        """The newest event."""
        return await self.event_at(await self.last_row())

    async def event_at(self, sequence: int) -> LoggedEvent | None:
        """One event."""
        rows = await self.log_rows(sequence, sequence)
        return read_event(rows[0]) if rows else None

    async def next_row(self, after: int) -> int | None:
        """The number of the next row."""
        return await self._number(
            select(func.min(events.c.sequence)).where(events.c.sequence > after)
        )

    async def _number(self, query: Select[Any]) -> int | None:
        found = await self._connection.scalar(query)
        return None if found is None else int(found)

    async def last_row(self) -> int:
        """The number of the last row."""
        found = await self._connection.scalar(select(func.max(events.c.sequence)))
        return int(found or 0)

    async def tree_hashes(self, level: int, first: int, last: int) -> Sequence[tuple[int, bytes]]:
        """Nodes of a level in order."""
        return await self._raw(_NODES, level, first, last)

    async def leaf_position(self, leaf: bytes) -> int | None:
        """The number of the event with this leaf."""
        nodes = tree_nodes.c
        query = select(func.min(nodes.position)).where(nodes.level == 0, nodes.hash == leaf)
        found = await self._connection.scalar(query)
        return None if found is None else int(found) + 1

    async def block_times(self, first: int, last: int) -> Sequence[tuple[int, int]]:
        """The times that the search goes by, of a range of full blocks."""
        return await self._raw(_SPANS, first, last)

    async def known_actors(self) -> frozenset[tuple[str, str]]:
        """The actors that the search goes by."""
        rows = await self._rows(select(event_actors.c.kind, event_actors.c.name))
        return frozenset((row.kind, row.name) for row in rows)

    async def first_since(self, at: datetime) -> int | None:
        """The number of the first event that is not older."""
        spans = event_spans.c
        behind = ((await self.next_row(0) or 1) - 1) // BLOCK
        late = select(spans.block).where(spans.block >= behind, spans.last_at >= at)
        number = events.c.sequence
        first = select(func.min(number)).where(events.c.at >= at)
        for row in await self._rows(late.order_by(spans.block)):
            reach = number.between(row.block * BLOCK + 1, (row.block + 1) * BLOCK)
            # The block's newest event may have been archived, so the next one is looked at too.
            if (found := await self._number(first.where(reach))) is not None:
                return found
        full = await self._number(select(func.max(spans.block)))
        return await self._number(first.where(number > (0 if full is None else (full + 1) * BLOCK)))

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert. One that is there already stays as it is."""
        values = {
            "sequence": checkpoint.sequence,
            "hash": checkpoint.hash,
            "signed_at": checkpoint.signed_at,
            "key_id": checkpoint.key_id,
            "signature": checkpoint.signature,
            "note": checkpoint.note,
        }
        await self._ensure(checkpoints, values, "sequence")

    async def checkpoints(
        self, *, after: int = 0, limit: int | None = None
    ) -> Sequence[Checkpoint]:
        """In order."""
        query = select(checkpoints).where(checkpoints.c.sequence > after)
        rows = await self._rows(query.order_by(checkpoints.c.sequence).limit(limit))
        return [_checkpoint(row) for row in rows]

    async def newest_checkpoint(self) -> Checkpoint | None:
        """The newest that has a note."""
        query = select(checkpoints).where(checkpoints.c.note.is_not(None))
        row = await self._row(query.order_by(checkpoints.c.sequence.desc()).limit(1))
        return _checkpoint(row) if row else None

    async def archives(self) -> Sequence[Archive]:
        """In order."""
        rows = await self._rows(select(archives).order_by(archives.c.first))
        return [
            Archive(row.first, row.last, row.hash, row.sha256, row.file, row.archived_at)
            for row in rows
        ]

    async def save_archive(self, archive: Archive) -> None:
        """Insert."""
        values = {
            "first": archive.first,
            "last": archive.last,
            "hash": archive.hash,
            "sha256": archive.sha256,
            "file": archive.file,
            "archived_at": archive.archived_at,
        }
        await self._connection.execute(insert(archives).values(values))

    async def drop_archived(self, limit: int) -> int:
        """Delete up to this many events that stand in an archive, oldest first."""
        end = await self._connection.scalar(select(func.max(archives.c.last)))
        first = await self.next_row(0)
        if end is None or first is None or first > end:
            return 0
        last = min(end, first + limit - 1)
        if self._postgres:
            words = text("DELETE FROM event_words WHERE sequence BETWEEN :first AND :last")
            await self._connection.execute(words, {"first": first, "last": last})
        else:
            await self._forget_words(first, last)
        gone = delete(events).where(events.c.sequence.between(first, last))
        return (await self._connection.execute(gone)).rowcount

    async def _forget_words(self, first: int, last: int) -> None:
        """The search index of SQLite holds no copy of the words, so it has to be told them."""
        rows = await self.log_rows(first, last)
        told = [{"sequence": row[0], "words": words_of(read_event(row).event)} for row in rows]
        await self._connection.execute(_FORGET_WORDS, told)

    async def log_cursor(self, name: str) -> LogCursor | None:
        """One by name; in a transaction that writes, nobody else gets it until the end."""
        query = select(log_cursors).where(log_cursors.c.name == name)
        row = await (self._locked_row(query) if self._writes else self._row(query))
        if row is None:
            return None
        return LogCursor(row.name, row.position, row.failures, row.resume_at, row.note)

    async def save_log_cursor(self, cursor: LogCursor) -> None:
        """Insert or replace by name."""
        values = {
            "name": cursor.name,
            "position": cursor.position,
            "failures": cursor.failures,
            "resume_at": cursor.resume_at,
            "note": cursor.note,
        }
        await self._upsert(log_cursors, values, "name")


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(row.sequence, row.hash, row.signed_at, row.key_id, row.signature, row.note)
