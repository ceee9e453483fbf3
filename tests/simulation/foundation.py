"""What a seeded world is made of: organisation, database, processes, checks, and its story."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.parts import Limits, Parts
from rotator.fly.client import FlyClient
from rotator.kinds.registry import builtin_kinds
from rotator.simulator.world import Transition
from rotator.store.memory import MemoryStore
from rotator.store.sealing import KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.targets.registry import builtin_targets
from tests.simulation.broken import Broken
from tests.simulation.chance import Chance, ScriptedFaults
from tests.simulation.coverage import Coverage
from tests.simulation.disk import Disk, DiskTarget
from tests.simulation.effects import Effects
from tests.simulation.invariants import Promises
from tests.simulation.network import Network, Probes, rewire
from tests.simulation.organization import build
from tests.simulation.people import header_of
from tests.simulation.plan import Backend, CredentialPlan, Plan
from tests.simulation.process import (
    STEP,
    Hooks,
    Process,
    ProcessNetwork,
    ProcessStore,
)
from tests.simulation.shadow import Shadow
from tests.simulation.virtual_time import BEGIN, SeededEntropy, VirtualLoop

TRACE_KEPT = 4000


class ServerClock:
    """The right time: Fly's, and that of a database server."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """The present."""
        return BEGIN + timedelta(seconds=self._loop.elapsed_seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Foundation(Hooks):
    """What a world is made of: organisation, database, checks, and the story that it leaves."""

    def __init__(self, plan: Plan, loop: VirtualLoop, folder: Path | None = None) -> None:
        self.plan, self._loop, self._folder = plan, loop, folder
        self.clock = ServerClock(loop)
        self.fly, self._api_token = build(plan, self.clock.now, asyncio.sleep)
        self.chance = Chance(plan)
        self.faults = ScriptedFaults(plan, self.chance)
        self.fly.faults = self.faults
        self.coverage = Coverage()
        self.disk = Disk()
        self.shadow = Shadow()
        self.credentials: Sequence[CredentialPlan] = plan.credentials
        self.plans = {each.name: each for each in plan.credentials}
        self.names = [each.name for each in plan.credentials]
        self.promises = Promises(self.fly, self.shadow, self.plans, self.disk.files, set)
        rollouts = {each.name: each.rollout for each in plan.credentials}
        self.effects = Effects(self.fly, self.shadow, rollouts)
        self._rng = random.Random(f"world {plan.seed}")
        self.entropy = SeededEntropy(random.Random(f"entropy {plan.seed}"))
        self.ring = KeyRing([Secret(new_key(self.entropy.token_bytes))], self.entropy.token_bytes)
        self.network = Network(self.fly)
        self.store = self._store()
        self._turn = None if plan.backend is Backend.POSTGRESQL_LIKE else asyncio.Lock()
        self._kills = list(plan.kills)
        self._freezes = list(plan.freezes)
        self._moments: Counter[tuple[str, str]] = Counter()
        self._processes: dict[int, Process] = {}
        self._incarnations = 0
        self._naps = 0
        self._sleepers: dict[int, asyncio.Event] = {}
        self._over = False
        self._lines: list[str] = []
        self._hash = hashlib.sha256()
        self.keep_trace = False
        self.retried: dict[str, int] = {}
        self.office: Parts
        self.failure: Broken | None = None
        self._main: asyncio.Task[Any] | None = None
        self._watch_agenda()

    def held(self, check: Callable[..., object], *given: object) -> None:
        """Make a check; the first promise that turns out broken ends the world."""
        try:
            check(*given)
        except Broken as broken:
            if self.failure is None:
                self.failure = broken
                self.trace("checks", str(broken))
                if self._main is not None:
                    self._main.cancel()

    # -- building

    def _store(self) -> Any:
        if self.plan.backend is Backend.SQLITE:
            assert self._folder is not None
            self.url = f"sqlite:///{self._folder / 'rotator.db'}"
            return SqlStore(self.url, self.ring, self.clock)
        pause = self._statement if self.plan.backend is Backend.POSTGRESQL_LIKE else None
        return MemoryStore(self.ring, self.clock, pause=pause)

    async def _statement(self) -> None:
        """A round trip to the database: mostly at once, now and then others come between."""
        if self.plan.workers > 1 and self._rng.random() < 0.1:
            await asyncio.sleep(self._rng.uniform(0.0005, 0.02))

    def _watch_agenda(self) -> None:
        """Every transition happens at its own time, and is looked at right after."""
        plan, fly = self.fly.plan, self.fly

        def planned(at: datetime, transition: Transition) -> None:
            def looked_at(when: datetime) -> None:
                transition(when)
                self.held(self.promises.world_changed)

            plan(at, looked_at)
            seconds = (at - self.clock.now()).total_seconds()
            self._loop.call_later(max(0.0, seconds), fly.advance)

        self.fly.plan = planned  # type: ignore[method-assign]

    def parts(self, process: Process) -> tuple[Parts, FlyClient]:
        """What a fresh process works with."""
        token = Secret(header_of(self._api_token))
        client = FlyClient(
            "http://fly", "http://fly", token, process.clock, self.entropy, http=Probes(self.fly)
        )
        rewire(client, ProcessNetwork(self.network, process, self).send)
        targets = dict(builtin_targets(client))
        targets["file"] = DiskTarget(self.disk, lambda path: self._disk_effect(process, path))
        parts = Parts(
            store=ProcessStore(self.store, process, self, self._turn),
            kinds=builtin_kinds(client, process.clock),
            targets=targets,
            fleet=client.fleet,
            releases=client.releases,
            prober=client.prober,
            authority=client.authority,
            calls=client.calls,
            clock=process.clock,
            entropy=self.entropy,
            worker_id=process.name,
            actor=Actor("worker", process.name),
            limits=Limits(),
        )
        return parts, client

    def _disk_effect(self, process: Process, path: str) -> str | None:
        if process.dead:
            raise asyncio.CancelledError
        working = STEP.get()
        self.trace(process.name, f"writes {path}")
        if working is not None:
            self._moment(process, working.step, "amid")
        return None

    # -- the story

    def trace(self, who: str, what: str) -> None:
        """One line of the story."""
        line = f"{self._loop.elapsed_seconds:14.6f}  {who:<12}  {what}"
        self._hash.update(line.encode())
        self._lines.append(line)
        if not self.keep_trace and len(self._lines) > TRACE_KEPT:
            del self._lines[: TRACE_KEPT // 2]

    @property
    def story(self) -> list[str]:
        """The lines that are kept."""
        return self._lines

    @property
    def trace_hash(self) -> str:
        """The hash over all lines."""
        return self._hash.hexdigest()
