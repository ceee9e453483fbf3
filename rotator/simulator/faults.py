"""What goes wrong: by chance with given rates, or once on request.

Every kind says whether the request had its effect, because that is what a client can't see.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "latency": "the answer comes late",
    "refused": "an error status, before any effect",
    "dropped": "the connection breaks before any effect",
    "lost": "the connection breaks after the effect",
    "error_after": "an error status, after the effect",
    "too_many": "429, before any effect",
    "html": "a proxy's error page instead of JSON, before any effect",
    "truncated": "JSON cut in the middle, after the effect",
    "never_healthy": "the instance that this request makes never passes its checks",
    "unreachable": "the machine's host is out of reach for a while, from before the request",
    "deploy": "somebody else deploys the app, just before the request",
}
_BAD_STATUSES = (500, 502, 503, 504)


@dataclass(frozen=True)
class Match:
    """Which requests a fault is for; an empty field matches everything."""

    method: str = ""
    path: str = ""
    graphql: str = ""

    def fits(self, method: str, path: str, graphql: tuple[str, ...]) -> bool:
        """Whether a request is meant. `path` is a prefix or a pattern with `*`."""
        if self.method and self.method.upper() != method:
            return False
        if self.graphql and self.graphql not in graphql:
            return False
        if not self.path:
            return True
        return path.startswith(self.path) or fnmatch.fnmatchcase(path, self.path)


@dataclass
class Fault:
    """One kind of fault with its details; `times` more requests get it."""

    kind: str
    match: Match = field(default_factory=Match)
    times: int = 1
    status: int = 503
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; one of {', '.join(KINDS)}")
        if not isinstance(self.times, int) or not isinstance(self.seconds, int | float):
            raise ValueError("times and seconds are numbers")
        if not 400 <= self.status <= 599:
            raise ValueError("a fault's status is an error status, 400 to 599")


@dataclass
class FaultRates:
    """The chance of each kind for one request, 0 to 1."""

    latency: float = 0.0
    refused: float = 0.0
    dropped: float = 0.0
    lost: float = 0.0
    error_after: float = 0.0
    too_many: float = 0.0
    html: float = 0.0
    truncated: float = 0.0
    never_healthy: float = 0.0
    unreachable: float = 0.0
    deploy: float = 0.0


class Faults:
    """Decides which fault a request meets. Chance comes from a generator of its own."""

    def __init__(self, rng: random.Random) -> None:
        self.rates = FaultRates()
        self.waiting: list[Fault] = []
        self._rng = rng

    def add(self, fault: Fault) -> None:
        """Let the next `times` requests that match meet this fault."""
        self.waiting.append(fault)

    def clear(self) -> None:
        """Forget the faults that wait and set every rate to 0."""
        self.waiting.clear()
        self.rates = FaultRates()

    def pick(self, method: str, path: str, graphql: tuple[str, ...]) -> Fault | None:
        """The fault that this request meets, if any."""
        for fault in self.waiting:
            if fault.match.fits(method, path, graphql):
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return self._by_chance()

    def _by_chance(self) -> Fault | None:
        rates = [(rate.name, float(getattr(self.rates, rate.name))) for rate in fields(FaultRates)]
        if not any(rate for _, rate in rates):
            return None
        dice = self._rng.random()
        for kind, rate in rates:
            if dice < rate:
                status = self._rng.choice(_BAD_STATUSES)
                return Fault(kind, status=status, seconds=self._rng.uniform(0.1, 5.0))
            dice -= rate
        return None
