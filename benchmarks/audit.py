"""`python -m benchmarks.audit`: the audit log at 1,000 to 1,000,000 events, on both databases.

Appends are made as workers make them (a few events a transaction, several workers at once); the
rest of the log is filled in large transactions. Each filter is asked for its first page through an
open store, and the median of several tries counts. Verifying and exporting are commands as a user
runs them, start included. PostgreSQL is started from the binaries that tests use, with fsync on.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.checkpoint import sign_head
from rotator.store.schema import upgrade
from rotator.store.sealing import CheckpointSigner, KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.system import SystemClock

SIZES = (1_000, 10_000, 100_000, 1_000_000)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = 4
EACH_TRANSACTION = 2
APPENDS = 400
PAGES = 5
FILL = 5_000
STEPS = (Action.STEP_INTENDED, Action.STEP_DONE)
OUTCOMES = (Outcome.INTENT, Outcome.OK)


def an_event(number: int) -> Event:
    """One of many that look like a year of rotations; some values are everywhere, some once."""
    rotation = number // 20
    worker = rotation % 200
    machine = f"{rotation * 7919 % 2**48:014x}"
    rare = number % 50_000 == 17
    return Event(
        action=Action.ROTATION_PARKED if rare else STEPS[number % 2],
        outcome=Outcome.FAILED if rare else OUTCOMES[number % 2],
        actor=Actor(
            "worker",
            f"148e{worker:04d}.fra:{worker}",
            host=f"148e{worker:04d}",
            machine=f"148e{worker:04d}",
            region=("fra", "iad", "sin")[worker % 3],
        )
        if number % 100
        else Actor("user", f"ann{rotation % 30}@laptop", host="laptop", uid=501 + rotation % 30),
        at=NOW + timedelta(seconds=30 * number),
        reason="its policy wants a new value every 30d" if not rare else "laptop stolen",
        credential=f"credential-{rotation % 5000}",
        kind=("secret", "deploy-token", "wireguard-peer")[rotation % 3],
        organization="acme",
        app=f"app-{rotation % 500}",
        target=f"fly-secret:app-{rotation % 500}/KEY" if number % 5 == 0 else None,
        machine=machine if number % 4 == 0 else None,
        rotation_id=f"01{rotation:024d}",
        rollout_id=f"02{rotation:024d}" if number % 4 == 0 else None,
        request_id=f"01REQUEST{number:016d}-fra" if number % 3 == 0 else None,
        detail={"step": "deliver", "attempt": "1", "evidence": f"shown by digest {number:x}"},
    )


def queries(count: int) -> dict[str, EventQuery]:
    """A filter of every kind: what is frequent, what is rare, what is not there at all."""
    middle = count // 2
    at = NOW + timedelta(seconds=30 * middle)
    some = an_event(middle // 20 * 20)
    person = an_event(middle // 100 * 100).actor
    return {
        "none": EventQuery(),
        "--app": EventQuery(app=some.app),
        "--kind": EventQuery(kind="secret"),
        "--credential": EventQuery(credential=some.credential),
        "--organization": EventQuery(organization="acme"),
        "--target": EventQuery(target=some.target),
        "--machine": EventQuery(machine=some.machine),
        "--actor kind": EventQuery(actor="worker"),
        "--actor prefix": EventQuery(actor="ann"),
        "--actor kind:prefix": EventQuery(actor="worker:148e00"),
        "--host": EventQuery(actor_host="laptop"),
        "--uid": EventQuery(actor_uid=person.uid),
        "--worker-machine": EventQuery(actor_machine="148e0007"),
        "--region": EventQuery(actor_region="fra"),
        "--action": EventQuery(action="rotation.parked"),
        "--action family": EventQuery(action="step"),
        "--outcome frequent": EventQuery(outcome="ok"),
        "--outcome rare": EventQuery(outcome="failed"),
        "--outcome absent": EventQuery(outcome="unknown"),
        "--rotation": EventQuery(rotation_id=some.rotation_id),
        "--rollout": EventQuery(rollout_id=some.rollout_id),
        "--request-id": EventQuery(request_id=some.request_id),
        "--since recent": EventQuery(since=NOW + timedelta(seconds=30 * (count - 20))),
        "--until old": EventQuery(until=at),
        "--since --until": EventQuery(since=at, until=at + timedelta(hours=1)),
        "--before": EventQuery(before=middle),
        "--text frequent": EventQuery(text="policy new"),
        "--text rare": EventQuery(text="laptop stolen"),
        "--text rare*": EventQuery(text="lapt* stol*"),
        "--text absent": EventQuery(text="zebra"),
        "--app --outcome --until": EventQuery(app=some.app, outcome="ok", until=at),
        "--kind --outcome rare": EventQuery(kind="secret", outcome="failed"),
        "--actor --action --since": EventQuery(actor="worker", action="step", since=at),
        "--text --app": EventQuery(text="policy", app=some.app),
    }


async def first_pages(store: SqlStore, count: int) -> dict[str, float]:
    """Milliseconds of each filter: the median of some tries, the first one left out."""
    taken = {}
    for name, query in queries(count).items():
        times = []
        for _ in range(PAGES + 1):
            async with store.view() as unit:
                began = time.perf_counter()
                await unit.events(query)
                times.append((time.perf_counter() - began) * 1000)
        taken[name] = sorted(times[1:])[PAGES // 2]
    return taken


async def fill(store: SqlStore, start: int, count: int) -> float:
    """Events a second in large transactions."""
    began = time.perf_counter()
    for first in range(start, count, FILL):
        async with store.unit() as unit:
            await unit.append(*(an_event(n) for n in range(first, min(first + FILL, count))))
    return (count - start) / max(time.perf_counter() - began, 1e-9)


async def append(store: SqlStore, count: int) -> tuple[float, float]:
    """Transactions a second of several workers at once, and milliseconds of the slowest in 20."""
    times: list[float] = []

    async def worker() -> None:
        for each in range(APPENDS // WORKERS):
            began = time.perf_counter()
            async with store.unit() as unit:
                first = count + each * EACH_TRANSACTION
                await unit.append(*(an_event(first + n) for n in range(EACH_TRANSACTION)))
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    rate = len(times) / (time.perf_counter() - began)
    return rate, sorted(times)[len(times) * 19 // 20] * 1000


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds, seconds of all processors, and the peak of memory."""

    seconds: float
    cpu_seconds: float
    megabytes: int


def command(url: str, key: str, *arguments: str) -> Cost:
    """What a command costs as a user runs it."""
    environment = {**os.environ, "ROTATOR_DATABASE_URL": url, "ROTATOR_KEYS": key}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    taken = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(taken, used, max(after.ru_maxrss, before.ru_maxrss) // 1024)


_MEASURED = "import sys; sys.argv[0] = 'rotator'; from rotator.cli.main import main; main()"


@contextmanager
def databases(which: Sequence[str]) -> Iterator[dict[str, str]]:
    """URLs of an empty SQLite file and an empty PostgreSQL database."""
    with tempfile.TemporaryDirectory() as folder:
        urls = {}
        if "sqlite" in which:
            urls["sqlite"] = f"sqlite:///{Path(folder) / 'benchmark.db'}"
        if "postgresql" not in which:
            yield urls
            return
        from tests.integration.postgres_server import postgres_server

        with postgres_server() as server:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                with server.connect() as connection:
                    connection.execute(f"ALTER SYSTEM SET {setting} = on")
            with server.connect() as connection:
                connection.execute("SELECT pg_reload_conf()")
            server.create("benchmark")
            yield urls | {"postgresql": server.url("benchmark")}


async def measured(name: str, url: str, sizes: Sequence[int]) -> None:
    """Everything, at each size."""
    await upgrade(url)
    key = new_key(os.urandom)
    ring = KeyRing([Secret(key)], os.urandom)
    signer, store = CheckpointSigner(ring), SqlStore(url, ring, SystemClock())
    slowest: dict[str, list[float]] = {}
    print(f"\n{name}")
    print(
        f"{'events':>9} {'filled/s':>9} {'appends/s':>9} {'p95 ms':>7}"
        f" {'first page ms (slowest)':>34}"
        f" {'verify/s':>9} {'a CPU s':>8} {'incr. s':>8} {'export/s':>9} {'a CPU s':>8} {'MB':>5}"
    )
    reached = 0
    for size in sizes:
        rate = await fill(store, reached, size)
        if name == "postgresql":
            await analyse(store)
        pages = await first_pages(store, size)
        appends, p95 = await append(store, size)
        reached = size + APPENDS * EACH_TRANSACTION
        await sign_head(store, signer, Actor("worker", "benchmark"), NOW)
        verify = command(url, key, "audit", "verify")
        again = command(url, key, "audit", "verify", "--incremental")
        export = command(url, key, "audit", "--format", "jsonl")
        worst = max(pages, key=lambda each: pages[each])
        for each, taken in pages.items():
            slowest.setdefault(each, []).append(taken)
        print(
            f"{size:>9} {rate:>9.0f} {appends:>9.0f} {p95:>7.1f} {worst:>26} {pages[worst]:>7.1f}"
            f" {reached / verify.seconds:>9.0f} {reached / verify.cpu_seconds:>8.0f}"
            f" {again.seconds:>8.2f} {reached / export.seconds:>9.0f}"
            f" {reached / export.cpu_seconds:>8.0f} {export.megabytes:>5}",
            flush=True,
        )
    print("\nfirst page of each filter, ms at each size")
    for each, times in slowest.items():
        print(f"  {each:28} {' '.join(f'{taken:8.1f}' for taken in times)}")
    await store.aclose()


async def analyse(store: SqlStore) -> None:
    """What a server does by itself after a while."""
    async with store._engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE"))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="the largest log")
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"))
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size <= arguments.most]
    with databases(arguments.database or ("sqlite", "postgresql")) as urls:
        for name, url in urls.items():
            asyncio.run(measured(name, url, sizes))


if __name__ == "__main__":
    main()
