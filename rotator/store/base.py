"""What the parts of a unit share: the connection, upserts, row locks and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable, Row, Select, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from rotator.domain.errors import InputError, Unavailable
from rotator.domain.ports import AppLock, Clock
from rotator.store.rows import Values
from rotator.store.sealing import KeyRing


class UnitBase:
    """One open transaction."""

    def __init__(
        self, connection: AsyncConnection, ring: KeyRing | None, clock: Clock, *, writes: bool
    ) -> None:
        self._connection = connection
        self._ring = ring
        self._clock = clock
        self._writes = writes
        self._locks_held: set[AppLock] = set()
        self._postgres = connection.dialect.name == "postgresql"

    def _keys(self) -> KeyRing:
        if self._ring is None:
            raise InputError(
                "values can't be sealed or opened without a key-encryption key",
                where="ROTATOR_KEYS",
                next_step="set ROTATOR_KEYS; `rotator init` prints a fresh key",
            )
        return self._ring

    async def database_now(self) -> datetime:
        """The server's clock on PostgreSQL, where several hosts share it; ours on SQLite."""
        if not self._postgres:
            return self._clock.now()
        now = await self._connection.scalar(select(func.clock_timestamp()))
        if not isinstance(now, datetime):
            raise Unavailable("the database did not tell its time")
        return now

    async def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        rows: Sequence[Row[Any]] = (await self._connection.execute(query)).all()
        return rows

    async def _row(self, query: Select[Any]) -> Row[Any] | None:
        row: Row[Any] | None = (await self._connection.execute(query)).first()
        return row

    async def _locked_row(self, query: Select[Any]) -> Row[Any] | None:
        """The row, held until the transaction ends (SQLite writers hold everything already)."""
        return await self._row(query.with_for_update() if self._postgres else query)

    async def _ensure(self, table: Table, values: Values, *key: str) -> None:
        """Insert unless a row of this key is there. Who comes second waits for who came first, so
        that a row which does not exist yet can be taken turns at like any other."""
        insert = postgresql.insert if self._postgres else sqlite.insert
        statement: Any = insert(table).values(dict(values))
        await self._connection.execute(statement.on_conflict_do_nothing(index_elements=list(key)))

    async def _upsert(self, table: Table, values: Values, *key: str) -> None:
        """Insert, or replace by `key` all columns that are given."""
        statement = _upsert_statement(table, tuple(values), key, postgres=self._postgres)
        await self._connection.execute(statement, dict(values))

    async def _raw(self, statement: str, *values: int) -> Sequence[tuple[Any, ...]]:
        """Rows as the driver gives them: several times faster where a million of them are read.
        `?` stands for a value."""
        raw: Any = (await self._connection.get_raw_connection()).driver_connection
        try:
            if not self._postgres:
                rows: Sequence[tuple[Any, ...]] = await raw.execute_fetchall(statement, values)
                return rows
            cursor = await raw.execute(statement.replace("?", "%s"), values)
            rows = await cursor.fetchall()
        except self._errors() as error:
            raise DBAPIError(statement, None, error) from None
        return rows

    def _errors(self) -> type[Exception]:
        """The base of the driver's errors."""
        return self._connection.dialect.loaded_dbapi.Error


@lru_cache(maxsize=128)
def _upsert_statement(
    table: Table, names: tuple[str, ...], key: tuple[str, ...], *, postgres: bool
) -> Executable:
    """Built once for each set of columns: building it takes longer than SQLite does."""
    insert: Any = postgresql.insert(table) if postgres else sqlite.insert(table)
    changes = {name: insert.excluded[name] for name in names if name not in key}
    statement: Executable = insert.on_conflict_do_update(index_elements=list(key), set_=changes)
    return statement
