"""Real daemons, killed by SIGKILL again and again while a fleet of credentials rotates.

`python -m tests.integration.soak --runs 200` does it on SQLite and on PostgreSQL, where two daemons
run, now and then one is frozen past its claim, and the server itself is restarted and crashes.
Afterwards the promises are looked at: in the simulator's truth and in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from sqlalchemy import update
from sqlalchemy.ext.asyncio import create_async_engine

from rotator.domain.credential import VersionState
from rotator.domain.errors import RotatorError
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import ENDED, RotationState
from rotator.store.schema import upgrade
from rotator.store.store import SqlStore, SqlUnit, database_url
from rotator.store.tables import credentials
from rotator.system import SystemClock
from tests.harness import forked
from tests.harness.chain import first_fault
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator
from tests.integration.postgres_server import PostgresServer, postgres_server

T = TypeVar("T")

HEAD = """\
organization = "acme"
[defaults.policy]
every = "30d"
overlap = "1s"
[defaults.rollout]
max_unavailable = "50%"
stagger = "0s"
coalesce = "0s"
"""
SMALL_FLEET = """
[credentials.soak-api]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "api", name = "SIGNING_KEY" }} ]
[credentials.soak-token]
kind = "deploy-token"
app = "web"
targets = [
  {{ type = "fly-secret", app = "api", name = "WEB_TOKEN" }},
  {{ type = "file", path = "{folder}/web.token" }},
]
[credentials.soak-ci]
kind = "deploy-token"
app = "api"
targets = [ {{ type = "file", path = "{folder}/ci.token" }} ]
[credentials.soak-jobs]
kind = "deploy-token"
app = "jobs"
targets = [ {{ type = "file", path = "{folder}/jobs.token" }} ]
[credentials.soak-home]
kind = "wireguard-peer"
region = "iad"
targets = [ {{ type = "file", path = "{folder}/home.conf" }} ]
[credentials.soak-office]
kind = "wireguard-peer"
region = "fra"
targets = [ {{ type = "file", path = "{folder}/wg.conf" }} ]
"""
FLEET = (
    SMALL_FLEET
    + """
[credentials.soak-web]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "web", name = "SESSION_KEY" }} ]
[credentials.soak-database]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "web", name = "DATABASE_URL" }} ]
"""
)
APPS = ("web", "api")
SPEED = 200.0
"""How many times faster than Fly's the simulator's machines start and stop."""
SHORTEST_LIFE, LONGEST_LIFE = 0.3, 3.0
FROZEN_SECONDS = (3.5, 5.0)
"""Longer than the daemons' claims, which last 3 s."""
FREEZE_CHANCE = 0.15
SETTLE_SECONDS = 420.0
"""Longer than the longest pause between two tries (5 min and a quarter): a step that was cut off
many times has got that far. Mostly it takes seconds."""


@dataclass
class Tally:
    """What was done to the daemons, and what became of the rotations."""

    kills: int = 0
    freezes: int = 0
    restarts: int = 0
    cut_off: int = 0
    rotations: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {state}" for state, count in sorted(self.rotations.items()))
        done = [f"{self.kills} kills"]
        done += [f"{self.freezes} freezes"] if self.freezes else []
        done += [f"{self.restarts} restarts of the server"] if self.restarts else []
        cut = f"{self.cut_off} times a step was found cut off"
        return f"{', '.join(done)} in {self.seconds:.0f} s; {cut}; rotations: {ends}"


@dataclass
class Soak:
    """A fleet, its daemons, and a source of chance."""

    project: Project
    url: str
    rng: random.Random
    daemons: int = 1
    server: PostgresServer | None = None
    longest_seconds: float = math.inf
    fleet: str = FLEET
    tally: Tally = field(default_factory=Tally)
    running: list[BaseProcess] = field(default_factory=list)

    def run(self, runs: int) -> Tally:
        """Kill that many daemons; then let the last ones finish, and look at everything."""
        self.project.simulated.control.post("/_simulator/load", json={"per_second": 50})
        begun = time.monotonic()
        try:
            self._keep_running()
            self.project.until(lambda: "daemon started" in self.project.log())
            begun = time.monotonic()
            while self.tally.kills < runs and time.monotonic() - begun < self.longest_seconds:
                self._keep_running()
                self._make_some_due()
                time.sleep(self.rng.uniform(SHORTEST_LIFE, LONGEST_LIFE) / self.daemons)
                self._harm_one()
                self._restart_server(runs)
            self._keep_running()
            self._settle()
        finally:
            for process in self.running:
                process.kill()
                process.join()
        self.tally.seconds = time.monotonic() - begun
        self.see_that_the_promises_hold()
        return self.tally

    def _keep_running(self) -> None:
        self.running = [process for process in self.running if process.is_alive()]
        while len(self.running) < self.daemons:
            self.running.append(forked.start(self.project))

    def _harm_one(self) -> None:
        """SIGKILL, or with a second daemon there, sometimes SIGSTOP past the claim and SIGCONT."""
        victim = self.rng.choice(self.running)
        assert victim.pid is not None
        if self.daemons > 1 and self.rng.random() < FREEZE_CHANCE:
            os.kill(victim.pid, signal.SIGSTOP)
            time.sleep(self.rng.uniform(*FROZEN_SECONDS))
            os.kill(victim.pid, signal.SIGCONT)
            self.tally.freezes += 1
            return
        victim.kill()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL, self.project.log()[-2000:]
        self.tally.kills += 1

    def _restart_server(self, runs: int) -> None:
        """Early on, and once more half way, then as after a crash."""
        due = (1, runs // 2)[min(self.tally.restarts, 1)]
        if self.server is not None and self.tally.restarts < 2 and self.tally.kills >= due:
            self.server.restart(crash=self.tally.restarts == 1)
            self.tally.restarts += 1

    def _make_some_due(self) -> None:
        """As if their schedules had come round."""
        names = re.findall(r"credentials\.([a-z-]+)", self.fleet)
        due = self.rng.sample(names, k=self.rng.randint(2, 5))
        statement = update(credentials).where(credentials.c.name.in_(due))

        async def within() -> None:
            engine = create_async_engine(database_url(self.url), connect_args=self._patience())
            async with engine.begin() as connection:
                await connection.execute(statement.values(due_at=datetime.now(UTC)))
            await engine.dispose()

        asyncio.run(within())

    def _patience(self) -> dict[str, float]:
        return {"timeout": 15} if self.url.startswith("sqlite") else {}

    def look(self, what: Callable[[SqlUnit], Awaitable[T]]) -> T:
        """Look into the database."""

        async def within() -> T:
            store = SqlStore(self.url, None, SystemClock())
            try:
                async with store.view() as unit:
                    return await what(unit)
            finally:
                await store.aclose()

        return asyncio.run(within())

    def _settle(self) -> None:
        """Nothing is killed any more: every rotation ends, and every lease is given back."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if self._all_ended() and not self._leased():
                return
            time.sleep(0.3)
        raise AssertionError(
            f"not settled within {SETTLE_SECONDS} s: {self.look(_open_steps)}, "
            f"leased {self._leased()}\n{self.project.log()[-3000:]}"
        )

    def _all_ended(self) -> bool:
        async def within(unit: SqlUnit) -> bool:
            open_ones = await unit.rotations(states=frozenset(RotationState) - ENDED, limit=1)
            return not open_ones and not await unit.due(datetime.now(UTC), 1)

        try:
            return self.look(within)
        except RotatorError:
            return False

    def _leased(self) -> list[object]:
        machines = [m for app in APPS for m in self.project.simulated.machines(app)]
        return [m["id"] for m in machines if m["leased_by"] is not None]

    def see_that_the_promises_hold(self) -> None:
        """P1 to P7, by the simulator's truth and the database."""
        rows = self.look(lambda unit: unit.rotations(limit=10_000))
        self.tally.rotations = Counter(row.state.value for row in rows)
        parked = [(r.credential_name, r.parked) for r in rows if r.state is RotationState.PARKED]
        assert not parked, parked
        self._see_the_issuer()
        self._see_the_consumers()
        for app in APPS:
            rollout = self.look(lambda unit, app=app: unit.open_rollout(app))  # type: ignore[misc]
            assert rollout is None, f"rollout {rollout} is open"
        events = self.look(lambda unit: unit.events(EventQuery(limit=1_000_000)))
        assert first_fault(list(reversed(events))) is None
        actions = Counter(e.event.action for e in events)
        self.tally.cut_off = actions[Action.ROTATION_RECOVERED]

    def _see_the_issuer(self) -> None:
        """P2: the issuer holds exactly what the inventory says."""
        known = self.look(lambda unit: unit.credentials())
        live = (VersionState.CURRENT, VersionState.RETIRING)
        for credential in known:
            versions = self.look(
                lambda unit, wanted=credential.id: unit.versions(wanted)  # type: ignore[misc]
            )
            states = Counter(v.state for v in versions)
            # One that was never due in this run may not even be adopted yet.
            assert states[VersionState.CURRENT] == (1 if versions else 0), credential.name
            assert not [v for v in versions if v.state is VersionState.PENDING], credential.name
            held = sorted(v.issued.name for v in versions if v.issued and v.state in live)
            world = self.project.simulated
            if credential.spec.kind == "deploy-token":
                assert world.live_tokens(f"{credential.name}-0") == held
            if credential.spec.kind == "wireguard-peer":
                assert world.live_peers(f"{credential.name}-0") == held

    def _see_the_consumers(self) -> None:
        """P1: nobody was refused, neither now nor at any request since the beginning."""
        world = self.project.simulated
        assert not [c for c in world.consumers() if c["accepted"] is False]
        load = world.control.get("/_simulator/load").json()["apps"]
        assert sum(tally["requests"] for tally in load.values()) > 0
        assert not {app: tally for app, tally in load.items() if tally["refused"]}, load


@dataclass(frozen=True)
class Extent:
    """How long, how many, by which chance."""

    runs: int
    seed: int
    longest_seconds: float = math.inf
    fleet: str = FLEET


async def _open_steps(unit: SqlUnit) -> list[str]:
    """What each rotation that is under way is at."""
    return [
        f"{rotation.credential_name}: {step.name} {step.state}, try {step.attempt}: {step.error}"
        for rotation in await unit.rotations(states=frozenset(RotationState) - ENDED)
        for step in await unit.steps(rotation.id)
        if step.attempt and not step.ended
    ]


def soak_sqlite(folder: Path, world: Simulated, extent: Extent) -> Tally:
    """One daemon at a time on a SQLite file."""
    return _soak(folder, world, f"sqlite:///{folder / 'rotator.db'}", extent, 1, None)


def soak_postgresql(
    folder: Path, world: Simulated, extent: Extent, server: PostgresServer
) -> Tally:
    """Two daemons at a time on a PostgreSQL server, which is restarted twice meanwhile."""
    server.create("soak")
    return _soak(folder, world, server.url("soak"), extent, 2, server)


def _soak(
    folder: Path,
    world: Simulated,
    url: str,
    extent: Extent,
    daemons: int,
    server: PostgresServer | None,
) -> Tally:
    more = {"ROTATOR_DATABASE_URL": url, "ROTATOR_RECONCILE_SECONDS": "5"}
    project = Project(folder, world, more)
    project.manifest(extent.fleet.format(folder=folder), head=HEAD)
    asyncio.run(upgrade(url))
    soak = Soak(
        project,
        url,
        random.Random(extent.seed),
        daemons=daemons,
        server=server,
        longest_seconds=extent.longest_seconds,
        fleet=extent.fleet,
    )
    return soak.run(extent.runs)


DURABLE = "synchronous_commit=on"
"""A server that may crash in the middle: what is committed has to be written."""


def main() -> int:
    """Soak on both databases; 1 if a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.soak")
    parser.add_argument("--runs", type=int, default=200, help="kills on each database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them only")
    given = parser.parse_args()
    extent = Extent(given.runs, given.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number, name in enumerate(("sqlite", "postgresql")):
            if given.database not in (None, name):
                continue
            place = folder / name
            place.mkdir()
            world = stack.enter_context(simulator(place, seed=number + 1, speed=SPEED))
            if name == "sqlite":
                tally = soak_sqlite(place, world, extent)
            else:
                server = stack.enter_context(postgres_server(DURABLE))
                tally = soak_postgresql(place, world, extent, server)
            print(f"{name}: {tally}; every promise holds", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
