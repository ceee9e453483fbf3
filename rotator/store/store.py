"""The database: connections, transactions and their bounds."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import FromClause, Table, event, func, insert, select, update
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rotator.domain.errors import InputError, NeedsHuman, OutcomeUnknown, Unavailable
from rotator.domain.ports import Clock
from rotator.domain.secret import Secret
from rotator.store.alert_tables import leak_values
from rotator.store.alerts import AlertUnit
from rotator.store.errors import translated
from rotator.store.fleet_records import FleetUnit
from rotator.store.inventory import InventoryUnit
from rotator.store.journal import JournalUnit
from rotator.store.log import LogUnit
from rotator.store.log_query import LogQueryUnit
from rotator.store.log_read import LogReadUnit
from rotator.store.posture import PostureUnit
from rotator.store.sealing import KeyRing, key_id
from rotator.store.tables import key_checks, sealed_values
from rotator.store.watches import WatchUnit

UNIT_SECONDS: Final = 60
"""No transaction lasts longer; none of ours holds one over an outside call."""
BUSY_MILLISECONDS: Final = 15_000
POOL_SIZE: Final = 8
MOST_ACTORS: Final = 1000
"""So many actors are remembered; beyond that, remembering begins anew."""
_KEY_CHECK: Final = Secret.of_public("rotator key check")
_WRITES: Final = "rotator_writes"
_LONGEST_PREFIX: Final = 2 + 255
"""Format, length and name of a key."""
_SEALED: Final = (sealed_values, leak_values)
"""Tables of values under the key-encryption keys, by the id that each is sealed for."""


class SqlUnit(
    InventoryUnit,
    JournalUnit,
    FleetUnit,
    WatchUnit,
    PostureUnit,
    AlertUnit,
    LogUnit,
    LogReadUnit,
    LogQueryUnit,
):
    """One transaction with all its parts."""

    def __init__(
        self,
        connection: AsyncConnection,
        ring: KeyRing | None,
        clock: Clock,
        *,
        writes: bool,
        actors_noted: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        super().__init__(connection, ring, clock, writes=writes)
        self._pending = []
        self._actors_noted = actors_noted
        self.actors_told = set()


def database_url(text: str) -> URL:
    """The URL with the driver that rotator uses, from the forms that people write.

    Raises:
        InputError: not a URL, or neither SQLite nor PostgreSQL.
    """
    how = "write sqlite:///path/to/rotator.db or postgresql://user:password@host/name"
    try:
        url = make_url(text)
    except ArgumentError:
        raise InputError(
            "not a database URL", where="ROTATOR_DATABASE_URL", next_step=how
        ) from None
    match url.get_backend_name():
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise InputError(
                f"{other} is not supported", where="ROTATOR_DATABASE_URL", next_step=how
            )


def shown(url: URL) -> str:
    """The URL for people: no password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def make_engine(url: URL) -> AsyncEngine:
    """An engine with the settings that the promises rest on (WAL, FULL, BEGIN IMMEDIATE)."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 10, "application_name": "rotator"},
            hide_parameters=True,
        )
    _private_file(url)
    engine = create_async_engine(
        url, connect_args={"timeout": BUSY_MILLISECONDS / 1000}, hide_parameters=True
    )
    engine.sync_engine.dialect.statement_compiler = _Hinted
    event.listen(engine.sync_engine, "connect", _on_connect)
    event.listen(engine.sync_engine, "begin", _on_begin)
    return engine


class _Hinted(SQLiteCompiler):
    """Writes `INDEXED BY` where a statement wants an index: SQLAlchemy has it for others only."""

    def get_from_hint_text(self, table: FromClause, text: str | None) -> str | None:  # noqa: ARG002
        """The hint as it stands."""
        return text


def _private_file(url: URL) -> None:
    """Create the SQLite file for its owner alone, before SQLite would with the umask's mode.

    Raises:
        Unavailable: its directory or volume is gone.
    """
    if not url.database or url.database == ":memory:":
        return
    if not Path(url.database).absolute().parent.is_dir():
        raise Unavailable(
            f"the database {shown(url)} can't be opened: its directory is not there",
            next_step="see that the volume is mounted, or mend ROTATOR_DATABASE_URL",
        )
    with suppress(OSError):
        os.close(os.open(url.database, os.O_CREAT | os.O_RDWR, 0o600))


def _on_connect(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_MILLISECONDS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Any) -> None:
    """Writers take the write lock at once: a reader that turns writer could fail in the middle."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class SqlStore:
    """Implements `domain.ports.Store` on SQLite and PostgreSQL."""

    def __init__(self, url: str, ring: KeyRing | None, clock: Clock) -> None:
        self.url = database_url(url)
        self.name = shown(self.url)
        self._ring = ring
        self._clock = clock
        self._engine = make_engine(self.url)
        self._actors_noted: frozenset[tuple[str, str]] = frozenset()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        """A transaction for writing."""
        async with self._transaction(writes=True) as unit:
            yield unit

    @asynccontextmanager
    async def view(self) -> AsyncIterator[SqlUnit]:
        """A transaction for reading."""
        async with self._transaction(writes=False) as unit:
            yield unit

    @asynccontextmanager
    async def _transaction(self, *, writes: bool) -> AsyncIterator[SqlUnit]:
        committing = False
        try:
            async with asyncio.timeout(UNIT_SECONDS), self._engine.connect() as plain:
                connection = await plain.execution_options(**{_WRITES: writes})
                async with connection.begin() as transaction:
                    unit = SqlUnit(
                        connection,
                        self._ring,
                        self._clock,
                        writes=writes,
                        actors_noted=self._actors_noted,
                    )
                    yield unit
                    if writes:
                        await unit.flush_events()
                        committing = True
                        await transaction.commit()
                        committing = False
                        self._remember(unit.actors_told)
                    else:
                        await transaction.rollback()
        except TimeoutError:
            if committing:
                raise OutcomeUnknown(f"the database {self.name} did not confirm a commit") from None
            raise Unavailable(f"the database {self.name} takes too long") from None
        except SQLAlchemyError as error:
            if committing and getattr(error, "connection_invalidated", False):
                raise OutcomeUnknown(
                    f"the connection to {self.name} was lost during a commit"
                ) from None
            raise translated(error, self.name) from None
        except OSError as error:
            raise Unavailable(
                f"the database {self.name} can't be reached ({error.strerror or 'no answer'})"
            ) from None

    def _remember(self, actors: set[tuple[str, str]]) -> None:
        """Actors that are in the database for good."""
        if not actors <= self._actors_noted:
            known = self._actors_noted if len(self._actors_noted) < MOST_ACTORS else frozenset()
            self._actors_noted = known | actors

    async def verify_keys(self) -> None:
        """See that the keys open this database; a new one remembers the first key.

        Raises:
            NeedsHuman: the keys are not those that the values are sealed under.
        """
        if self._ring is None:
            raise InputError(
                "no key-encryption key is set",
                where="ROTATOR_KEYS",
                next_step="`rotator init` writes one to .env",
            )
        async with self._transaction(writes=True) as unit:
            connection = unit._connection
            rows = (await connection.execute(select(key_checks))).all()
            opened = [row.key_id for row in rows if self._opens(row.key_id, bytes(row.sealed))]
            if rows and not opened:
                known = ", ".join(row.key_id for row in rows)
                raise NeedsHuman(
                    f"ROTATOR_KEYS does not hold the key of this database ({known})",
                    next_step="restore that key; without it no sealed value can be read again",
                )
            if self._ring.first_id not in opened:
                sealed = self._ring.seal(self._ring.first_id, _KEY_CHECK)
                values = {"key_id": self._ring.first_id, "sealed": sealed}
                await connection.execute(insert(key_checks).values(values))

    def _opens(self, key_id: str, sealed: bytes) -> bool:
        assert self._ring is not None
        try:
            return self._ring.open(key_id, sealed) == _KEY_CHECK
        except NeedsHuman:
            return False

    @property
    def key_ids(self) -> Sequence[str]:
        """Ids of the key-encryption keys at hand, the one that seals first."""
        return self._ring.ids if self._ring is not None else ()

    async def rewrap(self, limit: int) -> int:
        """Wrap up to so many values anew that another key than the first one still wraps, in one
        transaction. Gives how many there were; 0 once none is left.

        Raises:
            NeedsHuman: a value is under a key that is not in the ring.
        """
        done = 0
        for table in _SEALED:
            done += await self._rewrap(table, limit - done) if done < limit else 0
        return done

    async def _rewrap(self, table: Table, limit: int) -> int:
        ring = self._ring
        assert ring is not None
        (subject,) = table.primary_key.columns
        prefix = ring.first_prefix
        begins = func.substr(table.c.sealed, 1, len(prefix))
        # Locked, so that a value which is sealed anew meanwhile is not put back to what it was.
        query = (
            select(subject.label("subject"), table.c.sealed)
            .where(begins != prefix)
            .order_by(subject)
            .limit(limit)
            .with_for_update()
        )
        async with self._transaction(writes=True) as unit:
            rows = (await unit._connection.execute(query)).all()
            for row in rows:
                sealed = ring.rewrap(row.subject, bytes(row.sealed))
                change = update(table).where(subject == row.subject)
                await unit._connection.execute(change.values(sealed=sealed))
        return len(rows)

    async def sealed_under(self) -> Mapping[str, int]:
        """How many values are under each key, by its id."""
        found: Counter[str] = Counter()
        async with self._transaction(writes=False) as unit:
            for table in _SEALED:
                beginning = func.substr(table.c.sealed, 1, _LONGEST_PREFIX)
                rows = (await unit._connection.execute(select(beginning.label("start")))).all()
                found.update(key_id(bytes(row.start)) for row in rows)
        return found

    async def aclose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class DaemonLock:
    """The right to be the one daemon of a SQLite file: a lock that dies with the process."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".daemon.lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it.

        Raises:
            InputError: another daemon has it.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise InputError(
                f"another rotator daemon (process {holder}) runs on this database",
                where=str(self._path),
                next_step="stop it first, or use PostgreSQL for several daemons",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        """Give it back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
