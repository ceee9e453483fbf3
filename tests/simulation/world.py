"""A world for a story: the simulator, a database, and a process that a test drives by hand."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

from rotator.domain.ports import Store
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.parts import Limits, Parts
from rotator.fly.client import FlyClient
from rotator.kinds.registry import builtin_kinds
from rotator.simulator.app import build_world, create_app
from rotator.simulator.in_process import InProcess
from rotator.store.memory import MemoryStore
from rotator.store.sealing import KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.targets.registry import builtin_targets
from tests.simulation.mortal import Life, MortalStore, MortalTransport
from tests.simulation.scenario import Scenario
from tests.simulation.virtual_time import SeededEntropy, VirtualClock, VirtualLoop

OPERATOR = Actor("user", "operator")


class SimulatedWorld:
    """Everything in one process."""

    def __init__(
        self, scenario: Scenario, folder: Path, loop: VirtualLoop, *, on_disk: bool
    ) -> None:
        """Its database is a file of SQLite's in this folder, or in memory."""
        self.scenario = scenario
        self.folder = folder
        self.clock = VirtualClock(loop)
        self.fly, token = build_world(scenario.seed, self.clock.now, self.clock.sleep)
        self.fly.switches = replace(scenario.switches)
        self.token = Secret(token)
        self.entropy = SeededEntropy(random.Random(f"entropy {scenario.seed}"))
        self.ring = KeyRing([Secret(new_key(self.entropy.token_bytes))], self.entropy.token_bytes)
        self.url = f"sqlite:///{folder / 'rotator.db'}"
        self.store: Store = (
            SqlStore(self.url, self.ring, self.clock)
            if on_disk
            else MemoryStore(self.ring, self.clock)
        )
        self.turn = asyncio.Lock()
        self.incarnations = 0

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
