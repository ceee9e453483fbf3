"""How findings came, went and stood over a period, from the audit log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from rotator.domain.courses import Period, bin_days, bin_start, is_monthly
from rotator.domain.events import Action, Event
from rotator.domain.risk import Risk

TREND_ACTIONS: Final = "posture"
LOOK_ACTION: Final = Action.POSTURE_LOOKED.value
_OPENED: Final = frozenset({Action.POSTURE_OPENED, Action.POSTURE_REOPENED})
_BY_WORD: Final = {risk.word: risk for risk in Risk}


@dataclass
class TrendBin:
    """A week or month: what came, what went, and how each organisation stood at its last look."""

    opened: Counter[Risk] = field(default_factory=Counter)
    resolved: Counter[Risk] = field(default_factory=Counter)
    looks: dict[str, Mapping[Risk, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrendPoint:
    """A bin as it is told. `standing` is None as long as nobody has looked."""

    day: date
    opened: Mapping[Risk, int]
    resolved: Mapping[Risk, int]
    standing: Mapping[Risk, int] | None


@dataclass
class Trend:
    """What is counted of the events of a period, newest first."""

    period: Period
    bins: dict[date, TrendBin] = field(default_factory=dict)
    before: dict[str, Mapping[Risk, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bins = {day: TrendBin() for day in bin_days(self.period)}

    @property
    def monthly(self) -> bool:
        """Whether the bins are months."""
        return is_monthly(self.period)

    def add(self, event: Event) -> None:
        """Count one; events have to come newest first."""
        found = self.bins.get(bin_start(event.at, monthly=self.monthly))
        if found is None:
            return
        risk = _BY_WORD.get(event.detail.get("severity", ""), Risk.NOTE)
        if event.action in _OPENED:
            found.opened[risk] += 1
        elif event.action is Action.POSTURE_RESOLVED:
            found.resolved[risk] += 1
        elif event.action is Action.POSTURE_LOOKED:
            found.looks.setdefault(event.organization or "", standing_of(event))

    def begin_with(self, event: Event) -> None:
        """How an organisation stood at its last look before the period."""
        self.before.setdefault(event.organization or "", standing_of(event))

    def points(self) -> Iterator[TrendPoint]:
        """Each bin in order. Where nobody looked in it, things stood as at the look before."""
        looks = dict(self.before)
        for day, found in self.bins.items():
            looks |= found.looks
            standing: Counter[Risk] = Counter()
            for counts in looks.values():
                standing.update(counts)
            yield TrendPoint(day, found.opened, found.resolved, standing if looks else None)

    @property
    def standing(self) -> Mapping[Risk, int] | None:
        """How things stood at the end; None where nobody had looked."""
        last = None
        for point in self.points():
            last = point.standing
        return last

    @property
    def told(self) -> bool:
        """Whether there is anything to draw."""
        bins = self.bins.values()
        return bool(self.before) or any(b.looks or b.opened or b.resolved for b in bins)


def standing_of(event: Event) -> Mapping[Risk, int]:
    """What a look left open, by severity."""
    counts = {risk: event.detail.get(f"open_{risk.word}", "") for risk in Risk}
    return {risk: int(text) for risk, text in counts.items() if text.isascii() and text.isdigit()}
