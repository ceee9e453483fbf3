"""Crash points without chance: a rotation is killed after each of its durable effects, once each.

Durable are a commit, a change at Fly and a written file. In one world, in virtual time, rotations
follow one another: the first worker of the n-th dies after its n-th effect, another finishes it.
`python -m tests.simulation.crash_points` does all of them and prints `N of N` for each kind.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import httpx

from rotator.domain.credential import TargetSpec, Version, VersionState
from rotator.domain.ports import EventQuery, Receipt, Store, Target, Unit
from rotator.domain.rotation import ENDED, Mode, Rotation, RotationState, StepState
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, request_rotation, undo
from rotator.simulator import leases
from rotator.simulator.consumers import consumers
from tests.harness.chain import first_fault
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

MANIFESTS = {
    "secret": """
[defaults.policy]
every = "365d"
overlap = "{overlap}"
[credentials.crashing]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "api", name = "CRASHING" }} ]
""",
    "deploy-token": """
[defaults.policy]
every = "365d"
overlap = "{overlap}"
[credentials.crashing]
kind = "deploy-token"
app = "web"
targets = [
  {{ type = "fly-secret", app = "api", name = "CRASHING" }},
  {{ type = "file", path = "{folder}/crashing.token" }},
]
""",
    "wireguard-peer": """
[defaults.policy]
every = "365d"
overlap = "{overlap}"
[credentials.crashing]
kind = "wireguard-peer"
region = "fra"
targets = [ {{ type = "file", path = "{folder}/crashing.conf" }} ]
""",
}
MACHINES = 2
"""How many machines the app keeps: more of them are more of the same points."""
MOST_POINTS = 500
_READS = ("GET", "HEAD")


class Case(NamedTuple):
    """What is killed: a kind's rotation in a mode, or one that is undone in its overlap."""

    kind: str
    mode: Mode
    undone: bool = False

    def __str__(self) -> str:
        return f"{self.kind}, {'undone' if self.undone else self.mode.value}"


CASES = tuple(
    case
    for kind in MANIFESTS
    for case in (*(Case(kind, mode) for mode in Mode), Case(kind, Mode.NORMAL, undone=True))
)


@dataclass
class Fuse:
    """Counts durable effects, and ends a life after one of them."""

    life: Life
    after: int
    effects: int = 0
    last: str = "nothing"
    burnt: asyncio.Event = field(default_factory=asyncio.Event)

    def effect(self, what: str) -> None:
        """One more. The dead notice nothing of it."""
        if self.life.over:
            return
        self.effects += 1
        if self.effects == self.after:
            self.last = what
            self.life.over = True
            self.burnt.set()


class FusedStore:
    """The database of a worker that may die after any commit."""

    def __init__(self, inner: Store, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A transaction for writing."""
        async with self._inner.unit() as unit:
            yield unit
        self._fuse.effect("a commit")
        self._fuse.life.check()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Unit]:
        """A transaction for reading."""
        async with self._inner.view() as unit:
            yield unit


class FusedNetwork(httpx.AsyncBaseTransport):
    """The network of a worker that may die after any change at Fly, before the answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send."""
        response = await self._inner.handle_async_request(request)
        reads = request.method in _READS or (
            request.url.path == "/graphql" and b"mutation" not in request.content
        )
        if not reads:
            self._fuse.effect(f"{request.method} {request.url.path}")
            self._fuse.life.check()
        return response


class FusedTarget:
    """A target whose writes are durable effects that no network sees."""

    def __init__(self, inner: Target, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        """Write."""
        receipt = await self._inner.deliver(spec, value)
        self._written()
        return receipt

    async def remove(self, spec: TargetSpec) -> Receipt:
        """Take away."""
        receipt = await self._inner.remove(spec)
        self._written()
        return receipt

    def _written(self) -> None:
        self._fuse.effect("a file")
        self._fuse.life.check()


@dataclass
class Result:
    """How many points a case has, and how many of those that were tried converged."""

    case: Case
    points: int = 0
    tried: int = 0
    converged: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def crash_everywhere(case: Case, points: range = range(1, MOST_POINTS)) -> Result:
    """Kill the case's rotation after each durable effect, or after these ones only."""
    result = Result(case)
    begun = time.process_time()

    async def story(s: Story) -> None:
        await _prepare(s, case)
        for point in (0, *points):
            fuse = Fuse(Life(), point or MOST_POINTS)
            problem = await _one_rotation(s, case, fuse)
            if point == 0:
                # The whole way, to know how many points there are.
                result.points = fuse.effects
                assert problem is None, problem
                continue
            if not fuse.burnt.is_set():
                break
            result.tried += 1
            result.converged += problem is None
            if problem is not None:
                result.problems.append(f"point {point}, after {fuse.last}: {problem}")
        await _see_the_log(s)

    tell(story)
    result.seconds = time.process_time() - begun
    return result


async def _prepare(s: Story, case: Case) -> None:
    """A value of our own in use, read by few machines."""
    api = s.world.fly.apps["api"]
    for machine in list(api.machines)[MACHINES:]:
        del api.machines[machine]
    overlap = "1d" if case.undone else "1m"
    await s.apply(MANIFESTS[case.kind].format(folder=s.world.folder, overlap=overlap))
    await s.rotate("crashing", Mode.EMERGENCY)


async def _one_rotation(s: Story, case: Case, fuse: Fuse) -> str | None:
    """One rotation whose first worker dies on the way; what is wrong in the end, if anything."""
    wish = Wish(OPERATOR, "a crash point", "manual", case.mode)
    rotation = await request_rotation(s.parts, "crashing", wish)
    parts, transport, client = s.world.parts(fuse.life)
    transport._inner = FusedNetwork(transport._inner, fuse)
    parts = replace(parts, store=FusedStore(parts.store, fuse), targets=_fused(parts.targets, fuse))
    work = asyncio.create_task(_to_the_end(s, parts, rotation.id, case))
    burnt = asyncio.create_task(fuse.burnt.wait())
    await asyncio.wait({work, burnt}, return_when=asyncio.FIRST_COMPLETED)
    if not fuse.burnt.is_set():
        work.result()
    for task in (work, burnt):
        task.cancel()
    with suppress(asyncio.CancelledError):
        await work
    if transport.under_way:
        await asyncio.wait(transport.under_way)
    await client.aclose()
    await _to_the_end(s, s.parts, rotation.id, case)
    await s.parts.clock.sleep(s.parts.limits.lease_ttl_seconds)
    return await _wrong(s, case, await s.rotation(rotation.id))


def _fused(targets: Mapping[str, Target], fuse: Fuse) -> Mapping[str, Target]:
    fused = FusedTarget(targets["file"], fuse)
    return {**targets, "file": fused}  # type: ignore[dict-item]


async def _to_the_end(s: Story, parts: Parts, rotation_id: str, case: Case) -> None:
    """Work as a daemon does; the person's undo comes as soon as the new value is in use."""
    runner = jobs.Runner(parts)
    for _ in range(MOST_POINTS):
        await runner.run_ready()
        rotation = await s.rotation(rotation_id)
        if rotation.state in ENDED:
            return
        retiring = rotation.state is RotationState.RETIRING
        if case.undone and retiring and rotation.abort_requested_at is None:
            await undo(s.parts, rotation_id, OPERATOR, "second thoughts")
        await parts.clock.sleep(5)


async def _wrong(s: Story, case: Case, rotation: Rotation) -> str | None:
    """The promises, by the simulator's truth and the database."""
    wanted = RotationState.ROLLED_BACK if case.undone else RotationState.SUCCEEDED
    if rotation.state is not wanted:
        return f"{rotation.state}: {rotation.parked}"
    versions = await s.versions("crashing")
    held = [v for v in versions if v.state in (VersionState.CURRENT, VersionState.RETIRING)]
    if len(held) != 1 or any(v.state is VersionState.PENDING for v in versions):
        return f"versions are {[v.state.value for v in versions]}"
    if case.kind != "secret" and _at_the_issuer(s) != _issued(held):
        return f"the issuer holds {_at_the_issuer(s)}, the inventory {_issued(held)}"
    for machine in s.world.fly.apps["api"].machines.values():
        if leases.standing(s.world.fly, machine) is not None:
            return f"{machine.id} is still leased"
    refused = [c.machine for c in consumers(s.world.fly) if c.accepted is False]
    if refused:
        return f"{refused} hold a value that the issuer refuses"
    async with s.parts.store.view() as unit:
        steps = await unit.steps(rotation.id)
    if not case.undone and any(step.state is not StepState.DONE for step in steps):
        return "not every step is done"
    return None


def _issued(versions: Iterable[Version]) -> list[str]:
    return sorted(v.issued.name for v in versions if v.issued is not None)


def _at_the_issuer(s: Story) -> list[str]:
    tokens = [t.name for t in s.world.fly.tokens.values() if t.revoked_at is None]
    peers = [name for org in s.world.fly.organizations.values() for name in org.peers]
    return sorted(name for name in (*tokens, *peers) if name.startswith("crashing"))


async def _see_the_log(s: Story) -> None:
    async with s.parts.store.view() as unit:
        events = list(reversed(await unit.events(EventQuery(limit=1_000_000))))
    assert first_fault(events) is None


def main() -> int:
    """All points of all cases; 1 if one of them did not converge."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crash_points")
    parser.add_argument("--every", type=int, default=1, help="every n-th point only")
    given = parser.parse_args()
    logging.getLogger("rotator").setLevel(logging.ERROR)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        points = range(1, MOST_POINTS, given.every)
        tried = [pool.submit(crash_everywhere, case, points) for case in CASES]
        results = [each.result() for each in tried]
    for result in results:
        print(
            f"{result.case!s:32}{result.converged:4} of {result.tried:3} crash points converge "
            f"({result.points} durable effects, {result.seconds:.0f} s)"
        )
        for problem in result.problems:
            print(f"    {problem}")
    return 0 if all(r.converged == r.tried for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
