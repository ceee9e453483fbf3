"""One world: the simulator, a database, a worker that dies and comes back, operators, a monitor."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rotator.domain.errors import Busy, InputError, RotatorError
from rotator.domain.rotation import ENDED, Actor, Mode, Rotation, RotationState
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.inventory import apply_manifest
from rotator.engine.parts import Limits, Parts
from rotator.engine.request import Wish, abort, request_rotation, retry
from rotator.fly.client import FlyClient
from rotator.kinds.registry import builtin_kinds
from rotator.manifest import parse_manifest
from rotator.simulator.app import build_world, create_app
from rotator.simulator.in_process import InProcess
from rotator.store.schema import upgrade
from rotator.store.sealing import CheckpointSigner, KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.targets.registry import builtin_targets
from tests.simulation.invariants import Monitor
from tests.simulation.mortal import Life, MortalStore, MortalTransport
from tests.simulation.scenario import Scenario
from tests.simulation.virtual_time import SeededEntropy, VirtualClock, VirtualLoop

OPERATOR = Actor("user", "operator")
LONGEST_NAP = timedelta(hours=6)
SETTLE = timedelta(days=12)
"""Longer than the longest patience of a step (confirm: 7 days)."""


class SimulatedWorld:
    """Everything in one process."""

    def __init__(self, scenario: Scenario, folder: Path, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.folder = folder
        self.rng = random.Random(f"world {scenario.seed}")
        self.clock = VirtualClock(loop)
        self.fly, token = build_world(scenario.seed, self.clock.now, self.clock.sleep)
        self.fly.switches = replace(scenario.switches)
        self.token = Secret(token)
        self.entropy = SeededEntropy(random.Random(f"entropy {scenario.seed}"))
        self.ring = KeyRing([Secret(new_key(self.entropy.token_bytes))], self.entropy.token_bytes)
        self.url = f"sqlite:///{folder / 'rotator.db'}"
        self.store = SqlStore(self.url, self.ring, self.clock)
        self.turn = asyncio.Lock()
        self.incarnations = 0
        self.monitor = Monitor(self.fly, self.store, self.turn)

    def parts(self, life: Life) -> tuple[Parts, MortalTransport, FlyClient]:
        """A fresh process's parts."""
        self.incarnations += 1
        network = InProcess(create_app(self.fly))
        transport = MortalTransport(network, life)
        client = FlyClient(
            "http://fly", "http://fly", self.token, self.clock, self.entropy, http=transport
        )
        worker = f"worker-{self.incarnations}"
        parts = Parts(
            store=MortalStore(self.store, life, self.turn),
            kinds=builtin_kinds(client, self.clock),
            targets=builtin_targets(client),
            fleet=client.fleet,
            releases=client.releases,
            prober=client.prober,
            authority=client.authority,
            calls=client.calls,
            clock=self.clock,
            entropy=self.entropy,
            worker_id=worker,
            actor=Actor("worker", worker),
            limits=Limits(),
        )
        return parts, transport, client

    async def run(self) -> None:
        """Live through the scenario, then let the faults stop and the world settle."""
        await upgrade(self.url)
        self.fly.faults.rates = replace(self.scenario.rates)
        end = self.clock.now() + self.scenario.span
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self.monitor.watch(self.clock))
            people = group.create_task(self._operators(end))
            await self._die_and_come_back(end)
            await people
            self.fly.faults.clear()
            await self._settle()
            watching.cancel()
        await self.monitor.check_end()
        await self.store.aclose()

    async def _die_and_come_back(self, end: object) -> None:
        """Workers one after the other, each killed at a moment that the seed chooses."""
        span = self.scenario.span.total_seconds()
        deaths = sorted(self.rng.uniform(0, span) for _ in range(self.scenario.kills))
        passed = 0.0
        for at in [*deaths, span]:
            await self._one_life(at - passed, killed=at < span)
            passed = at

    async def _one_life(self, seconds: float, *, killed: bool) -> None:
        life = Life()
        parts, transport, client = self.parts(life)
        work = asyncio.create_task(self._work(parts))
        try:
            if killed:
                await self._until_busy(seconds, work)
            else:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(work)
        except TimeoutError:
            pass
        if work.done():
            work.result()
        life.over = True
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        if transport.under_way:
            await asyncio.wait(transport.under_way)
        await client.aclose()
        await self.clock.sleep(self.rng.uniform(1, 120) if killed else 0)

    async def _until_busy(self, seconds: float, work: asyncio.Task[None]) -> None:
        """Sleep, then on to a moment when a rotation is under way: most of a month is idle."""
        await self.clock.sleep(seconds)
        for _ in range(200):
            async with self.turn, self.store.view() as unit:
                busy = [r for r in await unit.rotations(limit=20) if r.state not in ENDED]
            if busy or work.done():
                break
            await self.clock.sleep(3600)
        await self.clock.sleep(self.rng.uniform(0, 60))

    async def _work(self, parts: Parts) -> None:
        """What a daemon does, but with naps as long as nothing is due."""
        await self._apply_manifest(parts)
        runner = jobs.Runner(parts)
        reconciled = None
        while True:
            now = self.clock.now()
            if reconciled is None or now - reconciled > timedelta(days=1):
                await self._tried(jobs.recover(parts))
                await self._tried(jobs.reconcile_all(parts))
                await self._tried(jobs.watch_expiries(parts))
                await self._tried(jobs.sign(parts, CheckpointSigner(self.ring)))
                reconciled = now
            await self._tried(jobs.find_due(parts))
            await self._tried(runner.run_ready())
            await self.clock.sleep(await self._nap())

    async def _tried(self, job: object) -> None:
        assert asyncio.iscoroutine(job)
        with suppress(RotatorError):
            await job

    async def _nap(self) -> float:
        async with self.turn, self.store.view() as unit:
            times = [c.due_at for c in await unit.credentials() if c.due_at]
            times += [r.resume_at for r in await unit.rotations(limit=50) if r.resume_at]
        now = self.clock.now()
        nearest = min((at - now for at in times), default=LONGEST_NAP)
        return max(2.0, min(nearest, LONGEST_NAP).total_seconds())

    async def _apply_manifest(self, parts: Parts) -> None:
        manifest = parse_manifest(
            self.scenario.text(str(self.folder)),
            "rotator.toml",
            parts.kinds,
            parts.targets,
            self.clock.now(),
        )
        await apply_manifest(parts, manifest.specs, source="rotator.toml")

    async def _operators(self, end: object) -> None:
        """People who rotate, abort and retry by hand."""
        span = self.scenario.span.total_seconds()
        parts, _, client = self.parts(Life())
        times = sorted(self.rng.uniform(3600, span) for _ in range(self.scenario.wishes))
        passed = 0.0
        for at in times:
            await self.clock.sleep(at - passed)
            passed = at
            with suppress(InputError, Busy):
                await self._wish(parts)
        await self.clock.sleep(span - passed)
        await client.aclose()

    async def _wish(self, parts: Parts) -> None:
        name = self.rng.choice(("session", "ci-web", "office"))
        latest = await self._latest(name)
        if latest is not None and latest.state is RotationState.PARKED:
            turn = self.rng.choice((retry, abort))
            await turn(parts, latest.id, OPERATOR, "by hand")
            return
        mode = self.rng.choice((Mode.NORMAL, Mode.NORMAL, Mode.EMERGENCY))
        await request_rotation(parts, name, Wish(OPERATOR, "by hand", "manual", mode))
        if self.rng.random() < 0.3:
            await self.clock.sleep(self.rng.uniform(0, 60))
            latest = await self._latest(name)
            if latest is not None:
                await abort(parts, latest.id, OPERATOR, "second thoughts")

    async def _latest(self, name: str) -> Rotation | None:
        async with self.turn, self.store.view() as unit:
            credential = await unit.credential(name)
            if credential is None:
                return None
            found: Sequence[Rotation] = await unit.rotations(credential_id=credential.id, limit=1)
        return found[0] if found else None

    async def _settle(self) -> None:
        """Without faults and kills, everything that was begun has to end."""
        life = Life()
        parts, transport, client = self.parts(life)
        runner = jobs.Runner(parts)
        deadline = self.clock.now() + SETTLE
        while self.clock.now() < deadline:
            await runner.run_ready()
            async with self.turn, self.store.view() as unit:
                open_ones = [r for r in await unit.rotations(limit=500) if r.state not in ENDED]
            if not open_ones:
                break
            await self.clock.sleep(await self._nap())
        await self.clock.sleep(600)
        await jobs.reconcile_all(parts)
        if transport.under_way:
            await asyncio.wait(transport.under_way)
        await client.aclose()
