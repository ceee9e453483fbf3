"""Databases and stores: each test gets a fresh, migrated database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from rotator.store import schema
from rotator.store.memory import MemoryStore
from rotator.store.store import SqlStore, make_engine
from rotator.store.store import database_url as parsed_url
from tests.integration.postgres_server import NoServer, PostgresServer, postgres_server
from tests.integration.store_objects import SettableClock, a_ring

_TEMPLATE = "rotator_template"
_numbers = count(1)

# A shell starts what runs in its background with SIGINT ignored, and the commands under test would
# inherit that: those that are to be interrupted would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this process: every worker of a parallel run has its own."""
    try:
        with postgres_server() as server:
            yield server
    except NoServer as reason:
        # On a laptop that is a pity; in CI it would be half of the tests silently left out.
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is needed in CI: {reason}")
        pytest.skip(f"no PostgreSQL: {reason}")


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied: that is many times faster than to migrate."""
    file = tmp_path_factory.mktemp("template") / "rotator.db"
    asyncio.run(schema.upgrade(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """A migrated PostgreSQL database, to be copied."""
    postgres.create(_TEMPLATE)
    asyncio.run(schema.upgrade(postgres.url(_TEMPLATE)))
    postgres.close_to_connections(_TEMPLATE)
    return _TEMPLATE


@pytest.fixture
def sqlite_file(migrated_file: Path, tmp_path: Path) -> Path:
    """A fresh, migrated SQLite file."""
    return Path(shutil.copy(migrated_file, tmp_path / "rotator.db"))


@pytest.fixture
def sqlite_url(sqlite_file: Path) -> str:
    """The URL of a fresh, migrated SQLite database."""
    return f"sqlite:///{sqlite_file}"


@pytest.fixture
def postgresql_url(postgres: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    name = f"rotator_test_{next(_numbers)}"
    postgres.create(name, template=migrated_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, once for each database that rotator supports."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database that nothing was ever done to."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"rotator_empty_{next(_numbers)}"
    server.create(name)
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def clock() -> SettableClock:
    """The clock of `store`; SQLite compares claims and locks with it."""
    return SettableClock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What a test asks of `store` alone, the store in memory has to give as well; but for what
    shows only at a database: how it fails, and how it finds rows (`databases`)."""
    if "store_url" not in metafunc.fixturenames or "database_url" in metafunc.fixturenames:
        return
    real = metafunc.module.__name__.endswith("test_store_failures")
    real = real or metafunc.definition.get_closest_marker("databases") is not None
    backends = ["sqlite", "postgresql"] if real else ["memory", "sqlite", "postgresql"]
    metafunc.parametrize("store_url", backends, indirect=True)


@pytest.fixture
def store_url(request: pytest.FixtureRequest) -> str | None:
    """Where `store` is: at `database_url` if the test looks at that as well; None for memory."""
    backend = getattr(request, "param", None)
    if backend == "memory":
        return None
    url = request.getfixturevalue(f"{backend}_url" if backend else "database_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def store(
    store_url: str | None, clock: SettableClock
) -> AsyncIterator[SqlStore | MemoryStore]:
    """A store on a fresh database, with a fixed key."""
    if store_url is None:
        yield MemoryStore(a_ring(), clock)
        return
    store = SqlStore(store_url, a_ring(), clock)
    yield store
    await store.aclose()


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator[AsyncEngine]:
    """The database of `store` past the store, for statements that it would never make."""
    engine = make_engine(parsed_url(database_url))
    yield engine
    await engine.dispose()
