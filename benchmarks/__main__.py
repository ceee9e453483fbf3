"""`python -m benchmarks`: how fast the things are that DESIGN.md gives figures for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rotator.domain.credential import Credential, CredentialSpec, CredentialStatus, TargetSpec
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.policy import Policy
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.checkpoint import verify_log
from rotator.store.schema import upgrade
from rotator.store.sealing import KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.system import SystemClock, SystemEntropy

CREDENTIALS = 20_000
EVENTS = 50_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def command(*arguments: str) -> float:
    """Seconds of the fastest of five runs of a command."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "rotator", *arguments], capture_output=True, check=True
        )
        taken.append(time.perf_counter() - began)
    return min(taken)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds of the fastest of five runs."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def a_credential(number: int, ids: SystemEntropy) -> Credential:
    """One of many, due in a year."""
    name = f"credential-{number}"
    target = TargetSpec("file", f"file:/{number}", {"path": f"/{number}"})
    policy = Policy(every=timedelta(days=365))
    spec = CredentialSpec(name, "secret", "acme", f"secret:{name}", {}, (target,), policy)
    due = NOW + timedelta(days=365)
    return Credential(ids.ulid(NOW), spec, CredentialStatus.MANAGED, due, NOW, NOW)


async def fill(store: SqlStore) -> None:
    """Many credentials and many events."""
    ids, actor = SystemEntropy(), Actor("worker", "benchmark")
    async with store.unit() as unit:
        for number in range(CREDENTIALS):
            await unit.save_credential(a_credential(number, ids))
    event = Event(Action.STEP_DONE, Outcome.OK, actor, NOW, credential="credential-1", app="web")
    for first in range(0, EVENTS, 5000):
        async with store.unit() as unit:
            await unit.append(
                *(replace(event, app=f"app-{n % 50}") for n in range(first, first + 5000))
            )


async def database() -> None:
    """What the database is asked for most."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'benchmark.db'}"
        await upgrade(url)
        ring = KeyRing([Secret(new_key(os.urandom))], os.urandom)
        store = SqlStore(url, ring, SystemClock())
        await fill(store)

        async def tick() -> None:
            async with store.view() as unit:
                await unit.due(NOW, 50)
                await unit.runnable(NOW, 8)

        async def page() -> None:
            async with store.view() as unit:
                await unit.events(EventQuery(app="app-7"))

        told(f"a tick that finds nothing among {CREDENTIALS} credentials", await timed(tick))
        told(f"first page of an app's events among {EVENTS}", await timed(page))
        began = time.perf_counter()
        await verify_log(store, None)
        rate = EVENTS / (time.perf_counter() - began)
        print(f"{'events verified a second':60} {rate:10.0f}")
        await store.aclose()


def told(what: str, seconds: float) -> None:
    """One line."""
    print(f"{what:60} {seconds * 1000:8.1f} ms")


def main() -> None:
    """Measure everything."""
    told("rotator --help", command("--help"))
    asyncio.run(database())


if __name__ == "__main__":
    main()
