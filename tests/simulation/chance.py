"""Faults as they happen: by rate, aimed at a step, or as a script says. All of it is recorded."""

from __future__ import annotations

import random
from collections import Counter

from rotator.simulator.faults import Fault, Faults, drawn
from tests.simulation.plan import Injection, Loss, Plan


class ScriptedFaults(Faults):
    """The network's faults of a plan."""

    def __init__(self, plan: Plan, told: Chance) -> None:
        super().__init__(random.Random(f"network {plan.seed}"))
        self._plan, self._told = plan, told
        self._ordinal = 0
        self.lose_next = False
        for kind, rate in plan.rates:
            setattr(self.rates, kind, rate)

    def by_chance(self) -> Fault | None:
        """What this request meets."""
        self._ordinal += 1
        if self.lose_next:
            self.lose_next = False
            return Fault("lost")
        script = self._told.script
        if script is not None:
            found = script.get(("network", self._ordinal))
            if found is None:
                return None
            self._told.note(found)
            return Fault(found.kind, status=found.status, seconds=found.seconds)
        fault = super().by_chance()
        if fault is not None:
            self._told.note(
                Injection("network", self._ordinal, fault.kind, fault.seconds, fault.status)
            )
        return fault


class Chance:
    """The database's faults of a plan, losses that are aimed, and the record of all."""

    def __init__(self, plan: Plan) -> None:
        self._rng = random.Random(f"database {plan.seed}")
        self.script = None
        if plan.script is not None:
            self.script = {(each.where, each.ordinal): each for each in plan.script}
        self._rates = dict(plan.database_rates)
        self._losses = list(plan.losses)
        self._seen: Counter[str] = Counter()
        self._ordinal = 0
        self.over = False
        self.injections: list[Injection] = []
        self.counts: Counter[str] = Counter()

    def note(self, injection: Injection) -> None:
        """A fault has happened."""
        self.injections.append(injection)
        self.counts[f"{injection.where}: {injection.kind}"] += 1

    def of_database(self) -> str | None:
        """What this transaction meets."""
        self._ordinal += 1
        if self.over:
            return None
        if self.script is not None:
            found = self.script.get(("database", self._ordinal))
            if found is not None:
                self.note(found)
            return found.kind if found else None
        for kind, rate in self._rates.items():
            if self._rng.random() < rate:
                self.note(Injection("database", self._ordinal, kind))
                return kind
        return None

    def loss_of(self, step: str) -> bool:
        """Whether the answer to this change of a step is one of those that get lost."""
        self._seen[step] += 1
        loss = Loss(step, self._seen[step])
        if self.over or loss not in self._losses:
            return False
        self._losses.remove(loss)
        self.counts["aimed: lost"] += 1
        return True


__all__ = ["Chance", "ScriptedFaults", "drawn"]
