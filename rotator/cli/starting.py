"""`rotator init`, `rotator run` and `rotator db`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rotator.cli.text import say
from rotator.domain.errors import InputError
from rotator.logs import configure_logs
from rotator.manifest.sample import sample_manifest, simulated_manifest
from rotator.settings import load_settings
from rotator.store import schema
from rotator.store.sealing import new_key
from rotator.store.store import database_url, shown
from rotator.system import SystemEntropy

_KEYS: Final = "ROTATOR_KEYS"


def write_first_files(organization: str, path: Path, *, simulated: bool, force: bool) -> int:
    """Write a manifest, and a key to .env; never replaces a key."""
    text = simulated_manifest(Path.cwd()) if simulated else sample_manifest(organization)
    mode = "w" if force else "x"
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(
            "exists already", where=str(path), next_step="use --force to replace it"
        ) from None
    except OSError as error:
        raise InputError(
            f"can't be written: {(error.strerror or 'no reason given').lower()}", where=str(path)
        ) from None
    say(f"wrote {path}")
    _write_key(Path(".env"))
    say("next: set FLY_API_TOKEN, then `rotator db upgrade` and `rotator check`")
    return 0


def _write_key(path: Path) -> None:
    """Put a fresh key into a private file. The key is not shown."""
    if os.environ.get(_KEYS):
        say(f"{_KEYS} is set already; no new key was made")
        return
    standing = path.read_text(encoding="utf-8") if path.exists() else ""
    if any(line.split("=", 1)[0].strip() == _KEYS for line in standing.splitlines()):
        say(f"{path} has {_KEYS} already; it was left as it is")
        return
    key = new_key(SystemEntropy().token_bytes)
    gap = "" if not standing or standing.endswith("\n") else "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{gap}{_KEYS}={key}\n")
    say(f"wrote a fresh key-encryption key to {path} (0600); keep a copy of it where you keep keys")


async def upgrade_database() -> int:
    """`rotator db upgrade`."""
    settings = load_settings()
    before = await schema.current_revision(settings.database_url)
    await schema.upgrade(settings.database_url)
    after = await schema.current_revision(settings.database_url)
    name = shown(database_url(settings.database_url))
    if before == after:
        say(f"{name} is at schema {after} already")
    else:
        say(f"{name}: schema {before or 'none'} to {after}")
    return 0


async def check_database() -> int:
    """`rotator db check`."""
    settings = load_settings()
    await schema.require_current(settings.database_url)
    say(f"{shown(database_url(settings.database_url))} has schema {schema.head_revision()}")
    return 0


async def run_daemon(*, migrate: bool) -> int:
    """`rotator run`."""
    from rotator.cli.mending import require_living_token
    from rotator.daemon import Daemon
    from rotator.system import worker_actor, worker_name
    from rotator.wiring import open_rotator

    settings = load_settings()
    configure_logs(settings.log_format, settings.log_level)
    if migrate:
        await schema.upgrade(settings.database_url)
    worker = worker_name()
    async with open_rotator(settings, actor=worker_actor(worker), worker_id=worker) as rotator:
        await require_living_token(rotator)
        await Daemon(rotator).run()
    return 0


async def check_health() -> int:
    """`rotator health`: made for container health checks, so it looks at the database only."""
    from rotator.cli.failures import FAILED
    from rotator.cli.session import daemon_is_running, opened

    async with opened() as rotator:
        running = await daemon_is_running(rotator.store)
    say("a daemon is running" if running else "no daemon has shown itself in the last 30 s")
    return 0 if running else FAILED
