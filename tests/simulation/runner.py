"""Run one world, and say what came of it."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rotator.engine import jobs
from rotator.simulator import gql
from tests.simulation.drawing import draw
from tests.simulation.network import quick_graphql
from tests.simulation.plan import Backend, Injection, Plan
from tests.simulation.seeded import Listener, SeededWorld
from tests.simulation.virtual_time import VirtualLoop, run_virtually


@dataclass(frozen=True)
class Outcome:
    """What came of a world. `broken` is the promise that was, and `why` says how."""

    seed: int
    trace_hash: str
    ends: dict[str, int]
    counts: dict[str, int]
    looks: int
    requests: int
    simulated_seconds: float
    real_seconds: float
    broken: str | None = None
    why: str = ""
    story: Sequence[str] = ()
    injections: tuple[Injection, ...] = field(default=(), repr=False)


def run_seed(seed: int, *, trace: bool = False) -> Outcome:
    """Live through the world of a seed."""
    return live_through(draw(seed), trace=trace)


def live_through(plan: Plan, *, trace: bool = False) -> Outcome:
    """Live through one world."""
    began = time.perf_counter()
    with _folder(plan) as folder, _listening() as listener, _quick():
        found: list[SeededWorld] = []

        async def live(loop: VirtualLoop) -> None:
            world = SeededWorld(plan, loop, folder)
            world.keep_trace = trace
            world.logged = listener.lines
            found.append(world)
            await world.run()

        error: BaseException | None = None
        try:
            run_virtually(live)
        except Exception as raised:
            error = _first(raised)
    world = found[0]
    return _outcome(world, error, time.perf_counter() - began)


def _outcome(world: SeededWorld, error: BaseException | None, seconds: float) -> Outcome:
    ends: dict[str, int] = {}
    for rotation in world.shadow.rotations.values():
        ends[rotation.state.value] = ends.get(rotation.state.value, 0) + 1
    for state, count in ends.items():
        world.coverage.counts[f"rotation {state}"] += count
    world.coverage.counts.update(world.chance.counts)
    outcome = Outcome(
        seed=world.plan.seed,
        trace_hash=world.trace_hash,
        ends=ends,
        counts=dict(world.coverage.counts),
        looks=world.promises.looks,
        requests=world.fly.log[-1].seq if world.fly.log else 0,
        simulated_seconds=world._loop.elapsed_seconds,
        real_seconds=seconds,
        story=world.story,
        injections=tuple(world.chance.injections),
    )
    if error is None:
        return outcome
    promise = getattr(error, "promise", type(error).__name__)
    return replace(outcome, broken=promise, why=f"{type(error).__name__}: {error}")


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _folder(plan: Plan) -> Iterator[Path | None]:
    if plan.backend is not Backend.SQLITE:
        yield None
        return
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@contextmanager
def _listening() -> Iterator[Listener]:
    logger, listener = logging.getLogger("rotator"), Listener()
    level, spread = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield listener
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = spread


@contextmanager
def _quick() -> Iterator[None]:
    """Less work for the same: documents are checked once, and a busy runner looks less often."""
    usual = gql.graphql, jobs.READY_SECONDS
    gql.graphql, jobs.READY_SECONDS = quick_graphql, 2.0  # type: ignore[assignment]
    try:
        yield
    finally:
        gql.graphql, jobs.READY_SECONDS = usual  # type: ignore[assignment]
