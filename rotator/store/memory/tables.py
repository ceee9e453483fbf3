"""Tables of rows with indexes, and transactions over them: PostgreSQL's READ COMMITTED.

A statement sees what is committed and what its own transaction has changed. A row that a
transaction has changed or locked is locked until it ends, and so is a unique key that it has taken;
who comes second waits and then sees what the first one left. Two that wait for each other: the one
that would close the ring is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from rotator.domain.errors import Busy, NeedsHuman, RotatorError, Unavailable

Row = TypeVar("Row")
IndexKey = Callable[[Any], Hashable]
LockKey = tuple[str, Hashable]
Pause = Callable[[], Awaitable[None]]

_BROKEN_RULE: Final = "the database in memory refused a row that breaks its rules"


@dataclass
class Table(Generic[Row]):
    """Committed rows by primary key.

    `indexes` group rows by a key, None for rows that are not in it; in a `unique` one no two rows
    may have the same key. `taken` tells what to raise when they would; without it that is a breach
    of the schema's rules, which only a bug can commit.
    """

    name: str
    indexes: Mapping[str, IndexKey] = field(default_factory=dict)
    unique: Mapping[str, IndexKey] = field(default_factory=dict)
    taken: Callable[[], RotatorError] | None = None
    rows: dict[Hashable, Row] = field(default_factory=dict)
    groups: dict[tuple[str, Hashable], dict[Hashable, Row]] = field(default_factory=dict)

    def keys_of(self, row: Row) -> list[tuple[str, Hashable]]:
        """The groups that a row belongs to."""
        both = (*self.indexes.items(), *self.unique.items())
        return [(name, key) for name, of in both if (key := of(row)) is not None]

    def apply(self, key: Hashable, row: Row | None) -> None:
        """Make a change for everybody. None deletes."""
        before = self.rows.pop(key, None)
        if before is not None:
            for group in self.keys_of(before):
                del self.groups[group][key]
        if row is not None:
            self.rows[key] = row
            for group in self.keys_of(row):
                self.groups.setdefault(group, {})[key] = row

    def refusal(self) -> RotatorError:
        """What a second row of a unique key gets."""
        return NeedsHuman(_BROKEN_RULE) if self.taken is None else self.taken()


class Locks:
    """Who holds which row, and who waits for it."""

    def __init__(self) -> None:
        self._holders: dict[LockKey, Transaction] = {}
        self._waiting: dict[Transaction, LockKey] = {}
        self._freed = asyncio.Condition()

    async def take(self, transaction: Transaction, key: LockKey) -> None:
        """Hold the row until the transaction ends. `Unavailable` where that would wait for ever."""
        while (holder := self._holders.get(key)) is not None and holder is not transaction:
            self._refuse_ring(transaction, holder)
            self._waiting[transaction] = key
            try:
                async with self._freed:
                    await self._freed.wait()
            finally:
                self._waiting.pop(transaction, None)
        self._holders[key] = transaction

    def _refuse_ring(self, transaction: Transaction, holder: Transaction) -> None:
        seen: Transaction | None = holder
        while seen is not None:
            if seen is transaction:
                raise Unavailable("the database was busy with a conflicting transaction")
            wanted = self._waiting.get(seen)
            seen = self._holders.get(wanted) if wanted is not None else None

    async def free(self, transaction: Transaction) -> None:
        """Let go of everything."""
        held = [key for key, holder in self._holders.items() if holder is transaction]
        for key in held:
            del self._holders[key]
        if held and self._waiting:
            async with self._freed:
                self._freed.notify_all()


class Transaction:
    """What one transaction has changed, over what is committed."""

    def __init__(self, locks: Locks, pause: Pause | None) -> None:
        self._locks, self._pause = locks, pause
        self._changes: dict[str, tuple[Table[Any], dict[Hashable, Any]]] = {}

    async def begin_statement(self) -> None:
        """The time that a statement takes: others may commit meanwhile."""
        if self._pause is not None:
            await self._pause()

    async def get(self, table: Table[Row], key: Hashable) -> Row | None:
        """One row."""
        await self.begin_statement()
        return self._now(table, key)

    async def locked(self, table: Table[Row], key: Hashable) -> Row | None:
        """One row, held until the end (`SELECT … FOR UPDATE`)."""
        await self.begin_statement()
        await self._locks.take(self, (table.name, key))
        return self._now(table, key)

    async def find(self, table: Table[Row], index: str, key: Hashable) -> list[Row]:
        """The rows of one group, in no order."""
        await self.begin_statement()
        return self._group(table, index, key)

    async def every(self, table: Table[Row]) -> list[Row]:
        """All rows, in no order."""
        await self.begin_statement()
        changed = self._changes.get(table.name)
        if changed is None:
            return list(table.rows.values())
        merged = {**table.rows, **changed[1]}
        return [row for row in merged.values() if row is not None]

    async def put(self, table: Table[Row], key: Hashable, row: Row) -> None:
        """Insert, or replace by primary key."""
        await self.begin_statement()
        await self._locks.take(self, (table.name, key))
        for name, of in table.unique.items():
            taken = of(row)
            if taken is None:
                continue
            await self._locks.take(self, (name, taken))
            others = self._keys_in(table, name, taken)
            if any(other != key for other in others):
                raise table.refusal()
        self._change(table, key, row)

    async def insert(self, table: Table[Row], key: Hashable, row: Row) -> None:
        """Insert; a key that is there already breaks the rules."""
        await self._locks.take(self, (table.name, key))
        if self._now(table, key) is not None:
            raise NeedsHuman(_BROKEN_RULE)
        await self.put(table, key, row)

    async def delete(self, table: Table[Any], key: Hashable) -> None:
        """Delete, if it is there."""
        await self.begin_statement()
        await self._locks.take(self, (table.name, key))
        self._change(table, key, None)

    def require(self, table: Table[Any], key: Hashable) -> None:
        """A foreign key: the row has to be there."""
        if self._now(table, key) is None:
            raise NeedsHuman(_BROKEN_RULE)

    def commit(self) -> None:
        """Make all changes for everybody, at one instant."""
        for table, changed in self._changes.values():
            for key, row in changed.items():
                table.apply(key, row)

    async def end(self) -> None:
        """Let go of all locks."""
        await self._locks.free(self)

    def _change(self, table: Table[Any], key: Hashable, row: object) -> None:
        self._changes.setdefault(table.name, (table, {}))[1][key] = row

    def _now(self, table: Table[Row], key: Hashable) -> Row | None:
        changed = self._changes.get(table.name)
        if changed is not None and key in changed[1]:
            row: Row | None = changed[1][key]
            return row
        return table.rows.get(key)

    def _group(self, table: Table[Row], index: str, key: Hashable) -> list[Row]:
        committed = table.groups.get((index, key), {})
        changed = self._changes.get(table.name)
        if changed is None:
            return list(committed.values())
        of = table.indexes.get(index) or table.unique[index]
        rows = [row for k, row in committed.items() if k not in changed[1]]
        rows += [row for row in changed[1].values() if row is not None and of(row) == key]
        return rows

    def _keys_in(self, table: Table[Any], index: str, key: Hashable) -> Iterable[Hashable]:
        committed = table.groups.get((index, key), {})
        changed = self._changes.get(table.name, (table, {}))[1]
        yield from (k for k in committed if k not in changed)
        of = table.unique[index]
        yield from (k for k, row in changed.items() if row is not None and of(row) == key)


def under_way() -> Busy:
    """A second active rotation."""
    return Busy("a rotation of this credential is under way already")


def rolling_out() -> Busy:
    """A second open rollout."""
    return Busy("a rollout of this app is under way already", after_seconds=5)


def name_taken() -> Busy:
    """A second credential of a name."""
    return Busy("another worker tracks a credential of this name already", after_seconds=1)
