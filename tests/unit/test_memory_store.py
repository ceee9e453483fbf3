"""Transactions of the store in memory meet each other as they do on PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from rotator.domain.errors import NeedsHuman, Unavailable
from rotator.store.memory.tables import Locks, Table, Transaction


def two() -> tuple[Table[str], Transaction, Transaction]:
    """A table, and two transactions that are under way at once."""
    locks = Locks()

    async def others_go_on() -> None:
        await asyncio.sleep(0)

    return Table("rows"), Transaction(locks, others_go_on), Transaction(locks, others_go_on)


async def test_a_statement_sees_what_is_committed_and_its_own_changes() -> None:
    table, first, second = two()
    await first.put(table, 1, "first")
    assert await first.get(table, 1) == "first"
    assert await second.get(table, 1) is None
    first.commit()
    assert await second.get(table, 1) == "first"


async def test_who_comes_second_to_a_row_waits_and_sees_what_the_first_one_left() -> None:
    table, first, second = two()
    await first.locked(table, 1)
    waiting = asyncio.create_task(second.locked(table, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    await first.put(table, 1, "first")
    first.commit()
    await first.end()
    assert await waiting == "first"


async def test_the_one_that_would_close_a_ring_of_waits_is_refused() -> None:
    table, first, second = two()
    await first.locked(table, 1)
    await second.locked(table, 2)
    waiting = asyncio.create_task(first.locked(table, 2))
    for _ in range(5):
        await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="conflicting"):
        await second.locked(table, 1)
    await second.end()
    await waiting


async def test_a_unique_key_is_taken_once_also_before_anything_is_committed() -> None:
    _, first, second = two()
    table: Table[str] = Table("names", unique={"uq_name": lambda row: row})
    await first.put(table, 1, "same")
    waiting = asyncio.create_task(second.put(table, 2, "same"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    first.commit()
    await first.end()
    with pytest.raises(NeedsHuman):
        await waiting


async def test_what_is_rolled_back_never_was() -> None:
    table, first, second = two()
    await first.put(table, 1, "first")
    await first.end()
    assert await second.locked(table, 1) is None
