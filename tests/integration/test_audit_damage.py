"""Somebody who owns the database damages the log in every way that has a name; each is found."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.domain.events import LEAF_COLUMNS, ROW_COLUMNS, Damage
from rotator.domain.note import parse_checkpoint
from rotator.domain.rotation import Actor
from rotator.engine.audit.checkpoints import Outside
from rotator.engine.audit.verify import Verification, verify_log
from rotator.engine.checkpoint import sign_head
from rotator.store import schema
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore
from tests.harness import tlog
from tests.integration.store_objects import NOW, SettableClock, a_full_event, a_ring, minutes

COUNT = 40
SIGNED = (10, 32)
FILLED = (10, 21, 7)
"""10 events, a checkpoint (and its event, the 11th), 21 more, a checkpoint, 7 more."""
Row = list[Any]
KEY_AT = {name: at for at, name in enumerate(ROW_COLUMNS)}


def verified(file: Path, *outside: str) -> Verification:
    """What a whole verification finds, with checkpoints that were kept elsewhere."""
    kept = [Outside("kept.txt", *parse_checkpoint(note)) for note in outside]

    async def verify() -> Verification:
        store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
        try:
            return await verify_log(store, CheckpointSigner(a_ring()), outside=kept)
        finally:
            await store.aclose()

    return asyncio.run(verify())


async def written(file: Path) -> None:
    """Write the log."""
    await schema.upgrade(f"sqlite:///{file}")
    store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
    number = 0
    for count in FILLED:
        async with store.unit() as unit:
            for _ in range(count):
                number += 1
                at = NOW + minutes(number)
                await unit.append(replace(a_full_event(), at=at, reason=f"event {number}"))
        if count != FILLED[-1]:
            await sign_head(store, CheckpointSigner(a_ring()), Actor("worker", "w"), NOW)
    await store.aclose()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that nobody has touched."""
    file = tmp_path_factory.mktemp("log") / "rotator.db"
    asyncio.run(written(file))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return file


class Intruder:
    """Owns the database, but neither the keys nor what was kept elsewhere."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in self._connection.execute(named).fetchall():
            self._connection.execute(f"DROP TRIGGER {name}")
        columns = ", ".join(ROW_COLUMNS)
        found = self._connection.execute(f"SELECT {columns} FROM events ORDER BY sequence")
        self.rows: list[Row] = [list(row) for row in found]

    def do(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)

    def save(self, *, numbered: bool = True) -> None:
        """Put the rows back, numbered from 1 on where they should be."""
        if numbered:
            for number, row in enumerate(self.rows, start=1):
                row[0] = number
        self.do("BEGIN")
        self.do("DELETE FROM events")
        columns, marks = ", ".join(ROW_COLUMNS), ", ".join("?" * len(ROW_COLUMNS))
        insert = f"INSERT INTO events ({columns}) VALUES ({marks})"
        self._connection.executemany(insert, self.rows)
        self.do("COMMIT")

    def chain(self, first: int, last: int) -> None:
        """Hash rows of a range anew, each linked to the one before it."""
        for at in range(first - 1, last):
            previous = self.rows[at - 1][2] if at else "0" * 64
            self.rows[at][1] = previous
            self.rows[at][2] = tlog.sha(bytes.fromhex(previous), leaf(self.rows[at])).hex()

    def fake_the_rest(self) -> None:
        """Make the tree and the head fit the rows."""
        hashes = [leaf(row) for row in self.rows]
        self.do("DELETE FROM tree_nodes")
        for position, found in enumerate(hashes):
            self.do("INSERT INTO tree_nodes VALUES (0, ?, ?)", position, found)
        frontier, start = b"", 0
        for level in reversed(range(7)):
            if len(hashes) >> level & 1:
                frontier += node_over(hashes[start : start + (1 << level)])
                start += 1 << level
        head = self.rows[-1][2] if self.rows else "0" * 64
        update = "UPDATE event_head SET sequence = ?, hash = ?, frontier = ?"
        self.do(update, len(hashes), head, frontier)

    def note(self, size: int) -> str:
        row = self._connection.execute("SELECT note FROM checkpoints WHERE sequence = ?", (size,))
        return str(row.fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def leaf(row: Row) -> bytes:
    """A row's leaf, by the description and not by rotator's code."""
    text = json.dumps(row[3:], separators=(",", ":"), ensure_ascii=False)
    return tlog.sha(b"\x00", text.encode())


def node_over(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    half = len(hashes) // 2
    return tlog.sha(b"\x01", node_over(hashes[:half]), node_over(hashes[half:]))


@contextmanager
def broken_into(log: Path) -> Iterator[tuple[Intruder, Path]]:
    """A copy of the log, with the intruder in it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(shutil.copy(log, Path(folder) / "rotator.db"))
        with closing(Intruder(file)) as intruder:
            yield intruder, file


Expected = tuple[Damage, int]


def edit(intruder: Intruder, data: st.DataObject) -> Expected:
    number = data.draw(st.integers(1, COUNT), "number")
    column = data.draw(st.sampled_from([*LEAF_COLUMNS, "previous", "hash"]), "column")
    row, at = intruder.rows[number - 1], KEY_AT[column]
    row[at] = row[at] + 1 if isinstance(row[at], int) else f"{row[at] or ''}x"
    if column not in ("previous", "hash") and data.draw(st.booleans(), "hashed anew"):
        row[2] = tlog.sha(bytes.fromhex(row[1]), leaf(row)).hex()
    intruder.save()
    return Damage.EDITED, number


def delete(intruder: Intruder, data: st.DataObject) -> Expected:
    number = data.draw(st.integers(1, COUNT - 1), "number")
    count = data.draw(st.integers(1, COUNT - number), "count")
    del intruder.rows[number - 1 : number - 1 + count]
    numbered = data.draw(st.booleans(), "renumbered")
    if numbered and data.draw(st.booleans(), "chained anew"):
        intruder.chain(number, len(intruder.rows))
    intruder.save(numbered=numbered)
    return Damage.DELETED, number


def insert(intruder: Intruder, data: st.DataObject) -> Expected:
    number = data.draw(st.integers(1, COUNT + 1), "number")
    of = data.draw(st.integers(1, COUNT), "copy of")
    row = list(intruder.rows[of - 1])
    forged = data.draw(st.booleans(), "forged") or number == COUNT + 1
    if forged:
        row[KEY_AT["reason"]] = "nothing happened"
    intruder.rows.insert(number - 1, row)
    if data.draw(st.booleans(), "chained"):
        intruder.chain(number, number)
    if data.draw(st.booleans(), "all chained"):
        intruder.chain(number, len(intruder.rows))
    intruder.save()
    # Of two that are the same nobody can say which one was there before.
    return Damage.INSERTED, number + 1 if of == number and not forged else number


def reorder(intruder: Intruder, data: st.DataObject) -> Expected:
    first = data.draw(st.integers(1, COUNT - 1), "first")
    second = data.draw(st.integers(first + 1, COUNT), "second")
    rows = intruder.rows
    if data.draw(st.booleans(), "moved"):
        rows.insert(second - 1, rows.pop(first - 1))
    else:
        rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
    if data.draw(st.booleans(), "chained anew"):
        intruder.chain(first, COUNT)
    intruder.save()
    return Damage.REORDERED, first


def truncate(intruder: Intruder, data: st.DataObject) -> Expected:
    hidden = data.draw(st.booleans(), "head and tree cut off too")
    # What came after the newest checkpoint can be cut off without a trace until the next one.
    left = data.draw(st.integers(0, SIGNED[-1] - 1 if hidden else COUNT - 1), "left")
    del intruder.rows[left:]
    intruder.save()
    if hidden:
        intruder.fake_the_rest()
        if data.draw(st.booleans(), "checkpoints too"):
            intruder.do("DELETE FROM checkpoints WHERE sequence > ?", left)
    return Damage.TRUNCATED, left + 1


def rewrite(intruder: Intruder, data: st.DataObject) -> Expected:
    number = data.draw(st.integers(1, SIGNED[-1]), "number")
    intruder.rows[number - 1][KEY_AT["reason"]] = "nothing happened"
    intruder.chain(number, COUNT)
    intruder.save()
    intruder.fake_the_rest()
    return Damage.REWRITTEN, 1 if number <= SIGNED[0] else SIGNED[0] + 1


WAYS = (edit, delete, insert, reorder, truncate, rewrite)


def test_a_log_that_nobody_touched_is_whole(log: Path) -> None:
    found = verified(log)
    assert (found.fault, found.events, found.checkpoints) == (None, COUNT, len(SIGNED))
    assert not found.unknown_keys


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_damage_is_found_at_its_place_and_named(log: Path, data: st.DataObject) -> None:
    way = data.draw(st.sampled_from(WAYS), "way")
    with broken_into(log) as (intruder, file):
        kept = intruder.note(SIGNED[-1])
        damage, number = way(intruder, data)
        found = verified(file, kept)
    assert found.fault is not None, f"{damage} at {number} was not found"
    assert (found.fault.damage, found.fault.sequence) == (damage, number), found.fault


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE tree_nodes SET hash = x'00' WHERE position = 6", "the tree's hash of it"),
        ("DELETE FROM tree_nodes WHERE position = 6", "event 7"),
        ("UPDATE event_head SET frontier = x''", "record of the log's end"),
        ("UPDATE event_head SET hash = 'x'", "record of the log's end"),
        ("UPDATE event_head SET sequence = 39", "record of the log's end"),
        ("DELETE FROM event_actors", "list of actors that the search uses"),
        ("UPDATE checkpoints SET note = replace(note, '32', '31')", "checkpoint at event 32"),
        ("UPDATE checkpoints SET note = 'x'", "checkpoint at event 10"),
    ],
)
def test_what_stands_beside_the_events_is_verified_too(
    log: Path, statement: str, told: str
) -> None:
    with broken_into(log) as (intruder, file):
        intruder.do(statement)
        found = verified(file)
    assert found.fault is not None
    assert told in found.fault.message
