"""A user's directory: manifest, database, keys; the command line and the daemon run in it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from rotator.domain.credential import Version
from rotator.domain.events import Event, LoggedEvent
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import ENDED, Rotation, Step
from rotator.store.schema import upgrade
from rotator.store.sealing import new_key
from rotator.store.store import SqlStore, SqlUnit
from rotator.system import SystemClock
from tests.harness.simulated import Simulated

T = TypeVar("T")
WAIT_SECONDS = 60.0

HEAD = """\
organization = "acme"
[defaults.policy]
every = "30d"
overlap = "1s"
[defaults.rollout]
max_unavailable = 1
stagger = "0s"
"""


@dataclass(frozen=True)
class Ran:
    """A finished command line."""

    code: int
    out: str
    err: str


@dataclass
class Project:
    """A directory that rotator works in, against one simulator."""

    folder: Path
    simulated: Simulated
    more: dict[str, str] = field(default_factory=dict)
    key: str = field(default_factory=lambda: new_key(os.urandom))

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / "rotator.db"

    def environment(self) -> dict[str, str]:
        """What a process of ours sees; nothing of the tester's own settings gets in."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("ROTATOR_", "FLY_"))}
        return {
            **own,
            "ROTATOR_DATABASE_URL": f"sqlite:///{self.database}",
            "ROTATOR_MACHINES_API_URL": self.simulated.base,
            "ROTATOR_GRAPHQL_API_URL": self.simulated.base,
            "ROTATOR_KEYS": self.key,
            "ROTATOR_TICK_SECONDS": "0.2",
            "ROTATOR_CLAIM_SECONDS": "3",
            "ROTATOR_LEASE_SECONDS": "5",
            "ROTATOR_LIST_LAG_SECONDS": "1",
            "ROTATOR_LOG_FORMAT": "json",
            "ROTATOR_CERTIFICATE_HANDSHAKE": "off",
            "FLY_API_TOKEN": self.simulated.token,
            "COLUMNS": "200",
            **self.more,
        }

    def manifest(self, text: str, *, head: str = HEAD) -> Path:
        """Write the manifest."""
        path = self.folder / "rotator.toml"
        path.write_text(head + text, encoding="utf-8")
        return path

    def run(self, *arguments: str, timeout_seconds: float = WAIT_SECONDS) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "rotator", *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def migrated(self) -> Self:
        """With a database of the newest schema."""
        asyncio.run(upgrade(f"sqlite:///{self.database}"))
        return self

    def told(self, *events: Event) -> Self:
        """With these events in its log, as if they had happened."""

        async def write() -> None:
            store = SqlStore(f"sqlite:///{self.database}", None, SystemClock())
            async with store.unit() as unit:
                await unit.append(*events)
            await store.aclose()

        asyncio.run(write())
        return self

    def must(self, *arguments: str) -> str:
        """Run a command that has to succeed; give what it printed."""
        ran = self.run(*arguments)
        assert ran.code == 0, f"{arguments}: {ran}"
        return ran.out

    def start(self, *arguments: str, module: str = "rotator", **env: str) -> subprocess.Popen[str]:
        """Start a process of ours; its output goes to a log in the directory."""
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                env={**self.environment(), "PYTHONPATH": str(Path.cwd()), **env},
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
            )

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        """A daemon that is told to stop at the end of the block."""
        process = self.start("run")
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)

    def log(self) -> str:
        """What daemons have logged."""
        path = self.folder / "daemon.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def read(self, look: Callable[[SqlUnit], object]) -> object:
        """Look into the database. `look` gives an awaitable."""

        async def within() -> object:
            store = SqlStore(f"sqlite:///{self.database}", None, SystemClock())
            try:
                async with store.view() as unit:
                    result = look(unit)
                    assert asyncio.iscoroutine(result)
                    return await result
            finally:
                await store.aclose()

        return asyncio.run(within())

    def rotations(self) -> list[Rotation]:
        """All rotations, newest first."""
        found = self.read(lambda unit: unit.rotations())
        assert isinstance(found, Sequence)
        return list(found)

    def steps(self, rotation: Rotation) -> list[Step]:
        """The steps of a rotation."""
        found = self.read(lambda unit: unit.steps(rotation.id))
        assert isinstance(found, Sequence)
        return list(found)

    def versions(self, rotation: Rotation) -> list[Version]:
        """The versions of a rotation's credential."""
        found = self.read(lambda unit: unit.versions(rotation.credential_id))
        assert isinstance(found, Sequence)
        return list(found)

    def events(self) -> list[LoggedEvent]:
        """The log, oldest first."""
        found = self.read(lambda unit: unit.events(EventQuery(limit=100_000)))
        assert isinstance(found, Sequence)
        return list(reversed(found))

    def until_ended(self, count: int = 1) -> list[Rotation]:
        """Wait until that many rotations have ended and none is under way."""

        self.until(lambda: self._all_ended(count))
        return self.rotations()

    def _all_ended(self, count: int) -> bool:
        """Asked of the file directly: a store for each of many looks costs more than rotator."""
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            states = [row[0] for row in connection.execute("SELECT state FROM rotations")]
        return len(states) >= count and all(state in ENDED for state in states)

    def until(self, look: Callable[[], T | None]) -> T:
        """Wait until something is there to be seen."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.05)
        states = [(r.credential_name, r.state, r.parked) for r in self.rotations()]
        raise AssertionError(f"not within {WAIT_SECONDS} s: {states}\n{self.log()[-3000:]}")
