"""Make a broken world smaller: the fewest faults, people and parts with which it still breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from tests.simulation.plan import Plan, RolloutPlan
from tests.simulation.runner import Outcome, live_through

SECONDS = 120.0
"""No world is worth more of real time."""
PARTS = ("script", "acts", "kills", "freezes", "losses", "jumps", "credentials", "apps")
DAY = 86_400.0
Say = Callable[[str], object]


@dataclass
class Shrinking:
    """A search for a smaller plan that breaks the same promise."""

    plan: Plan
    outcome: Outcome
    deadline: float
    tries: int = 0

    def take(self, plan: Plan) -> bool:
        """Whether this plan breaks the same promise; then it is the one to go on with."""
        if time.monotonic() > self.deadline:
            return False
        self.tries += 1
        try:
            outcome = live_through(plan)
        except Exception:  # a plan that can't be lived is not a smaller world
            return False
        if outcome.broken != self.outcome.broken:
            return False
        self.plan, self.outcome = plan, outcome
        return True


def shrink(plan: Plan, outcome: Outcome, *, say: Say = lambda _: None) -> Shrinking:
    """The smallest world that was found. Its faults are a script, no longer chances."""
    search = Shrinking(plan, outcome, time.monotonic() + SECONDS)
    search.take(replace(plan, rates=(), database_rates=(), script=outcome.injections))
    search.take(replace(search.plan, days=_until_broken(search)))
    for name in PARTS:
        _fewer(search, name)
        say(f"{name}: {len(getattr(search.plan, name) or ())} left after {search.tries} tries")
    _simpler(search)
    search.take(replace(search.plan, slow_boots=0.0))
    search.take(replace(search.plan, days=_until_broken(search)))
    live = live_through(search.plan, trace=True)
    if live.broken:
        search.outcome = live
    return search


def _simpler(search: Shrinking) -> None:
    """Plain policies, single targets and small apps, as far as it breaks with them."""
    for place, credential in enumerate(search.plan.credentials):
        for changed in (
            {"rollout": RolloutPlan()},
            {"targets": credential.targets[:1]},
            {"overlap_minutes": 0},
            {"adopted": False},
        ):
            known = search.plan.credentials[place]
            _with(search, "credentials", place, replace(known, **changed))
    for place, app in enumerate(search.plan.apps):
        for count in (1, 2):
            group = replace(
                app.groups[0], regions=app.groups[0].regions[:count], down=(), suspended=()
            )
            if _with(search, "apps", place, replace(app, groups=(group,))):
                break
    _fewer(search, "apps")


def _with(search: Shrinking, name: str, place: int, part: object) -> bool:
    parts = list(getattr(search.plan, name))
    if parts[place] == part:
        return True
    parts[place] = part
    return search.take(replace(search.plan, **{name: tuple(parts)}))


def _until_broken(search: Shrinking) -> float:
    return min(search.plan.days, search.outcome.simulated_seconds / DAY + 0.01)


def _fewer(search: Shrinking, name: str) -> None:
    """Leave out halves, then quarters, and so on to single ones (delta debugging)."""
    if getattr(search.plan, name) is None:
        return
    size = max(1, len(getattr(search.plan, name)) // 2)
    while True:
        start = 0
        while start < len(getattr(search.plan, name)):
            known: tuple[Any, ...] = getattr(search.plan, name)
            fewer = known[:start] + known[start + size :]
            if not (fewer or name in ("script", "acts", "kills", "freezes", "losses", "jumps")):
                break
            if not search.take(replace(search.plan, **{name: fewer})):
                start += size
        if size == 1:
            return
        size //= 2


def told(search: Shrinking) -> str:
    """The story of a broken world, for people."""
    plan, outcome = search.plan, search.outcome
    lines = [
        f"seed {plan.seed}, made smaller in {search.tries} tries: {outcome.why}",
        "",
        f"database: {plan.backend.value}, workers: {plan.workers}, days: {plan.days:.2f}",
        f"switches: {plan.switches}",
    ]
    for name in ("apps", "credentials", "acts", "kills", "freezes", "losses", "jumps", "script"):
        lines += _part(name, getattr(plan, name) or ())
    lines += ["", "       seconds  who           what", *outcome.story]
    return "\n".join(lines)


def _part(name: str, parts: Sequence[Any]) -> list[str]:
    found = [f"{name}:"] if parts else []
    for part in parts:
        values = {f.name: getattr(part, f.name) for f in fields(part)}
        defaults = {f.name: f.default for f in fields(part)}
        shown = [f"{k}={v}" for k, v in values.items() if v != defaults[k]]
        found.append(f"  {', '.join(shown)}")
    return found
