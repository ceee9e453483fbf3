"""Migrations: bring a database to the newest schema, and see whether it is there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError

from rotator.domain.errors import InputError
from rotator.store.errors import translated
from rotator.store.store import database_url, make_engine, shown

if TYPE_CHECKING:
    from alembic.config import Config

_SECONDS = 600
_LOCK_KEY = 0x726F7461746F72  # "rotator"


def scripts() -> Path:
    """Where the migrations are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent.parent
    for place in (package / "migrations", package.parent / "migrations"):
        if (place / "env.py").is_file():
            return place
    raise InputError("the migrations are missing from this installation", next_step="reinstall it")


def _config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The newest revision that this rotator knows."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def current_revision(url: str) -> str | None:
    """The revision that a database has; None for an empty one."""
    from alembic.runtime.migration import MigrationContext

    def read(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    parsed = database_url(url)
    if _is_absent(parsed):
        return None
    engine = make_engine(parsed)
    try:
        async with asyncio.timeout(_SECONDS), engine.connect() as connection:
            return await connection.run_sync(read)
    except SQLAlchemyError as error:
        raise translated(error, shown(parsed)) from None
    finally:
        await engine.dispose()


def _is_absent(url: URL) -> bool:
    """Whether it is a SQLite file that is not there; a look must not create it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return False
    return not Path(url.database).exists()


async def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up to a revision.

    Raises:
        InputError: the database was written by a newer rotator; it is not touched.
    """
    _refuse_unknown(await current_revision(url))
    await _migrate(url, revision, up=True)


async def downgrade(url: str, revision: str) -> None:
    """Migrate down to a revision (`base` empties the database)."""
    await _migrate(url, revision, up=False)


async def _migrate(url: str, revision: str, *, up: bool) -> None:
    from alembic import command

    def run(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            # Two that migrate at once take turns; the second one finds nothing to do.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        step = command.upgrade if up else command.downgrade
        step(_config(connection), revision)

    parsed = database_url(url)
    engine = make_engine(parsed)
    try:
        async with asyncio.timeout(_SECONDS), engine.connect() as plain:
            connection = await plain.execution_options(rotator_writes=True)
            async with connection.begin():
                await connection.run_sync(run)
    except SQLAlchemyError as error:
        raise translated(error, shown(parsed)) from None
    except OSError as error:
        raise InputError(
            f"the database {shown(parsed)} can't be reached ({error.strerror or 'no answer'})",
            next_step="mend ROTATOR_DATABASE_URL or start the server",
        ) from None
    finally:
        await engine.dispose()


async def require_current(url: str) -> None:
    """See that the schema is the one that this rotator knows.

    Raises:
        InputError: it is missing, older or newer, with the command that mends it.
    """
    found, head = await current_revision(url), head_revision()
    if found == head:
        return
    if found is None:
        raise InputError("the database has no schema yet", next_step="run `rotator db upgrade`")
    _refuse_unknown(found)
    raise InputError(
        f"the database's schema is at {found}, this rotator needs {head}",
        next_step="run `rotator db upgrade`",
    )


def _refuse_unknown(found: str | None) -> None:
    """See that a revision is one of ours."""
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise InputError(
            f"the database was written by a newer rotator (schema {found})",
            next_step="install that version, or a newer one",
        )
