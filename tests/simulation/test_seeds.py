"""The first seeds in every run of the tests; `make simulate RUNS=…` has more."""

from __future__ import annotations

import pytest

from tests.simulation.runner import run_seed

SEEDS = range(1, 13)


@pytest.mark.timeout(300)  # the longest of these worlds takes most of a minute by itself
@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_in_this_world(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.rotations, "nothing was rotated, so nothing was shown"
    assert outcome.looks > 100
