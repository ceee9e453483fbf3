"""The audit log, its checkpoints, and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, insert, or_, select, update

from rotator.domain.events import Event, LoggedEvent, place
from rotator.domain.ports import Checkpoint, EventQuery, WorkerRecord
from rotator.store.base import UnitBase
from rotator.store.rows import event_values, to_event
from rotator.store.tables import checkpoints, event_head, events, workers


class LogUnit(UnitBase):
    """The part of a unit that appends and reads events."""

    _pending: list[Event]

    async def append(self, *events: Event) -> None:
        """Queue for the end of the transaction."""
        self._pending.extend(events)

    async def flush_events(self) -> None:
        """Give the queued events their places. Called once, right before the commit: the update of
        the head row is what makes concurrent writers take turns."""
        if not self._pending:
            return
        count = len(self._pending)
        result = await self._connection.execute(
            update(event_head)
            .where(event_head.c.id == 1)
            .values(sequence=event_head.c.sequence + count)
            .returning(event_head.c.sequence)
        )
        last = await self._event_at(int(result.scalar_one()) - count)
        rows = []
        for event in self._pending:
            last = place(event, after=last)
            rows.append(dict(event_values(last)))
        await self._connection.execute(insert(events), rows)
        self._pending.clear()

    async def _event_at(self, sequence: int) -> LoggedEvent | None:
        row = await self._row(select(events).where(events.c.sequence == sequence))
        return to_event(row) if row else None

    async def events(self, query: EventQuery) -> Sequence[LoggedEvent]:
        """Newest first."""
        wanted = _filtered(select(events), query)
        wanted = wanted.order_by(events.c.sequence.desc()).limit(query.limit)
        return [to_event(row) for row in await self._rows(wanted)]

    async def events_after(self, sequence: int, limit: int) -> Sequence[LoggedEvent]:
        """In order."""
        query = select(events).where(events.c.sequence > sequence)
        rows = await self._rows(query.order_by(events.c.sequence).limit(limit))
        return [to_event(row) for row in rows]

    async def head(self) -> LoggedEvent | None:
        """The newest event."""
        row = await self._row(select(events).order_by(events.c.sequence.desc()).limit(1))
        return to_event(row) if row else None

    async def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Insert or replace by sequence."""
        values = {
            "sequence": checkpoint.sequence,
            "hash": checkpoint.hash,
            "signed_at": checkpoint.signed_at,
            "key_id": checkpoint.key_id,
            "signature": checkpoint.signature,
        }
        await self._upsert(checkpoints, values, "sequence")

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """In order."""
        rows = await self._rows(select(checkpoints).order_by(checkpoints.c.sequence))
        return [
            Checkpoint(row.sequence, row.hash, row.signed_at, row.key_id, row.signature)
            for row in rows
        ]

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


def _filtered(wanted: Select[Any], query: EventQuery) -> Select[Any]:
    exact = {
        "app": query.app,
        "kind": query.kind,
        "credential": query.credential,
        "outcome": query.outcome,
        "rotation_id": query.rotation_id,
    }
    for column, value in exact.items():
        if value is not None:
            wanted = wanted.where(events.c[column] == value)
    if query.action is not None:
        wanted = wanted.where(
            or_(events.c.action == query.action, events.c.action.startswith(f"{query.action}."))
        )
    if query.actor is not None:
        wanted = wanted.where(_actor_begins(query.actor))
    if query.since is not None:
        wanted = wanted.where(events.c.at >= query.since)
    if query.until is not None:
        wanted = wanted.where(events.c.at < query.until)
    if query.before is not None:
        wanted = wanted.where(events.c.sequence < query.before)
    return wanted


def _actor_begins(text: str) -> ColumnElement[bool]:
    """A kind of actor, the beginning of a name, or `kind:` and the beginning of a name. A name may
    hold a colon itself, so the whole text counts as the beginning of a name too."""
    by_name = events.c.actor_name.startswith(text, autoescape=True)
    kind, colon, name = text.partition(":")
    of_kind = events.c.actor_kind == kind
    if colon:
        of_kind = and_(of_kind, events.c.actor_name.startswith(name, autoescape=True))
    return or_(by_name, of_kind)
