"""The first seeds in every run of the tests; `make simulate` has thousands more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.drawing import draw
from tests.simulation.runner import run_seed

SEEDS = 120
AT_ONCE = 5
"""Seeds to one test: it tells all that broke, and costs no more than they do."""
REPEATED = (40, 42, 56)
"""Two workers whose transactions interleave, one that dies, and two that do."""


@pytest.mark.parametrize("first", range(1, SEEDS, AT_ONCE))
def test_every_promise_holds_in_these_worlds(first: int) -> None:
    broken = []
    for seed in range(first, first + AT_ONCE):
        if draw(seed).days > 10:
            continue  # a month of a big company: `make simulate` lives through those
        outcome = run_seed(seed)
        if outcome.broken:
            broken.append(f"seed {seed}: {outcome.why}")
    again = "\nrepeat one with: python -m tests.simulation --trace --seed N"
    assert not broken, "\n".join(broken) + again


def test_a_seed_decides_everything_in_whatever_process_it_runs() -> None:
    program = (
        "from tests.simulation.runner import run_seed\n"
        f"print([run_seed(seed).trace_hash for seed in {REPEATED}])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": dice},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for dice in ("0", "1")
    }
    assert len(found) == 1
    assert found == {f"{[run_seed(seed).trace_hash for seed in REPEATED]}\n"}
