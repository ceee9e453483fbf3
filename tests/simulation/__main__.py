"""Seeded worlds from the command line: one, many, a broken one made smaller, or the sabotages."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation.coverage import Coverage
from tests.simulation.drawing import draw
from tests.simulation.runner import Outcome, run_seed
from tests.simulation.shrinking import shrink, told
from tests.simulation.span import days

TOLD_EVERY = 500
"""Seeds between two lines of progress where no terminal shows the bar."""
AHEAD = 4
"""How many seeds a process has before it: they are of very different length."""


def main() -> int:
    """Run what was asked for; 1 if a promise was broken, or a sabotage was not noticed."""
    given = _arguments()
    console = Console(highlight=False)
    if given.sabotage:
        return _sabotages(console)
    if given.seed is not None:
        return _one(console, given.seed, trace=given.trace, smaller=given.shrink)
    return _many(console, range(given.first, given.first + given.runs), given.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="one world")
    parser.add_argument("--trace", action="store_true", help="with --seed: all that happens in it")
    parser.add_argument("--shrink", action="store_true", help="with --seed: make it smaller")
    parser.add_argument("--runs", type=int, default=100, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--sabotage", action="store_true", help="see that the checks can fail")
    return parser.parse_args()


def _one(console: Console, seed: int, *, trace: bool, smaller: bool) -> int:
    outcome = run_seed(seed, trace=trace)
    if trace:
        print("\n".join(outcome.story))
    console.print(
        f"seed {seed}: {outcome.why or 'every promise held'}\n"
        f"{days(outcome.simulated_seconds)} in {outcome.real_seconds:.2f} s, "
        f"{outcome.requests} requests, {outcome.looks} looks, {outcome.ends}\n"
        f"trace {outcome.trace_hash}"
    )
    if outcome.broken and smaller:
        print(told(shrink(draw(seed), outcome, say=console.print)))
    return 1 if outcome.broken else 0


def _many(console: Console, seeds: range, jobs: int) -> int:
    coverage, broken, simulated, began = Coverage(), [], 0.0, time.monotonic()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("seeds", total=len(seeds))
        for done, outcome in enumerate(_outcomes(seeds, jobs), start=1):
            if done % TOLD_EVERY == 0 and not console.is_terminal:
                console.print(f"{done} of {len(seeds)} worlds, {len(broken)} broken")
            coverage.add(outcome.counts.items())
            simulated += outcome.simulated_seconds
            if outcome.broken:
                broken.append(outcome)
                progress.console.print(f"seed {outcome.seed}: {outcome.why}")
            progress.update(bar, advance=1, description=f"seeds, {len(broken)} broken")
    coverage.show(console)
    took = time.monotonic() - began
    console.print(
        f"{len(seeds)} worlds, {days(simulated)} simulated in {took:.0f} s "
        f"({took * jobs / max(1, len(seeds)):.2f} s of a core each); {len(broken)} broken"
    )
    missing = coverage.missing() if len(seeds) >= 1000 else []
    for each in missing:
        console.print(f"never hit: {each}")
    for outcome in broken:
        console.print(f"repeat it: python -m tests.simulation --seed {outcome.seed} --shrink")
    return 1 if broken or missing else 0


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """The outcomes as they come, each seed in whatever process is free."""
    if jobs == 1:
        yield from (_lean(seed) for seed in seeds)
        return
    left = iter(seeds)
    with ProcessPoolExecutor(jobs) as pool:
        pending: set[Future[Outcome]] = set()
        while True:
            for seed in islice(left, jobs * AHEAD - len(pending)):
                pending.add(pool.submit(_lean, seed))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)


def _lean(seed: int) -> Outcome:
    from dataclasses import replace

    return replace(run_seed(seed), story=(), injections=())


def _sabotages(console: Console) -> int:
    from tests.simulation.sabotages import SABOTAGES, caught

    table = Table("sabotage", "promise", "caught by", "seed", "seeds needed", title="sabotages")
    survived = 0
    for sabotage in SABOTAGES:
        found = caught(sabotage)
        survived += found is None
        row = (str(found.seed), str(found.needed)) if found else ("-", "never")
        table.add_row(sabotage.name, sabotage.promise, found.promise if found else "-", *row)
    console.print(table)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
