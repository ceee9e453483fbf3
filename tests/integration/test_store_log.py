"""The audit log in the database (P7), its checkpoints, and the workers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from rotator.domain.errors import Unavailable
from rotator.domain.events import GENESIS, Action, Event, LoggedEvent, Outcome
from rotator.domain.note import VerifierKey
from rotator.domain.ports import Checkpoint, EventQuery, WorkerRecord
from rotator.domain.rotation import Actor
from rotator.store import log_query
from rotator.store.log import LogUnit
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore
from tests.harness.chain import first_fault
from tests.integration.store_objects import (
    A_KEY,
    ANOTHER_KEY,
    HOUR,
    NOW,
    a_credential,
    a_full_event,
    a_ring,
    an_event,
    an_id,
    minutes,
    unset,
)

WRITERS = 8
EVENTS_EACH = 5


async def appended(store: SqlStore, *events: Event) -> None:
    """Append events in one transaction."""
    async with store.unit() as unit:
        await unit.append(*events)


async def log(store: SqlStore, after: int = 0) -> Sequence[LoggedEvent]:
    """The whole log in order."""
    async with store.view() as unit:
        return await unit.events_after(after, 10_000)


async def found(store: SqlStore, query: EventQuery) -> list[int]:
    """Sequence numbers of what a filter finds, in the order that it gives."""
    async with store.view() as unit:
        return [logged.sequence for logged in await unit.events(query)]


async def test_an_event_comes_back_with_every_field_and_its_hash_holds(store: SqlStore) -> None:
    full = a_full_event()
    assert unset(full) == []
    await appended(store, full, an_event(2))
    logged = await log(store)
    assert [entry.event for entry in logged] == [full, an_event(2)]
    assert [entry.sequence for entry in logged] == [1, 2]
    assert logged[0].previous == GENESIS
    assert first_fault(logged) is None


async def test_an_event_of_another_time_zone_still_verifies(store: SqlStore) -> None:
    at = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await appended(store, an_event(at=at))
    (logged,) = await log(store)
    assert logged.event.at == at
    assert first_fault([logged]) is None


async def test_events_follow_each_other_in_the_order_of_the_calls(store: SqlStore) -> None:
    async with store.unit() as unit:
        await unit.append(an_event(1), an_event(2))
        await unit.append()
        await unit.append(an_event(3))
    await appended(store, an_event(4))
    logged = await log(store)
    assert [entry.event.reason for entry in logged] == [f"event {n}" for n in (1, 2, 3, 4)]
    assert first_fault(logged) is None


async def test_the_head_is_the_newest_event(store: SqlStore) -> None:
    async with store.view() as unit:
        assert await unit.head() is None
    await appended(store, an_event(1), an_event(2))
    async with store.view() as unit:
        head = await unit.head()
    assert head == (await log(store))[-1]


async def test_the_log_is_read_in_order_and_in_parts(store: SqlStore) -> None:
    await appended(store, *(an_event(n) for n in range(1, 8)))
    async with store.view() as unit:
        first = await unit.events_after(0, 3)
        second = await unit.events_after(first[-1].sequence, 3)
        rest = await unit.events_after(second[-1].sequence, 3)
    assert [entry.sequence for entry in (*first, *second, *rest)] == list(range(1, 8))
    assert first_fault(second, after=first[-1]) is None


async def test_an_event_of_a_failed_transaction_leaves_no_gap(store: SqlStore) -> None:
    await appended(store, an_event(1))
    with pytest.raises(RuntimeError):
        async with store.unit() as unit:
            await unit.append(an_event(2))
            await unit.flush_events()  # even when it had its place already
            raise RuntimeError("the transaction fails after all")
    await appended(store, an_event(3))
    logged = await log(store)
    assert [entry.event.reason for entry in logged] == ["event 1", "event 3"]
    assert first_fault(logged) is None


async def test_a_transaction_for_reading_keeps_nothing(store: SqlStore) -> None:
    async with store.view() as unit:
        await unit.append(an_event())
    assert await log(store) == []


async def test_writers_at_once_append_a_chain_without_gaps(store: SqlStore) -> None:
    async def write(writer: int) -> None:
        for number in range(EVENTS_EACH):
            async with store.unit() as unit:
                await unit.append(an_event(reason=f"{writer}.{number} a"))
                # Something else to write, so that transactions overlap.
                await unit.save_credential(a_credential(writer))
                await unit.append(an_event(reason=f"{writer}.{number} b"))

    await asyncio.gather(*(write(writer) for writer in range(1, WRITERS + 1)))

    logged = await log(store)
    assert [entry.sequence for entry in logged] == list(range(1, 2 * WRITERS * EVENTS_EACH + 1))
    assert first_fault(logged) is None
    reasons = [entry.event.reason for entry in logged]
    for writer in range(1, WRITERS + 1):
        # Each writer's events stand in its own order, and those of a transaction stand together.
        mine = [reason for reason in reasons if reason.startswith(f"{writer}.")]
        assert mine == [f"{writer}.{n} {half}" for n in range(EVENTS_EACH) for half in "ab"]
    assert [reason[:-1] for reason in reasons[::2]] == [reason[:-1] for reason in reasons[1::2]]


REWRITES = (
    "UPDATE events SET reason = 'nothing happened' WHERE sequence = 2",
    "UPDATE events SET sequence = 9 WHERE sequence = 3",
    "DELETE FROM events WHERE sequence = 3",
    "DELETE FROM events",
)
EVERY_COLUMN = (
    "at, actor_kind, actor_name, action, outcome, reason, credential, kind, organization, app, "
    "target, machine, rotation_id, rollout_id, request_id, detail, previous, hash, version"
)
COPY_OF_THE_FIRST = f"INTO events (sequence, {EVERY_COLUMN}) SELECT 2, {EVERY_COLUMN} FROM events WHERE sequence = 1"  # noqa: E501


async def refused(store: SqlStore, raw: AsyncEngine, statement: str) -> None:
    """See that the database refuses a statement, and that the log is as it was."""
    await appended(store, *(an_event(n) for n in range(1, 4)))
    before = await log(store)
    with pytest.raises(DBAPIError, match="the audit log is append-only"):
        async with raw.begin() as connection:
            await connection.execute(text(statement))
    assert await log(store) == before


@pytest.mark.parametrize("statement", REWRITES)
async def test_the_database_itself_refuses_to_change_the_log(
    store: SqlStore, raw: AsyncEngine, statement: str
) -> None:
    await refused(store, raw, statement)


async def test_the_database_itself_refuses_to_replace_an_event(
    store: SqlStore, raw: AsyncEngine
) -> None:
    if raw.dialect.name == "sqlite":
        await refused(store, raw, f"INSERT OR REPLACE {COPY_OF_THE_FIRST}")
    else:
        then = "ON CONFLICT (sequence) DO UPDATE SET reason = 'nothing happened'"
        await refused(store, raw, f"INSERT {COPY_OF_THE_FIRST} {then}")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_postgresql_refuses_to_truncate_the_log(store: SqlStore, raw: AsyncEngine) -> None:
    await refused(store, raw, "TRUNCATE events")


SAMPLE = (
    an_event(1, app="web", kind="secret", credential="session", rotation_id=an_id(1, 3)),
    an_event(2, app="api", kind="secret", credential="api-key", rotation_id=an_id(2, 3)),
    an_event(3, app="web", kind="deploy-token", actor=Actor("user", "ann")),
    an_event(4, action=Action.ROTATION_PARKED, outcome=Outcome.FAILED, credential="session"),
    an_event(5, action=Action.ROLLOUT_STARTED, actor=Actor("worker", "host:12")),
)
QUERIES = {
    "nothing in particular": (EventQuery(), [5, 4, 3, 2, 1]),
    "app": (EventQuery(app="web"), [3, 1]),
    "kind": (EventQuery(kind="secret"), [2, 1]),
    "credential": (EventQuery(credential="session"), [4, 1]),
    "rotation": (EventQuery(rotation_id=an_id(2, 3)), [2]),
    "outcome": (EventQuery(outcome="failed"), [4]),
    "action": (EventQuery(action="rotation.parked"), [4]),
    "actions of a family": (EventQuery(action="rotation"), [4, 3, 2, 1]),
    "several actions": (EventQuery(action="rollout,rotation.parked"), [5, 4]),
    "half a word of an action": (EventQuery(action="ro"), []),
    "actor by kind and name": (EventQuery(actor="user:ann"), [3]),
    "actor whose name has a colon": (EventQuery(actor="worker:host:12"), [5]),
    "actor by kind": (EventQuery(actor="worker"), [5]),
    "actor by name": (EventQuery(actor="ann"), [3]),
    "actor by the beginning of a name": (EventQuery(actor="an"), [3]),
    "actor by kind and the beginning of a name": (EventQuery(actor="worker:host"), [5]),
    "actor whose name begins with a kind": (EventQuery(actor="host:1"), [5]),
    "a wildcard of LIKE in an actor": (EventQuery(actor="%"), []),
    "actor by another's kind": (EventQuery(actor="worker:ann"), []),
    "since, the instant included": (EventQuery(since=NOW + minutes(4)), [5, 4]),
    "until, the instant left out": (EventQuery(until=NOW + minutes(3)), [2, 1]),
    "before": (EventQuery(before=3), [2, 1]),
    "limit": (EventQuery(limit=2), [5, 4]),
    "several at once": (EventQuery(app="web", kind="secret", until=NOW + HOUR), [1]),
    "several that exclude each other": (EventQuery(app="web", credential="api-key"), []),
}


@pytest.mark.parametrize("name", QUERIES)
async def test_the_log_is_filtered_newest_first_by(store: SqlStore, name: str) -> None:
    await appended(store, *SAMPLE)
    query, expected = QUERIES[name]
    assert await found(store, query) == expected


async def test_an_actor_is_noted_once_and_again_where_the_transaction_did_not_last(
    store: SqlStore, raw: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = an_event(1, actor=Actor("user", "ann"))

    async def fails(*_: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as broken, pytest.raises(Unavailable):
        broken.setattr(LogUnit, "_insert_rows", fails)
        await appended(store, ann)
    await appended(store, ann)
    await appended(store, ann, an_event(2, actor=Actor("user", "bob")))
    assert await found(store, EventQuery(actor="user:a")) == [2, 1]
    assert await found(store, EventQuery(actor="bob")) == [3]
    async with raw.connect() as connection:
        noted = await connection.execute(text("SELECT name FROM event_actors ORDER BY name"))
        assert [row.name for row in noted] == ["ann", "bob"]


async def test_the_log_is_paged_through_to_its_beginning(store: SqlStore) -> None:
    await appended(store, *(an_event(n, app="web" if n % 2 else None) for n in range(1, 12)))
    query = EventQuery(app="web", limit=2)
    pages = []
    while page := await found(store, query):
        pages.append(page)
        # What is written meanwhile does not move the pages.
        await appended(store, an_event(50, app="web"))
        query = replace(query, before=page[-1])
    assert pages == [[11, 9], [7, 5], [3, 1]]


async def test_checkpoints_come_back_in_order_and_are_never_replaced(store: SqlStore) -> None:
    def signed(sequence: int, key_id: str = "0badcafe") -> Checkpoint:
        at = NOW + minutes(sequence)
        return Checkpoint(sequence, "ab" * 32, at, key_id, "c2ln", f"note {sequence}")

    async with store.unit() as unit:
        await unit.save_checkpoint(signed(2))
        await unit.save_checkpoint(signed(1))
        await unit.save_checkpoint(signed(1, "another"))
    async with store.view() as unit:
        assert await unit.checkpoints() == [signed(1), signed(2)]
        assert await unit.checkpoints(after=1, limit=1) == [signed(2)]
        assert await unit.newest_checkpoint() == signed(2)


def test_a_signer_knows_the_keys_that_were_first_before() -> None:
    old, new = CheckpointSigner(a_ring()), CheckpointSigner(a_ring(ANOTHER_KEY, A_KEY))
    assert list(new.public_keys)[1:] == list(old.public_keys)
    assert VerifierKey("log", old.public_keys[0]).accepts(b"text", old.sign(b"text"))
    assert not VerifierKey("log", old.public_keys[0]).accepts(b"text", new.sign(b"text"))


async def test_workers_are_saved_replaced_and_removed(store: SqlStore) -> None:
    first = WorkerRecord("w1", "daemon", "host", 11, NOW, NOW)
    second = WorkerRecord("w2", "cli", "host", 12, NOW, NOW)
    seen = replace(first, seen_at=NOW + HOUR)
    async with store.unit() as unit:
        for worker in (second, first, seen):
            await unit.save_worker(worker)
    async with store.view() as unit:
        assert await unit.workers() == [seen, second]
    async with store.unit() as unit:
        await unit.remove_worker("w1")
        await unit.remove_worker("w1")
    async with store.view() as unit:
        assert await unit.workers() == [second]


INDEX_OF = {
    "app": ("ix_events_app", EventQuery(app="web")),
    "kind": ("ix_events_kind", EventQuery(kind="secret")),
    "credential": ("ix_events_credential", EventQuery(credential="session")),
    "organization": ("ix_events_organization", EventQuery(organization="acme")),
    "target": ("ix_events_target", EventQuery(target="file:/x")),
    "machine": ("ix_events_machine", EventQuery(machine="m1")),
    "actor by kind": ("ix_events_actor_kind", EventQuery(actor="worker")),
    "actor by name": ("ix_events_actor", EventQuery(actor="ann")),
    "actor by kind and name": ("ix_events_actor", EventQuery(actor="worker:ho")),
    "host": ("ix_events_actor_host", EventQuery(actor_host="h")),
    "uid": ("ix_events_actor_uid", EventQuery(actor_uid=501)),
    "worker's machine": ("ix_events_actor_machine", EventQuery(actor_machine="m")),
    "region": ("ix_events_actor_region", EventQuery(actor_region="fra")),
    "action": ("ix_events_action", EventQuery(action="rotation.parked")),
    "family of actions": ("ix_events_action", EventQuery(action="rotation")),
    "outcome": ("ix_events_outcome", EventQuery(outcome="failed")),
    "rotation": ("ix_events_rotation", EventQuery(rotation_id=an_id(1, 3))),
    "rollout": ("ix_events_rollout_id", EventQuery(rollout_id=an_id(1, 5))),
    "request": ("ix_events_request_id", EventQuery(request_id="r")),
    "app, of an outcome, since and until": (
        "ix_events_",
        EventQuery(app="web", outcome="ok", since=NOW, until=NOW + HOUR),
    ),
    "actor, of a family, since": (
        "ix_events_",
        EventQuery(actor="worker", action="rotation", since=NOW),
    ),
    "before": ("INTEGER PRIMARY KEY|events_pkey", EventQuery(before=3)),
    "since": ("INTEGER PRIMARY KEY|events_pkey", EventQuery(since=NOW)),
    "until": ("INTEGER PRIMARY KEY|events_pkey", EventQuery(until=NOW + HOUR)),
    "nothing": ("INTEGER PRIMARY KEY|events_pkey", EventQuery()),
    "text": ("VIRTUAL TABLE INDEX|event_words", EventQuery(text="event")),
}


@pytest.mark.databases
@pytest.mark.parametrize("name", INDEX_OF)
async def test_a_page_is_found_by_an_index_in_its_order_by(
    store: SqlStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_query, "NARROW", -1)
    await appended(store, *SAMPLE, a_full_event())
    index, query = INDEX_OF[name]
    plans = await plans_of(store, query)
    assert plans
    assert any(re.search(index, plan) for plan in plans)
    for plan in plans:
        assert not re.search(r"SCAN events\b|Seq Scan on events\b", plan), plan
        if name != "text":
            assert not re.search(r"TEMP B-TREE FOR ORDER|Sort Key", plan), plan


async def plans_of(store: SqlStore, query: EventQuery) -> list[str]:
    """How the database finds the numbers of a page (the rows are then read by number)."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> None:
        finds = "FROM events" in statement or "event_words" in statement
        if finds and "previous" not in statement and "count(" not in statement:
            asked.append((statement, parameters))

    engine = store._engine.sync_engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    async with store.view() as unit:
        await unit.events(query)
    sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    how = "EXPLAIN" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    async with store._engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # A table of six rows is read whole, whatever indexes it has.
            await connection.exec_driver_sql("SET enable_seqscan = off")
            await connection.exec_driver_sql("SET enable_bitmapscan = off")
        found = []
        for statement, parameters in asked:
            rows = await connection.exec_driver_sql(f"{how} {statement}", parameters)
            found.append("\n".join(str(row[-1]) for row in rows.all()))
    return found


async def test_a_search_finds_events_by_words_and_their_beginnings(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await appended(
        store,
        an_event(1, reason="Laptop stolen in Köln", app="web"),
        an_event(2, reason="laptops are fine", app="api"),
        an_event(3, detail={"error": "it was STOLEN_again"}, app="web"),
    )
    assert await found(store, EventQuery(text="laptop*")) == [2, 1]
    assert await found(store, EventQuery(text="LAPTOP")) == [1]
    assert await found(store, EventQuery(text="STOL* köl*")) == [1]
    assert await found(store, EventQuery(text="stolen", app="web")) == [3, 1]
    assert await found(store, EventQuery(text="stolen", before=3)) == [1]
    assert await found(store, EventQuery(text="stolen", since=NOW + minutes(2))) == [3]
    many = [an_event(4 + n, reason="frequent", app="web" if n % 50 else "rare") for n in range(400)]
    await appended(store, *many)
    assert await found(store, EventQuery(text="frequent", app="rare", limit=3)) == [354, 304, 254]
    assert len(await found(store, EventQuery(text="freq*", app="web", limit=500))) == 392
    # The newest events are read, the others found by the index: together they are all.
    wanted = await found(store, EventQuery(text="frequent", app="web", limit=60))
    monkeypatch.setattr(log_query, "PAGE_READ", 10)
    monkeypatch.setattr(log_query, "PAGES_READ", 2)
    assert await found(store, EventQuery(text="frequent", app="web", limit=60)) == wanted
    assert await found(store, EventQuery(text="stolen", app="web")) == [3, 1]
    assert await found(store, EventQuery(text="top*")) == []
    assert await found(store, EventQuery(text="stolen_again")) == [3]
    assert await found(store, EventQuery(text="' OR \" * : --")) == []


@pytest.mark.parametrize("narrow", [log_query.NARROW, -1])
async def test_time_filters_hold_although_clocks_differ(
    store: SqlStore, narrow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_query, "NARROW", narrow)
    # Blocks of 256 events, in each of which one comes from a clock that is days ahead or behind.
    odd = {100: NOW + 5 * 24 * HOUR, 300: NOW - 5 * 24 * HOUR, 590: NOW - 24 * HOUR}
    times = [odd.get(n, NOW + minutes(n)) for n in range(600)]
    await appended(store, *(an_event(n, at=at) for n, at in enumerate(times)))
    for since, until in ((0, 50), (290, 310), (500, 10_000), (-10_000, 3), (599, 10_000)):
        start, end = NOW + minutes(since), NOW + minutes(until)
        wanted = [n + 1 for n, at in enumerate(times) if start <= at < end][::-1]
        query = EventQuery(since=start, until=end, limit=1000)
        assert await found(store, query) == wanted
        assert await found(store, replace(query, action="rotation")) == wanted
    late = await found(store, EventQuery(since=NOW + minutes(2000)))
    assert late == [101]
    async with store.view() as unit:
        assert await unit.first_since(NOW + minutes(400)) == 101
        assert await unit.first_since(NOW + minutes(599)) == 101
        assert await unit.first_since(NOW + 6 * 24 * HOUR) is None
