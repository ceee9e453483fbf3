"""Appending to the audit log, and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import Row, delete, insert, select, text, update

from rotator.domain.event_words import words_of
from rotator.domain.events import (
    LEAF_COLUMNS,
    ROW_COLUMNS,
    Event,
    chain_hash,
    leaf_values,
)
from rotator.domain.merkle import Frontier, leaf_hash
from rotator.domain.ports import LogHead, WorkerRecord
from rotator.redaction import kept_event
from rotator.store.base import UnitBase
from rotator.store.tables import event_actors, event_head, event_spans, tree_nodes, workers

BLOCK: Final = 256
"""How many events share a record of their times; also what a kept level of the tree covers."""
KEPT_LEVELS: Final = 8
"""Of the tree's inner levels every eighth is kept; what lies between is hashed when asked for."""
_INSERT_EVENTS: Final = text(
    f"INSERT INTO events ({', '.join(ROW_COLUMNS)}) "  # noqa: S608 - names of ours
    f"VALUES ({', '.join(f':{column}' for column in ROW_COLUMNS)})"
)
_INSERT_WORDS: Final = {
    True: text(
        "INSERT INTO event_words (sequence, words) "
        "VALUES (:sequence, array_to_tsvector(string_to_array(:words, ' ')))"
    ),
    False: text("INSERT INTO event_words (rowid, words) VALUES (:sequence, :words)"),
}
_AT: Final = LEAF_COLUMNS.index("at")


class LogUnit(UnitBase):
    """The part of a unit that appends events."""

    _pending: list[Event]
    _actors_noted: frozenset[tuple[str, str]]
    actors_told: set[tuple[str, str]]

    async def append(self, *events: Event) -> None:
        """Queue for the end of the transaction."""
        self._pending.extend(kept_event(event) for event in events)

    async def flush_events(self) -> None:
        """Give the queued events their places. Called once, right before the commit: the lock on
        the head row makes concurrent writers take turns, and is held only from here on. All that
        does not depend on the place is done before it is taken."""
        if not self._pending:
            return
        values = [leaf_values(event) for event in self._pending]
        leaves = [leaf_hash(orjson.dumps(each)) for each in values]
        words = [words_of(event) for event in self._pending]
        await self._note_actors()
        row = await self._locked_row(select(event_head).where(event_head.c.id == 1))
        assert row is not None
        previous, spans, nodes, rows = row.hash, _Spans(row), [], []
        frontier = Frontier.unpacked(row.sequence, bytes(row.frontier or b""))
        for number, (each, leaf, event) in enumerate(
            zip(values, leaves, self._pending, strict=True), start=row.sequence + 1
        ):
            found = chain_hash(previous, leaf)
            rows.append(dict(zip(ROW_COLUMNS, (number, previous, found, *each), strict=True)))
            nodes += _kept_nodes(frontier, number - 1, leaf)
            spans.add(number, event.at)
            previous = found
        await self._insert_rows(rows, nodes, words, spans)
        await self._connection.execute(
            update(event_head)
            .where(event_head.c.id == 1)
            .values(
                sequence=row.sequence + len(rows),
                hash=previous,
                frontier=frontier.packed(),
                first_at=spans.first_at,
                last_at=spans.last_at,
            )
        )
        self._pending.clear()

    async def _note_actors(self) -> None:
        """Before the head is locked: a worker that is new waits here for one of the same name.

        Nothing ever takes an actor away, so one that was committed once needs no second look.
        """
        actors = {(event.actor.kind, event.actor.name) for event in self._pending}
        for kind, name in sorted(actors - self._actors_noted):
            await self._ensure(event_actors, {"kind": kind, "name": name}, "kind", "name")
        self.actors_told = actors

    async def _insert_rows(
        self,
        rows: Sequence[dict[str, int | str | None]],
        nodes: Sequence[dict[str, object]],
        words: Sequence[str],
        spans: _Spans,
    ) -> None:
        await self._connection.execute(_INSERT_EVENTS, rows)
        await self._connection.execute(insert(tree_nodes), nodes)
        told = [
            {"sequence": row["sequence"], "words": each}
            for row, each in zip(rows, words, strict=True)
        ]
        await self._connection.execute(_INSERT_WORDS[self._postgres], told)
        if spans.full:
            await self._connection.execute(insert(event_spans), spans.full)

    async def log_head(self) -> LogHead:
        """Where the log ends."""
        row = await self._row(select(event_head).where(event_head.c.id == 1))
        assert row is not None
        return LogHead(row.sequence, row.hash, bytes(row.frontier or b""), row.origin)

    async def save_worker(self, worker: WorkerRecord) -> None:
        """Insert or replace by id."""
        values = {
            "id": worker.id,
            "kind": worker.kind,
            "host": worker.host,
            "pid": worker.pid,
            "started_at": worker.started_at,
            "seen_at": worker.seen_at,
        }
        await self._upsert(workers, values, "id")

    async def remove_worker(self, worker_id: str) -> None:
        """Idempotent."""
        await self._connection.execute(delete(workers).where(workers.c.id == worker_id))

    async def workers(self) -> Sequence[WorkerRecord]:
        """All that are known."""
        rows = await self._rows(select(workers).order_by(workers.c.id))
        return [
            WorkerRecord(row.id, row.kind, row.host, row.pid, row.started_at, row.seen_at)
            for row in rows
        ]


class _Spans:
    """The times of the block that is being filled, and of those that became full."""

    def __init__(self, head: Row[tuple[object, ...]]) -> None:
        self.first_at: datetime | None = head.first_at
        self.last_at: datetime | None = head.last_at
        self.full: list[dict[str, object]] = []

    def add(self, number: int, at: datetime) -> None:
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)
        if number % BLOCK == 0:
            block = number // BLOCK - 1
            self.full.append({"block": block, "first_at": self.first_at, "last_at": self.last_at})
            self.first_at = self.last_at = None


def _kept_nodes(frontier: Frontier, index: int, leaf: bytes) -> list[dict[str, object]]:
    kept: list[dict[str, object]] = [{"level": 0, "position": index, "hash": leaf}]
    for node, found in frontier.push(0, leaf):
        if node.level % KEPT_LEVELS == 0:
            kept.append({"level": node.level, "position": node.position, "hash": found})
    return kept
