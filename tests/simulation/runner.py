"""Run one seed, or many."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.scenario import Scenario, draw
from tests.simulation.virtual_time import VirtualLoop, run_virtually
from tests.simulation.world import SimulatedWorld


@dataclass(frozen=True)
class Outcome:
    """What came of a seed."""

    seed: int
    rotations: dict[str, int]
    requests: int
    looks: int


def run_seed(seed: int) -> Outcome:
    """Live through the world of a seed.

    Raises:
        AssertionError: a promise was broken; the text has the seed and how to repeat it.
    """
    return live_through(draw(seed))


def live_through(scenario: Scenario) -> Outcome:
    """Live through one world. Raises AssertionError like `run_seed`."""
    seed = scenario.seed
    logging.getLogger("rotator").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:

        async def live(loop: VirtualLoop) -> Outcome:
            world = SimulatedWorld(scenario, Path(folder), loop)
            await world.run()
            counts: dict[str, int] = {}
            store = world.store.__class__(world.url, world.ring, world.clock)
            async with store.view() as unit:
                for rotation in await unit.rotations(limit=10_000):
                    counts[rotation.state] = counts.get(rotation.state, 0) + 1
            await store.aclose()
            requests = world.fly.log[-1].seq if world.fly.log else 0
            return Outcome(seed, counts, requests, world.monitor.looks)

        try:
            outcome = run_virtually(live)
        except BaseException as error:
            raise AssertionError(
                f"seed {seed}: {_told(error)}\n"
                f"repeat it with: python -m tests.simulation --seed {seed}"
            ) from error
    assert isinstance(outcome, Outcome)
    return outcome


def _told(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
