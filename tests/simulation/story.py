"""A world that a test drives by hand, in virtual time, and what it looks at."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from rotator.domain.credential import Version
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Mode, Rotation
from rotator.engine import jobs
from rotator.engine.inventory import apply_manifest
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, request_rotation
from rotator.manifest import parse_manifest
from rotator.simulator.faults import FaultRates
from rotator.store.schema import upgrade
from tests.simulation.mortal import Life
from tests.simulation.scenario import Scenario, draw
from tests.simulation.virtual_time import VirtualLoop, run_virtually
from tests.simulation.world import OPERATOR, SimulatedWorld

CALM: Scenario = replace(draw(3), rates=FaultRates(), kills=0, wishes=0)
HEAD = 'organization = "acme"\n[defaults.rollout]\nstagger = "1s"\n'


@dataclass
class Story:
    """A world with a worker that a test drives by hand."""

    world: SimulatedWorld
    parts: Parts
    life: Life
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def apply(self, text: str) -> None:
        """Apply a manifest without its head."""
        table = "[defaults.rollout]\n"
        body = text.replace(table, "", 1) if table in text else text
        head = HEAD.replace('stagger = "1s"\n', "") if "stagger" in body else HEAD
        await self.apply_whole(head + body)

    async def apply_whole(self, text: str) -> None:
        """Apply a manifest."""
        manifest = parse_manifest(
            text, "rotator.toml", self.parts.kinds, self.parts.targets, self.now
        )
        await apply_manifest(self.parts, manifest.specs, source="rotator.toml")

    @property
    def now(self) -> object:
        return self.parts.clock.now()

    async def rotate(self, name: str, mode: Mode = Mode.NORMAL) -> Rotation:
        """Ask for a rotation and take it as far as it goes at once."""
        wish = Wish(OPERATOR, "a story", "manual", mode)
        rotation = await request_rotation(self.parts, name, wish)
        await self.work()
        return await self.rotation(rotation.id)

    async def work(self) -> None:
        """Work until nothing is left to do within the next minutes."""
        runner = jobs.Runner(self.parts)
        while True:
            await runner.run_ready()
            async with self.parts.store.view() as unit:
                waits = [r.resume_at for r in await unit.rotations() if r.resume_at is not None]
            soonest = min((at - self.parts.clock.now() for at in waits), default=timedelta.max)
            if soonest >= timedelta(minutes=5):
                return
            await self.parts.clock.sleep(max(1.0, soonest.total_seconds()))

    async def days(self, days: float, *, step_hours: float = 2.4) -> None:
        """Let time pass, working whenever something wants a worker."""
        for _ in range(round(days * 24 / step_hours)):
            await self.parts.clock.sleep(step_hours * 3600)
            await jobs.find_due(self.parts)
            await self.work()

    async def rotation(self, rotation_id: str) -> Rotation:
        async with self.parts.store.view() as unit:
            found = await unit.rotation(rotation_id)
        assert found is not None
        return found

    async def versions(self, name: str) -> list[Version]:
        async with self.parts.store.view() as unit:
            credential = await unit.credential(name)
            assert credential is not None
            return list(await unit.versions(credential.id))

    async def actions(self) -> list[Action]:
        async with self.parts.store.view() as unit:
            return [e.event.action for e in reversed(await unit.events(EventQuery(limit=1000)))]

    def living(self, name: str = "ci-web") -> list[str]:
        tokens = self.world.fly.tokens.values()
        return [t.id for t in tokens if t.name.startswith(name) and t.revoked_at is None]


def tell(story: Callable[[Story], Awaitable[None]], *, on_disk: bool = False) -> None:
    """Run a story in a calm world of its own; its database is in memory unless it has to be a
    real one (the store in memory passes the same tests as the databases)."""
    with tempfile.TemporaryDirectory() as folder:

        async def live(loop: VirtualLoop) -> None:
            world = SimulatedWorld(CALM, Path(folder), loop, on_disk=on_disk)
            if on_disk:
                await upgrade(world.url)
            life = Life()
            parts, transport, client = world.parts(life)
            told = Story(world, parts, life)
            await story(told)
            for close in told.closing:
                await close()
            if transport.under_way:
                await asyncio.wait(transport.under_way)
            await client.aclose()
            await world.store.aclose()

        run_virtually(live)
