"""`python -m benchmarks.rollout`: how far rollouts stay from the quickest that is possible.

Fleets of 1 to 1,000 machines in 1 to 30 regions are rolled out in virtual time against the
simulator, under policies that people use. Each is held against a bound that `lower_bound.py`
computes without the engine. The goal is a ratio of at most 1.1 for every size; the exit code is 1
where it is missed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.fleets import APP, Fleet, Seen, roll_out
from benchmarks.lower_bound import Pace, lower_bound

GOAL = 1.1
PROCESSES = 2
REGIONS = {1: 1, 2: 1, 3: 2, 5: 3, 10: 5, 30: 10, 100: 20, 300: 30, 1000: 30}
COLUMNS = ("size", "regions", "took", "bound", "ratio", "lists", "calls", "real")
"""Size: machines of the fleet. Calls: requests about single machines, for each. Real: time that
passed here."""
GROUPS = (("app", 0.5), ("worker", 0.3), ("cron", 0.2))


@dataclass(frozen=True)
class Setting:
    """A policy as a manifest says it, and the same for the bound."""

    name: str
    policy: str
    pace: Pace
    groups: tuple[tuple[str, float], ...] = (("app", 1.0),)
    grace: str = ""
    largest: int = 1000


SETTINGS = (
    Setting("default", "", Pace()),
    Setting("three groups", "", Pace(), groups=GROUPS),
    Setting(
        # The largest fleet takes more than four hours one by one, past a rollout's time limit.
        "one at a time",
        "max_unavailable = 1",
        Pace(unavailable=1),
        largest=300,
    ),
    Setting("half", 'max_unavailable = "50%"', Pace(unavailable=0.5)),
    Setting("no stagger", 'stagger = "0s"', Pace(stagger=0.0)),
    Setting("canary", 'strategy = "canary"', Pace(canaries=1)),
    Setting("canary, three groups", "canary = 1\n", Pace(canaries=1), groups=GROUPS, largest=300),
    Setting("soak", 'soak = "20s"', Pace(soak=20.0)),
    Setting("grace period", 'stagger = "0s"', Pace(stagger=0.0), grace="20s"),
    Setting("immediate", 'strategy = "immediate"', Pace(at_once=True)),
    Setting("blue-green", 'strategy = "blue-green"', Pace(clones=True), largest=300),
)


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    setting: str
    machines: int
    regions: int
    seconds: float
    bound_seconds: float
    lists: int
    calls_per_machine: float
    real_seconds: float
    requests_per_real_second: float

    @property
    def ratio(self) -> float:
        """How many times the bound the rollout took."""
        return self.seconds / self.bound_seconds


def measure(setting: Setting, machines: int) -> Measured:
    """Roll out one fleet under one policy."""
    fleet = Fleet(machines, REGIONS[machines], setting.groups, setting.grace)
    seen = roll_out(fleet, setting.policy)
    return Measured(
        setting=setting.name,
        machines=machines,
        regions=fleet.regions,
        seconds=seen.seconds,
        bound_seconds=lower_bound(seen, setting.pace),
        lists=sum(
            e.path == f"/v1/apps/{APP}/machines" and e.method == "GET" for e in seen.requests
        ),
        calls_per_machine=_of_machines(seen) / machines,
        real_seconds=seen.real_seconds,
        requests_per_real_second=seen.all_requests / seen.real_seconds,
    )


def _measure(case: tuple[Setting, int]) -> Measured:
    return measure(*case)


def _of_machines(seen: Seen) -> int:
    return sum(f"/{APP}/machines/" in entry.path for entry in seen.requests)


def shown(measured: Sequence[Measured]) -> Table:
    """The table for people."""
    title = f"Rollouts in virtual time, in seconds, against the lower bound (goal {GOAL})"
    table = Table(title=title, box=None, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for each in measured:
        good = each.ratio <= GOAL
        table.add_row(
            each.setting,
            str(each.machines),
            str(each.regions),
            f"{each.seconds:.1f}",
            f"{each.bound_seconds:.1f}",
            f"[{'green' if good else 'red'}]{each.ratio:.3f}[/]",
            str(each.lists),
            f"{each.calls_per_machine:.1f}",
            f"{each.real_seconds:.0f}",
        )
    return table


def as_json(measured: Sequence[Measured]) -> str:
    """The table for programs."""
    rows = [vars(each) | {"ratio": round(each.ratio, 4)} for each in measured]
    return json.dumps({"goal": GOAL, "rollouts": rows}, indent=2)


def run(largest: int, only: str) -> list[Measured]:
    """Every setting with every size, the largest fleets first because they take the longest."""
    cases = [
        (setting, size)
        for setting in SETTINGS
        for size in REGIONS
        if size <= min(largest, setting.largest) and only in setting.name
    ]
    longest_first = sorted(cases, key=lambda case: -case[1])
    with ProcessPoolExecutor(PROCESSES) as pool:
        found = dict(zip(longest_first, pool.map(_measure, longest_first), strict=True))
    return [found[case] for case in cases]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--largest", type=int, default=1000, help="leave out larger fleets")
    parser.add_argument("--only", default="", help="policies whose name holds this text")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    measured = run(options.largest, options.only)
    console = Console()
    console.print(shown(measured))
    worst = max(measured, key=lambda each: each.ratio)
    console.print(
        f"{len(measured)} rollouts in {time.perf_counter() - began:.0f} s; the worst ratio is "
        f"{worst.ratio:.3f} ({worst.setting}, {worst.machines} machines)"
    )
    if options.json is not None:
        options.json.write_text(as_json(measured) + "\n", "utf-8")
    return 0 if worst.ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
