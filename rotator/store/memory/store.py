"""The store in memory and its transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from rotator.domain.errors import Unavailable
from rotator.domain.events import Event, LoggedEvent, leaf_bytes, to_row
from rotator.domain.merkle import leaf_hash
from rotator.domain.ports import Clock, Store
from rotator.store.memory.alerts import AlertUnit
from rotator.store.memory.base import Database
from rotator.store.memory.fleet import FleetUnit
from rotator.store.memory.inventory import InventoryUnit
from rotator.store.memory.journal import JournalUnit
from rotator.store.memory.log import LogUnit
from rotator.store.memory.posture import PostureUnit
from rotator.store.memory.tables import Locks, Pause, Transaction
from rotator.store.memory.watches import WatchUnit
from rotator.store.sealing import KeyRing

UNIT_SECONDS: Final = 60


class MemoryUnit(InventoryUnit, JournalUnit, FleetUnit, WatchUnit, PostureUnit, AlertUnit, LogUnit):
    """One transaction with all its parts."""

    def __init__(
        self, database: Database, transaction: Transaction, ring: KeyRing | None, clock: Clock
    ) -> None:
        super().__init__(database, transaction, ring, clock)
        self._pending: list[Event] = []
        self._placed: list[LoggedEvent] = []

    def commit(self) -> None:
        """Make it all visible at one instant."""
        self._tx.commit()
        self._db.events.extend(self._placed)
        for logged in self._placed:
            self._db.tree.push(leaf_hash(leaf_bytes(to_row(logged))))


class MemoryStore:
    """Implements `domain.ports.Store`; held against the same tests as the databases.

    `clock` is the database's own clock, as the server's is on PostgreSQL. `pause` is awaited at
    each statement: where it yields, transactions of several workers interleave as they do there.
    """

    name: Final = "memory"

    def __init__(self, ring: KeyRing | None, clock: Clock, *, pause: Pause | None = None) -> None:
        self._ring, self._clock, self._pause = ring, clock, pause
        self._database = Database()
        self._locks = Locks()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[MemoryUnit]:
        """A transaction for writing."""
        async with self._transaction() as unit:
            yield unit
            await unit.flush_events()
            unit.commit()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[MemoryUnit]:
        """A transaction for reading."""
        async with self._transaction() as unit:
            yield unit

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[MemoryUnit]:
        transaction = Transaction(self._locks, self._pause)
        try:
            async with asyncio.timeout(UNIT_SECONDS):
                yield MemoryUnit(self._database, transaction, self._ring, self._clock)
        except TimeoutError:
            raise Unavailable("the database in memory takes too long") from None
        finally:
            await transaction.end()

    async def aclose(self) -> None:
        """Nothing to close."""


def as_store(store: MemoryStore) -> Store:
    """The same store by its port: the type checker holds every method against it here."""
    return store
