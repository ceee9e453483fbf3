"""`python -m tests.simulation --seed N` or `--runs N`: what holds, what doesn't, by which seed."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.simulation.runner import run_seed


def main() -> int:
    """Run seeds; 1 if one of them broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one world, with a traceback if it breaks")
    parser.add_argument("--runs", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    given = parser.parse_args()
    if given.seed is not None:
        print(run_seed(given.seed))
        return 0
    broken = 0
    began = time.monotonic()
    for seed in range(given.first, given.first + given.runs):
        try:
            run_seed(seed)
        except AssertionError as error:
            broken += 1
            print(error)
        except Exception:
            broken += 1
            traceback.print_exc()
    took = time.monotonic() - began
    print(f"{given.runs - broken} passed, {broken} failed in {took:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
