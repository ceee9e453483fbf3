"""What the store says and does when the database fails it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from rotator.domain.credential import Issued, VersionState
from rotator.domain.errors import (
    Busy,
    InputError,
    NeedsHuman,
    OutcomeUnknown,
    RotatorError,
    Unavailable,
)
from rotator.domain.ports import WorkerRecord
from rotator.store import schema
from rotator.store import store as store_module
from rotator.store.store import DaemonLock, SqlStore
from tests.integration.postgres_server import PostgresServer
from tests.integration.store_objects import (
    NOW,
    SettableClock,
    a_credential,
    a_ring,
    a_rotation,
    a_spec,
    a_version,
    an_event,
    an_id,
)

MARKER = "marker-of-a-bound-parameter"
MOST_CONNECTIONS = 50
FINISH_SECONDS = 30
HOLD_LOCK = """
import sys
from pathlib import Path
from rotator.store.store import DaemonLock
DaemonLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def opened(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SqlStore]:
    """Open the SQLite database with a statement that every connection begins with."""
    # Nobody wants to wait for the 15 seconds that a real writer is given.
    monkeypatch.setattr(store_module, "BUSY_MILLISECONDS", 1)

    def open_store(pragma: str | None = None) -> SqlStore:
        store = SqlStore(sqlite_url, a_ring(), SettableClock())
        if pragma is not None:

            def begin(connection: Any, _record: object) -> None:
                connection.cursor().execute(f"PRAGMA {pragma}")

            event.listen(store._engine.sync_engine, "connect", begin)
        return store

    return open_store


@contextmanager
def plain(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection of another program."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


async def write(store: SqlStore) -> None:
    """Write something small."""
    async with store.unit() as unit:
        await unit.append(an_event())


async def read(store: SqlStore) -> int:
    """Count what was written."""
    async with store.view() as unit:
        return len(await unit.events_after(0, 100))


async def test_a_locked_database_can_be_read_and_be_written_later(
    opened: Callable[..., SqlStore], sqlite_file: Path
) -> None:
    store = opened()
    await write(store)
    with plain(sqlite_file) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match=r"is locked by another process.*tries again"):
            await write(store)
        assert await read(store) == 1
        other.execute("ROLLBACK")
    await write(store)
    assert await read(store) == 2
    await store.aclose()


async def test_a_read_only_database_can_be_read(opened: Callable[..., SqlStore]) -> None:
    store = opened("query_only = ON")
    with pytest.raises(Unavailable, match=r"is read-only.*make it writable for rotator's user"):
        await write(store)
    assert await read(store) == 0
    await store.aclose()


async def test_a_file_that_is_not_ours_to_write_says_so(
    opened: Callable[..., SqlStore], sqlite_file: Path
) -> None:
    if os.getuid() == 0:
        pytest.skip("permissions don't hold root back")
    sqlite_file.chmod(0o400)
    sqlite_file.parent.chmod(0o500)
    store = opened()
    try:
        with pytest.raises(Unavailable, match=r"is read-only|is gone or not ours"):
            await write(store)
    finally:
        sqlite_file.parent.chmod(0o700)
        await store.aclose()


async def test_a_full_disk_loses_the_transaction_and_nothing_else(
    opened: Callable[..., SqlStore], sqlite_file: Path
) -> None:
    with plain(sqlite_file) as other:
        (pages,) = other.execute("PRAGMA page_count").fetchone()
    full = opened(f"max_page_count = {pages}")
    with pytest.raises(Unavailable, match=r"has no space left.*free some space"):
        async with full.unit() as unit:
            await unit.save_credential(a_credential())
            await unit.append(*(an_event(n, reason="x" * 2000) for n in range(1, 20)))
    async with full.view() as unit:
        assert await unit.credentials() == []
    await full.aclose()

    roomy = opened()
    await write(roomy)
    assert await read(roomy) == 1
    await roomy.aclose()


async def test_a_file_that_is_not_a_database_needs_a_human(
    opened: Callable[..., SqlStore], sqlite_file: Path, sqlite_url: str
) -> None:
    sqlite_file.write_bytes(b"[credentials.session]\n" * 400)
    store = opened()
    for attempt in (
        lambda: read(store),
        lambda: write(store),
        lambda: schema.upgrade(sqlite_url),
        lambda: schema.require_current(sqlite_url),
    ):
        with pytest.raises(NeedsHuman, match=r"is damaged.*restore it from a backup"):
            await attempt()
    await store.aclose()
    assert sqlite_file.read_bytes().startswith(b"[credentials")


async def test_a_database_with_damaged_pages_needs_a_human(
    opened: Callable[..., SqlStore], sqlite_file: Path
) -> None:
    whole = sqlite_file.read_bytes()
    sqlite_file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    store = opened()
    with pytest.raises(NeedsHuman, match="is damaged"):
        await read(store)
    await store.aclose()


async def test_a_database_without_tables_is_told_to_upgrade(empty_url: str) -> None:
    store = SqlStore(empty_url, a_ring(), SettableClock())
    with pytest.raises(InputError, match="run `rotator db upgrade`"):
        await read(store)
    await store.aclose()


async def test_a_directory_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="see that the volume is mounted"):
        SqlStore(f"sqlite:///{tmp_path / 'gone' / 'rotator.db'}", a_ring(), SettableClock())


async def test_a_directory_that_vanished_comes_back_without_a_restart(
    sqlite_file: Path, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    file = Path(shutil.copy(sqlite_file, volume))
    store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
    volume.rename(tmp_path / "elsewhere")
    for attempt in (read, write):
        with pytest.raises(Unavailable, match=r"can't be opened.*volume is mounted"):
            await attempt(store)
    (tmp_path / "elsewhere").rename(volume)
    await write(store)
    await store.aclose()


async def test_the_database_and_its_log_are_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        url = f"sqlite:///{tmp_path / 'rotator.db'}"
        await schema.upgrade(url)
        store = SqlStore(url, a_ring(), SettableClock())
        await write(store)
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        await store.aclose()
    finally:
        os.umask(before)
    assert "rotator.db-wal" in modes
    assert set(modes.values()) == {0o600}


async def test_when_all_connections_are_taken_the_next_one_is_told_to_come_later(
    store: SqlStore,
) -> None:
    store._engine.sync_engine.pool._timeout = 0  # type: ignore[attr-defined]
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable):
            for _ in range(MOST_CONNECTIONS):
                await stack.enter_async_context(store.view())
    assert await read(store) == 0


async def test_a_transaction_that_hangs_is_given_up_and_leaves_nothing(store: SqlStore) -> None:
    await read(store)  # the connection is there
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Unavailable, match="too long"):
        patch.setattr(store_module, "UNIT_SECONDS", 0.05)
        async with store.unit() as unit:
            await unit.save_credential(a_credential())
            await asyncio.Event().wait()
    async with store.unit() as unit:
        assert await unit.credentials() == []


async def test_a_transaction_that_is_cancelled_leaves_nothing(store: SqlStore) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        async with store.unit() as unit:
            await unit.save_credential(a_credential())
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(endless())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.unit() as unit:
        assert await unit.credentials() == []


async def test_a_connection_lost_in_a_transaction_changed_nothing(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    store = SqlStore(postgresql_url, a_ring(), SettableClock())
    with pytest.raises(Unavailable):
        async with store.unit() as unit:
            await unit.save_credential(a_credential())
            cut_off(postgres, postgresql_url)
            await unit.credentials()
    async with store.view() as unit:
        assert await unit.credentials() == []
    await store.aclose()


async def test_a_connection_lost_in_the_commit_may_have_changed_something(
    postgres: PostgresServer, postgresql_url: str
) -> None:
    store = SqlStore(postgresql_url, a_ring(), SettableClock())
    with pytest.raises(OutcomeUnknown, match="lost during a commit"):
        async with store.unit() as unit:
            await unit.save_credential(a_credential())
            cut_off(postgres, postgresql_url)
    async with store.view() as unit:
        assert await unit.credentials() == []
    await store.aclose()


def cut_off(postgres: PostgresServer, url: str) -> None:
    """End rotator's sessions, as a restart of the server would."""
    end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
    with postgres.connect() as connection:
        ended = connection.execute(end, [make_url(url).database]).fetchall()
    assert ended == [(True,)]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (("?host=/", "?host=/nowhere/"), Unavailable, "does not answer"),
        ((":", ":wrong-"), InputError, "refuses the user or password"),
        (("rotator_test_", "no_such_"), InputError, "missing altogether"),
    ],
)
async def test_a_postgresql_that_can_not_be_used_says_why_without_its_password(
    postgres: PostgresServer,
    postgresql_url: str,
    change: tuple[str, str],
    kind: type[RotatorError],
    message: str,
) -> None:
    scheme, rest = postgresql_url.split("://")
    store = SqlStore(f"{scheme}://{rest.replace(*change, 1)}", a_ring(), SettableClock())
    with pytest.raises(kind, match=message) as failure:
        await read(store)
    assert postgres.password not in everything_said(failure.value)
    await store.aclose()


def everything_said(error: BaseException) -> str:
    """An error as it may end up in a log: its text and its traceback."""
    return str(error) + "".join(traceback.format_exception(error)) + repr(error)


async def test_no_error_repeats_what_was_to_be_written(store: SqlStore) -> None:
    spec = a_spec("credential-1", owner=MARKER)
    current = a_version(1, state=VersionState.CURRENT)
    async with store.unit() as unit:
        await unit.save_credential(a_credential())
        await unit.save_version(current)

    async def twice_the_name(unit: Any) -> None:
        await unit.save_credential(a_credential(2, spec=spec))

    async def twice_current(unit: Any) -> None:
        other = Issued(MARKER, MARKER, {"ref": MARKER})
        await unit.save_version(a_version(2, state=VersionState.CURRENT, issued=other))

    async def of_nobody(unit: Any) -> None:
        rotation = a_rotation(reason=MARKER, credential_id=an_id(9, 1), credential_name=MARKER)
        await unit.add_rotation(rotation, [])

    for attempt in (twice_the_name, twice_current, of_nobody):
        with pytest.raises((NeedsHuman, Busy, LookupError)) as failure:
            async with store.unit() as unit:
                await attempt(unit)
        assert MARKER not in everything_said(failure.value)


async def test_a_value_that_does_not_fit_is_neither_shown_nor_taken_for_an_outage(
    postgresql_url: str,
) -> None:
    store = SqlStore(postgresql_url, a_ring(), SettableClock())
    for bad in (MARKER + "x" * 64, f"{MARKER}\0"):
        with pytest.raises(RotatorError) as failure:
            async with store.unit() as unit:
                await unit.save_worker(WorkerRecord(bad, "cli", "host", 1, NOW, NOW))
        assert MARKER not in everything_said(failure.value)
        # No repeat can help, so it must not be an error that is tried again for ever.
        assert isinstance(failure.value, NeedsHuman)
    await store.aclose()


def test_a_second_daemon_on_the_same_file_is_refused_until_the_first_dies(
    sqlite_file: Path,
) -> None:
    program = [sys.executable, "-c", HOLD_LOCK, str(sqlite_file)]
    pipe = subprocess.PIPE
    lock = DaemonLock(sqlite_file)
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"daemon .process {first.pid}. runs on this") as no:
            lock.acquire()
        assert "stop it first, or use PostgreSQL" in str(no.value)
        # No goodbye: what the process held must die with it.
        first.kill()
        first.wait(FINISH_SECONDS)
    lock.acquire()
    with pytest.raises(InputError, match=f"process {os.getpid()}"):
        DaemonLock(sqlite_file).acquire()
    lock.release()
    lock.release()
    DaemonLock(sqlite_file).acquire()


def test_daemons_of_different_files_do_not_meet(tmp_path: Path) -> None:
    locks = [DaemonLock(tmp_path / name) for name in ("one.db", "two.db")]
    for lock in locks:
        lock.acquire()
    for lock in locks:
        lock.release()
