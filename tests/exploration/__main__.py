"""`python -m tests.exploration`: enumerate every state of a rotation with up to two faults."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from rotator.domain.rotation import Mode
from tests.exploration.search import Bounds, Report, explore
from tests.exploration.state import Scenario

SCENARIOS = tuple(Scenario(mode, sealed) for mode in Mode for sealed in (True, False))


def main() -> int:
    """Explore all scenarios; 1 if a promise does not hold in one of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.exploration", description=__doc__)
    parser.add_argument("--faults", type=int, default=2, help="how much may go wrong (default 2)")
    parser.add_argument("--people", type=int, default=1, help="how often people interfere (1)")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), help="one mode only")
    parser.add_argument(
        "--no-deadlines",
        action="store_true",
        help="let a worker act outside after its claim has run out: shows what that breaks",
    )
    given = parser.parse_args()
    bounds = Bounds(given.faults, given.people, deadlines=not given.no_deadlines)
    scenarios = [s for s in SCENARIOS if given.mode in (None, s.mode)]
    print(f"two machines, two workers, {bounds.faults} faults, {bounds.people} wishes of people\n")
    print(f"{'scenario':34}{'states':>9}{'transitions':>13}{'faults':>9}{'seconds':>9}")
    begun = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        reports = list(pool.map(partial(explore, bounds=bounds), scenarios))
    for report in reports:
        _show(report)
    total = sum(report.states for report in reports)
    wrong = sum(report.broken is not None for report in reports)
    took = time.monotonic() - begun
    print(f"\n{total} states in {took:.0f} s: {wrong or 'no'} scenarios with a broken promise")
    return 1 if wrong else 0


def _show(report: Report) -> None:
    numbers = f"{report.states:9}{report.transitions:13}{report.faults:9}{report.seconds:9.1f}"
    print(f"{report.scenario!s:34}{numbers}")
    if report.broken is None:
        ends = ", ".join(f"{count} {state}" for state, count in sorted(report.ends.items()))
        print(f"    every promise holds; ends: {ends}")
        return
    print(f"    BROKEN  {report.broken}")
    for number, step in enumerate(report.path, start=1):
        print(f"    {number:3}  {step}")


if __name__ == "__main__":
    sys.exit(main())
