"""What the world of a story is like: Fly's open questions answered by a seed, nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rotator.simulator.faults import FaultRates
from rotator.simulator.switches import Switches


@dataclass(frozen=True)
class Scenario:
    """One story's world. Nobody dies and nobody wishes for anything but in the story itself."""

    seed: int
    rates: FaultRates
    switches: Switches
    kills: int = 0
    wishes: int = 0


def draw(seed: int) -> Scenario:
    """The world of a seed."""
    rng = random.Random(f"scenario {seed}")
    switches = Switches(
        update_of_stopped_starts=rng.random() < 0.5,
        restart_takes_secrets=rng.random() < 0.5,
        revocation_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        list_lag_seconds=rng.choice((0.0, 3.0, 20.0)),
        retry_after_on_429=rng.random() < 0.5,
        equal_value_keeps_digest_date=rng.random() < 0.5,
        app_actions_share_bucket=rng.random() < 0.5,
    )
    return Scenario(seed, FaultRates(), switches)
