"""The audit log, its checkpoints, and the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rotator.domain.event_words import split_words, words_of
from rotator.domain.events import Event, LoggedEvent, place
from rotator.domain.ports import EventQuery, WorkerRecord
from rotator.redaction import kept_event
from rotator.store.memory.log_read import LogReadUnit
from rotator.store.memory.tables import Table

_HEAD: Table[int] = Table("event_head")


class LogUnit(LogReadUnit):
    """The part of a unit that appends and reads events."""

    _pending: list[Event]
    _placed: list[LoggedEvent]

    async def append(self, *events: Event) -> None:
        """Queue for the end of the transaction."""
        self._pending.extend(kept_event(event) for event in events)

    async def flush_events(self) -> None:
        """Give the queued events their places, right before the commit. The lock on the head is
        what makes concurrent writers take turns."""
        if not self._pending:
            return
        await self._tx.locked(_HEAD, 1)
        for event in self._pending:
            last = [*self._db.events[-1:], *self._placed[-1:]]
            self._placed.append(place(event, after=last[-1] if last else None))
        self._pending.clear()

    async def events(self, query: EventQuery) -> Sequence[LoggedEvent]:
        """Newest first."""
        gone = await self._gone()
        found: list[LoggedEvent] = []
        for logged in _newest_first(self._db.events, query.before):
            if len(found) == query.limit or logged.sequence <= max(gone, query.after or 0):
                break
            if _fits(logged.event, query):
                found.append(logged)
        return found

    async def save_worker(self, worker: WorkerRecord) -> None:
        """Insert or replace by id."""
        await self._tx.put(self._db.workers, worker.id, worker)

    async def remove_worker(self, worker_id: str) -> None:
        """Idempotent."""
        await self._tx.delete(self._db.workers, worker_id)

    async def workers(self) -> Sequence[WorkerRecord]:
        """All that are known."""
        return sorted(await self._tx.every(self._db.workers), key=lambda w: w.id)


def _newest_first(events: list[LoggedEvent], before: int | None) -> Iterator[LoggedEvent]:
    end = len(events) if before is None else min(max(before - 1, 0), len(events))
    for position in range(end - 1, -1, -1):
        yield events[position]


def _fits(event: Event, query: EventQuery) -> bool:
    actor = event.actor
    exact = (
        (query.app, event.app),
        (query.kind, event.kind),
        (query.credential, event.credential),
        (query.organization, event.organization),
        (query.target, event.target),
        (query.machine, event.machine),
        (query.actor_host, actor.host),
        (query.actor_uid, actor.uid),
        (query.actor_machine, actor.machine),
        (query.actor_region, actor.region),
        (query.outcome, event.outcome.value),
        (query.rotation_id, event.rotation_id),
        (query.rollout_id, event.rollout_id),
        (query.request_id, event.request_id),
    )
    if any(wanted is not None and wanted != found for wanted, found in exact):
        return False
    if query.text is not None and not _has_words(event, query.text):
        return False
    action = event.action.value
    if query.action is not None and not any(
        f"{action}.".startswith(f"{wanted.strip()}.") for wanted in query.action.split(",")
    ):
        return False
    if query.actor is not None and not _actor_begins(event, query.actor):
        return False
    if query.since is not None and event.at < query.since:
        return False
    return query.until is None or event.at < query.until


def _actor_begins(event: Event, text: str) -> bool:
    """A kind of actor, the beginning of a name, or `kind:` and the beginning of a name."""
    if event.actor.name.startswith(text):
        return True
    kind, colon, name = text.partition(":")
    return event.actor.kind == kind and (not colon or event.actor.name.startswith(name))


def _has_words(event: Event, text: str) -> bool:
    """Every word of the text is a word of the event, or begins one where `*` follows it."""
    known = words_of(event).split(" ")
    asked = [(word, part.endswith("*")) for part in text.split() for word in split_words(part)[-1:]]
    whole = [word for part in text.split() for word in split_words(part)[:-1]]
    if not asked:
        return False
    begun = all(
        any(each.startswith(word) if begins else each == word for each in known)
        for word, begins in asked
    )
    return begun and all(word in known for word in whole)
