"""The way from an empty database to the newest schema and back, on both databases."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from rotator.domain.errors import InputError, Unavailable
from rotator.domain.note import VerifierKey
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Actor
from rotator.engine.audit.prove import prove_inclusion
from rotator.engine.audit.verify import verify_log
from rotator.engine.checkpoint import sign_head
from rotator.store import schema
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore, database_url, make_engine
from rotator.store.tables import metadata
from tests.harness import tlog
from tests.integration.postgres_server import PostgresServer
from tests.integration.store_objects import HOUR, NOW, SettableClock, a_credential, a_ring, an_event

UPGRADE = "import asyncio, sys; from rotator.store import schema; asyncio.run(schema.upgrade({!r}))"
FINISH_SECONDS = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SEARCH_INDEX = "event_words"
HEAD = schema.head_revision()
NEXT_REVISION = f'''
"""What a later rotator might bring."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{HEAD}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("later")
'''


async def looked_at(url: str, look: Any) -> Any:
    """What a function sees on a synchronous connection."""
    engine = make_engine(database_url(url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(look)
    finally:
        await engine.dispose()


async def changed(url: str, statement: str) -> None:
    """Run a statement past rotator."""
    engine = make_engine(database_url(url))
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def tables(connection: Connection) -> set[str]:
    """Names of all tables but Alembic's own and the search index, which only databases know."""
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return {name for name in names if not name.startswith(SEARCH_INDEX)}


def differences(connection: Connection) -> list[Any]:
    """What separates the database from the tables that the code knows."""

    def ours(_thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or not (name or "").startswith(SEARCH_INDEX)

    options = {"compare_type": True, "compare_server_default": True, "include_object": ours}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


@pytest.fixture
def later_rotator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations with one more revision than there is."""
    copy = tmp_path / "migrations"
    shutil.copytree(schema.scripts(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "versions" / "9999_later.py").write_text(NEXT_REVISION, encoding="utf-8")
    monkeypatch.setattr(schema, "scripts", lambda: copy)


async def test_the_migrations_build_exactly_the_tables_of_the_code(empty_url: str) -> None:
    await schema.upgrade(empty_url)
    assert await looked_at(empty_url, differences) == []
    assert await looked_at(empty_url, tables) == set(metadata.tables)


async def test_a_database_goes_up_down_and_up_again(empty_url: str) -> None:
    assert await schema.current_revision(empty_url) is None
    for _ in range(2):
        await schema.upgrade(empty_url)
        assert await schema.current_revision(empty_url) == schema.head_revision()
        await schema.require_current(empty_url)

        store = SqlStore(empty_url, a_ring(), SettableClock())
        async with store.unit() as unit:
            await unit.append(an_event())
        async with store.view() as unit:
            assert len(await unit.events_after(0, 10)) == 1
        await store.aclose()

        await schema.downgrade(empty_url, "base")
        assert await schema.current_revision(empty_url) is None
        assert await looked_at(empty_url, tables) == set()


async def test_to_upgrade_what_is_new_already_changes_nothing(empty_url: str) -> None:
    await schema.upgrade(empty_url)
    await schema.upgrade(empty_url)
    assert await looked_at(empty_url, differences) == []


async def test_each_revision_can_be_taken_on_its_own(empty_url: str, later_rotator: None) -> None:
    await schema.upgrade(empty_url, HEAD)
    store = SqlStore(empty_url, a_ring(), SettableClock())
    async with store.unit() as unit:
        await unit.save_credential(a_credential())

    await schema.upgrade(empty_url)
    assert "later" in await looked_at(empty_url, tables)
    await schema.downgrade(empty_url, HEAD)
    assert await schema.current_revision(empty_url) == HEAD
    async with store.view() as unit:
        assert await unit.credentials() == [a_credential()]
    await store.aclose()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    empty_url: str, later_rotator: None
) -> None:
    await schema.upgrade(empty_url, HEAD)
    broken = schema.scripts() / "versions" / "9999_later.py"
    statement = 'op.execute("INSERT INTO no_such_table VALUES (1)")'
    code = NEXT_REVISION.replace("\n\n\ndef downgrade", f"\n    {statement}\n\n\ndef downgrade")
    broken.write_text(code, encoding="utf-8")

    with pytest.raises(InputError):
        await schema.upgrade(empty_url)
    assert await schema.current_revision(empty_url) == HEAD
    assert await looked_at(empty_url, differences) == []


async def test_a_database_without_a_schema_is_told_how_to_get_one(empty_url: str) -> None:
    with pytest.raises(InputError, match=r"has no schema yet \(run `rotator db upgrade`\)"):
        await schema.require_current(empty_url)


async def test_an_older_schema_is_told_how_to_be_upgraded(
    database_url: str, later_rotator: None
) -> None:
    message = r"schema is at " + HEAD + r", this rotator needs 9999 \(run `rotator db upgrade`\)"
    with pytest.raises(InputError, match=message):
        await schema.require_current(database_url)
    await schema.upgrade(database_url)
    await schema.require_current(database_url)


async def test_a_newer_schema_is_told_to_take_a_newer_rotator(database_url: str) -> None:
    await changed(database_url, "UPDATE alembic_version SET version_num = '9999'")
    message = r"written by a newer rotator \(schema 9999\) \(install that version"
    with pytest.raises(InputError, match=message):
        await schema.require_current(database_url)


async def test_a_newer_schema_is_not_touched_by_an_upgrade(database_url: str) -> None:
    await changed(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match="9999"):
        await schema.upgrade(database_url)
    assert await schema.current_revision(database_url) == "9999"
    assert await looked_at(database_url, differences) == []


async def test_a_look_at_a_missing_file_does_not_create_it(tmp_path: Path) -> None:
    file = tmp_path / "rotator.db"
    url = f"sqlite:///{file}"
    assert await schema.current_revision(url) is None
    with pytest.raises(InputError, match="no schema yet"):
        await schema.require_current(url)
    assert list(tmp_path.iterdir()) == []

    await schema.upgrade(url)
    assert file.stat().st_mode & 0o777 == 0o600


async def test_an_upgrade_does_not_make_up_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="its directory is not there"):
        await schema.upgrade(f"sqlite:///{tmp_path / 'volume' / 'rotator.db'}")
    assert list(tmp_path.iterdir()) == []


async def test_two_that_migrate_postgresql_at_once_do_it_once(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.create("rotator_twice")
    url = postgres.url("rotator_twice")
    upgrade = command.upgrade
    second: list[subprocess.Popen[str]] = []

    def upgrade_beside_another(*arguments: Any) -> None:
        """Migrate, and commit only once another process waits for what this one holds."""
        upgrade(*arguments)
        program = [sys.executable, "-c", UPGRADE.format(url)]
        second.append(subprocess.Popen(program, stderr=subprocess.PIPE, text=True))
        with postgres.connect() as connection:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while second[0].poll() is None:
                if connection.execute(waiting).fetchone() != (0,):
                    break

    monkeypatch.setattr(command, "upgrade", upgrade_beside_another)
    await schema.upgrade(url)

    _, errors = second[0].communicate(timeout=FINISH_SECONDS)
    assert second[0].returncode == 0, errors[-500:]
    await schema.require_current(url)
    postgres.drop("rotator_twice")


async def test_strategies_that_older_rotators_wrote_are_still_known(empty_url: str) -> None:
    await schema.upgrade(empty_url, "0001")
    await changed(
        empty_url,
        "INSERT INTO rollouts (id, app, secrets_version, policy, state, waves, started_at) "
        """VALUES ('r1', 'web', 1, '{"mode"\\:"none","canary"\\:1}', 'succeeded', 1, 0)""",
    )

    def policy(connection: Connection) -> str:
        return str(connection.execute(text("SELECT policy FROM rollouts")).scalar_one())

    await schema.upgrade(empty_url)
    assert await looked_at(empty_url, policy) == '{"strategy":"none","canary":1}'
    await changed(empty_url, 'UPDATE rollouts SET policy = \'{"strategy"\\:"blue-green"}\'')
    await schema.downgrade(empty_url, "0001")
    assert await looked_at(empty_url, policy) == '{"mode":"rolling"}'


COLUMNS_OF_OLD_EVENTS = (
    "action",
    "outcome",
    "reason",
    "credential",
    "kind",
    "organization",
    "app",
    "target",
    "machine",
    "rotation_id",
    "rollout_id",
    "request_id",
)
OLD_EVENTS = 300


def old_events(connection: Connection) -> None:
    """Write a log as rotators before the tree did, by the description of their format."""
    previous = "0" * 64
    for number in range(1, OLD_EVENTS + 1):
        at = NOW + timedelta(minutes=number)
        row: dict[str, Any] = dict.fromkeys(COLUMNS_OF_OLD_EVENTS)
        row |= {"action": "step.done", "outcome": "ok", "reason": f"ü {number}", "app": "web"}
        told = {
            **row,
            "v": 1,
            "sequence": number,
            "at": at.isoformat(timespec="microseconds"),
            "actor": ["user", "ann@laptop uid=501"],
            "detail": {"step": "mint"},
        }
        data = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        found = hashlib.sha256(bytes.fromhex(previous) + data.encode()).hexdigest()
        row |= {
            "sequence": number,
            "at": (at - EPOCH) // timedelta(microseconds=1),
            "actor_kind": "user",
            "actor_name": "ann@laptop uid=501",
            "detail": '{"step":"mint"}',
            "previous": previous,
            "hash": found,
        }
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO events ({names}) VALUES ({marks})"), row)
        previous = found
    connection.execute(text(f"UPDATE event_head SET sequence = {OLD_EVENTS}"))
    signer = CheckpointSigner(a_ring())
    message = f"rotator audit checkpoint\n{OLD_EVENTS}\n{previous}\n".encode()
    connection.execute(
        text("INSERT INTO checkpoints VALUES (:size, :hash, 0, :key, :signature)"),
        {
            "size": OLD_EVENTS,
            "hash": previous,
            "key": hashlib.sha256(signer.public_keys[0]).hexdigest()[:16],
            "signature": base64.b64encode(signer.sign(message)).decode(),
        },
    )
    connection.commit()


def all_events(connection: Connection) -> list[Any]:
    rows = connection.execute(text("SELECT * FROM events ORDER BY sequence"))
    return [dict(row) for row in rows.mappings()]


async def test_an_old_log_becomes_a_tree_goes_on_and_comes_back_as_it_was(empty_url: str) -> None:
    await schema.upgrade(empty_url, "0002")
    await looked_at(empty_url, old_events)
    before = await looked_at(empty_url, all_events)
    await schema.upgrade(empty_url)

    store, signer = SqlStore(empty_url, a_ring(), SettableClock()), CheckpointSigner(a_ring())
    found = await verify_log(store, signer)
    assert (found.fault, found.events, found.checkpoints) == (None, OLD_EVENTS, 1)
    async with store.unit() as unit:
        await unit.append(an_event(at=NOW + timedelta(days=1)))
    await sign_head(store, signer, Actor("worker", "w"), NOW)
    found = await verify_log(store, signer)
    assert (found.fault, found.checkpoints) == (None, 2)
    async with store.view() as unit:
        key = str(VerifierKey((await unit.log_head()).origin, signer.public_keys[0]))
        assert len(await unit.events(EventQuery(text="mint", limit=1000))) == OLD_EVENTS
        assert len(await unit.events(EventQuery(actor="ann", until=NOW + HOUR))) == 50
    proof = (await prove_inclusion(store, 7, signer)).to_json()
    assert tlog.proof_holds(proof, key)
    await store.aclose()

    await schema.downgrade(empty_url, "0002")
    assert (await looked_at(empty_url, all_events))[:OLD_EVENTS] == before
    with pytest.raises(DBAPIError, match="append-only"):
        await changed(empty_url, "DELETE FROM events WHERE sequence = 1")
    await schema.upgrade(empty_url)
    assert await looked_at(empty_url, differences) == []
