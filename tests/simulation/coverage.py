"""How often each fault, act, step and moment of dying was hit, over many worlds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from rotator.domain.rotation import StepName

PHASES = ("crash before", "crash after", "lost response")


class Coverage:
    """Counts, by what is counted."""

    def __init__(self, counts: Counter[str] | None = None) -> None:
        self.counts = counts if counts is not None else Counter()

    def hit(self, what: str) -> None:
        """One more."""
        self.counts[what] += 1

    def hit_step(self, step: str, phase: str) -> None:
        """A step was hit at a moment."""
        self.counts[f"{step}: {phase}"] += 1

    def add(self, others: Iterable[tuple[str, int]]) -> None:
        """Take in what other worlds have counted."""
        for name, count in others:
            self.counts[name] += count

    def missing(self) -> list[str]:
        """Moments of steps that were never hit."""
        return [
            f"{step.value}: {phase}"
            for step in StepName
            for phase in PHASES
            if not self.counts[f"{step.value}: {phase}"]
        ]

    def show(self, console: Console) -> None:
        """The tables."""
        table = Table(
            "step", "done", *PHASES, title="steps, and the moments at which they were hit"
        )
        for step in StepName:
            cells = [str(self.counts[f"{step.value}: {phase}"]) for phase in ("done", *PHASES)]
            table.add_row(step.value, *cells)
        console.print(table)
        known = {f"{s.value}: {p}" for s in StepName for p in ("done", *PHASES)}
        rest = Table("what", "how often", title="faults, acts and ends")
        for name, count in sorted(self.counts.items()):
            if name not in known:
                rest.add_row(name, str(count))
        console.print(rest)
