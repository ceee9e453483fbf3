"""What stories about rollouts share: manifests, load, and looks at machines and records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from rotator.domain.ports import Store, Unit
from rotator.domain.rotation import (
    MachineRestart,
    Mode,
    RestartState,
    Rollout,
    Rotation,
    RotationState,
)
from rotator.engine import jobs
from rotator.engine.request import Wish, request_rotation
from rotator.simulator.load import Load
from rotator.simulator.model import Machine
from tests.simulation.mortal import Life
from tests.simulation.story import Story
from tests.simulation.world import OPERATOR

SESSION = """
[credentials.session]
kind = "secret"
policy = {{ every = "30d", overlap = "{overlap}" }}
targets = [ {{ type = "fly-secret", app = "web", name = "SESSION_KEY" }} ]
"""
TOKEN = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = {{ every = "30d", overlap = "{overlap}" }}
targets = [ {{ type = "fly-secret", app = "api", name = "WEB_DEPLOY_TOKEN" }} ]
"""
SECOND = """
[credentials.cookie]
kind = "secret"
policy = { every = "30d", overlap = "1m" }
targets = [ { type = "fly-secret", app = "web", name = "COOKIE_KEY" } ]
"""
PEER = """
[credentials.office]
kind = "wireguard-peer"
region = "fra"
policy = {{ every = "30d", overlap = "1m" }}
targets = [ {{ type = "file", path = "{folder}/wg.conf" }} ]
"""


def session(rollout: str = "", *, overlap: str = "1m") -> str:
    """A manifest with one app secret of `web`, and these lines of rollout policy."""
    return f"[defaults.rollout]\n{rollout}\n" + SESSION.format(overlap=overlap)


def token(rollout: str = "", *, overlap: str = "1m") -> str:
    """A manifest with one deploy token that the machines of `api` use."""
    return f"[defaults.rollout]\n{rollout}\n" + TOKEN.format(overlap=overlap)


def start_load(s: Story) -> None:
    """50 requests a second to every app, from now on."""
    s.world.fly.load = Load(s.world.fly, 50)


def failed_requests(s: Story) -> int:
    """How many of them failed so far."""
    s.world.fly.advance()
    load = s.world.fly.load
    assert load is not None
    assert all(tally.requests for tally in load.tallies.values())
    return sum(tally.failed for tally in load.tallies.values())


async def held(s: Story, name: str) -> Rotation:
    """Rotate a first time, so that rotator holds a value that it can put back."""
    rotation = await s.rotate(name, Mode.EMERGENCY)
    assert rotation.state is RotationState.SUCCEEDED, rotation
    await s.parts.clock.sleep(120)
    return rotation


async def until(s: Story, rotation: Rotation, *states: RotationState, minutes: float = 60) -> None:
    """Work until the rotation is in one of these states."""
    end = s.parts.clock.now() + timedelta(minutes=minutes)
    while s.parts.clock.now() < end:
        await s.work()
        if (await s.rotation(rotation.id)).state in states:
            return
        await s.parts.clock.sleep(20)
    found = await s.rotation(rotation.id)
    async with s.parts.store.view() as unit:
        steps = [f"{x.name} {x.state} {x.error}" for x in await unit.steps(rotation.id)]
    raise AssertionError(f"{found.state}, {found.parked}: {steps}")


async def asked(s: Story, name: str, mode: Mode = Mode.NORMAL) -> Rotation:
    """Ask for a rotation; nobody works on it yet."""
    return await request_rotation(s.parts, name, Wish(OPERATOR, "a story", "manual", mode))


async def newest_rollout(s: Story, app: str = "web") -> tuple[Rollout, Sequence[MachineRestart]]:
    """The newest rollout of an app and its machines."""
    async with s.parts.store.view() as unit:
        (rollout,) = await unit.rollouts(app=app, limit=1)
        return rollout, await unit.machine_restarts(rollout.id)


def machines(s: Story, app: str = "web", group: str = "app") -> list[Machine]:
    """The machines of a group that exist, by id."""
    s.world.fly.advance()
    found = s.world.fly.apps[app].machines.values()
    return sorted(
        (m for m in found if m.group == group and m.state != "destroyed"), key=lambda m: m.id
    )


def instances(s: Story, app: str = "web") -> dict[str, str]:
    """Each machine of an app with the version of it that stands."""
    s.world.fly.advance()
    return {
        m.id: m.instance_id
        for m in s.world.fly.apps[app].machines.values()
        if m.state != "destroyed"
    }


def values(s: Story, app: str = "web", name: str = "SESSION_KEY") -> set[str]:
    """Digests of the secret that the app's started machines hold."""
    s.world.fly.advance()
    return {
        m.booted.digests[name]
        for m in s.world.fly.apps[app].machines.values()
        if m.state == "started" and m.booted is not None and name in m.booted.digests
    }


def updates(s: Story, after: int = 0) -> list[str]:
    """Paths of the machine updates that Fly was asked for."""
    return [
        entry.path
        for entry in s.world.fly.log
        if entry.seq > after
        and entry.method == "POST"
        and entry.path.count("/") == 5
        and "/machines/" in entry.path
        and entry.status == 200
    ]


def requests_so_far(s: Story) -> int:
    """The number of the newest request."""
    return s.world.fly.log[-1].seq if s.world.fly.log else 0


class Watched:
    """A store that tells of each commit, so that a test can act at just that moment."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self._committed = asyncio.Event()

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A transaction for writing."""
        async with self._inner.unit() as unit:
            yield unit
        self._committed.set()

    def view(self) -> AbstractAsyncContextManager[Unit]:
        """A transaction for reading."""
        return self._inner.view()

    async def until(
        self,
        s: Story,
        rotation: Rotation,
        when: Callable[[MachineRestart], bool],
        work: asyncio.Task[None],
    ) -> None:
        """Wait for a commit after which a machine's record fits."""
        while True:
            async with s.world.store.view() as unit:
                rollouts = await unit.rollouts_of(rotation.id)
                rows = [r for each in rollouts for r in await unit.machine_restarts(each.id)]
            if any(when(row) for row in rows):
                return
            self._committed.clear()
            commit = asyncio.create_task(self._committed.wait())
            await asyncio.wait({commit, work}, return_when=asyncio.FIRST_COMPLETED)
            commit.cancel()
            if work.done():
                raise AssertionError("the moment never came")


async def meanwhile(
    s: Story, rotation: Rotation, when: Callable[[MachineRestart], bool], act: Callable[[], object]
) -> None:
    """Work on a rotation, and do something once, at the moment that a machine's record fits."""
    watched = Watched(s.parts.store)
    seen = Story(s.world, replace(s.parts, store=watched), s.life, s.closing)
    work = asyncio.create_task(seen.work())
    await watched.until(s, rotation, when, work)
    result = act()
    if asyncio.iscoroutine(result):
        await result
    await work


async def sickened(s: Story, rotation: Rotation, machine: Machine) -> None:
    """Work on a rotation; the instance that it makes of this machine never gets healthy."""

    def sicken() -> None:
        machine.unhealthy_instance = machine.instance_id

    await meanwhile(
        s,
        rotation,
        lambda r: r.machine_id == machine.id and r.state is RestartState.STARTING,
        sicken,
    )


async def killed_when(s: Story, rotation: Rotation, state: RestartState) -> Story:
    """Kill the worker at the first moment that a machine is in this state; gives the next one."""
    watched = Watched(s.parts.store)
    runner = asyncio.create_task(jobs.Runner(replace(s.parts, store=watched)).run_ready())
    await watched.until(s, rotation, lambda row: row.state is state, runner)
    s.life.over = True
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)
    life = Life()
    parts, _, client = s.world.parts(life)
    s.closing.append(client.aclose)
    await parts.clock.sleep(70)
    return Story(s.world, parts, life, s.closing)
