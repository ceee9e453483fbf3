"""What goes wrong: by chance with given rates, or once on request.

Every kind says whether the request had its effect, because that is what a client can't see.
"""

from __future__ import annotations

import fnmatch
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "latency": "request and answer take their time",
    "late": "the effect comes at once, the answer after a while",
    "stuck": "no answer for a while, then the connection breaks; no effect",
    "unconnected": "the connection is refused, so the request is never sent",
    "refused": "an error status, before any effect",
    "dropped": "the connection breaks before any effect",
    "lost": "the connection breaks after the effect",
    "error_after": "an error status, after the effect",
    "too_many": "429, before any effect",
    "expired": "the caller's token is not accepted, before any effect",
    "html": "a proxy's error page instead of JSON, before any effect",
    "truncated": "JSON cut in the middle, after the effect",
    "stale": "a list as it was at an earlier look, up to 30 seconds ago",
    "empty": "a list of machines comes back empty",
    "lease_lost": "the machine's lease is gone, just before the request",
    "never_healthy": "the instance that this request makes never passes its checks",
    "crash_loop": "the instance that this request makes starts and dies again for a while",
    "flap": "the instance that this request makes is healthy at first, and sick for a while later",
    "unreachable": "the machine's host is out of reach for a while, from before the request",
    "deploy": "somebody else deploys the app, just before the request",
}
STALE_SECONDS: Final = 30.0
_EARLIER_KEPT: Final = 512
_BAD_STATUSES = (500, 502, 503, 504)
_SPANS: Final[Mapping[str, tuple[float, float]]] = {
    "latency": (0.001, 20.0),
    "late": (1.0, 180.0),
    "stuck": (1.0, 180.0),
    "unreachable": (0.1, 600.0),
    "crash_loop": (30.0, 900.0),
    "flap": (3.0, 60.0),
    "too_many": (1.0, 30.0),
}
"""How long a fault lasts when chance decides, in seconds: short ones are as likely as long ones."""


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
    late: float = 0.0
    stuck: float = 0.0
    unconnected: float = 0.0
    expired: float = 0.0
    stale: float = 0.0
    empty: float = 0.0
    lease_lost: float = 0.0
    crash_loop: float = 0.0
    flap: float = 0.0


class Faults:
    """Decides which fault a request meets. Chance comes from a generator of its own."""

    def __init__(self, rng: random.Random) -> None:
        self.rates = FaultRates()
        self.waiting: list[Fault] = []
        self.earlier = Earlier()
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
        return self.by_chance()

    def by_chance(self) -> Fault | None:
        """A fault by its rate."""
        rates = {kind: rate for kind, rate in vars(self.rates).items() if rate}
        if not rates:
            return None
        dice = self._rng.random()
        for kind, rate in rates.items():
            if dice < rate:
                return drawn(kind, self._rng)
            dice -= rate
        return None


def drawn(kind: str, rng: random.Random) -> Fault:
    """A fault of this kind with its details by chance."""
    low, high = _SPANS.get(kind, (0.1, 5.0))
    seconds = math.exp(rng.uniform(math.log(low), math.log(high)))
    return Fault(kind, status=rng.choice(_BAD_STATUSES), seconds=seconds)


class Earlier:
    """What lists have shown, for those that are served stale."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[datetime, bytes]] = {}

    def remember(self, question: str, at: datetime, body: bytes) -> None:
        """Keep an answer; the oldest question is forgotten for it when there are too many."""
        self._answers.pop(question, None)
        self._answers[question] = (at, body)
        if len(self._answers) > _EARLIER_KEPT:
            del self._answers[next(iter(self._answers))]

    def answer(self, question: str, now: datetime) -> bytes | None:
        """What the question got last time, unless that is too long ago."""
        at, body = self._answers.get(question, (None, b""))
        fresh = at is not None and (now - at).total_seconds() <= STALE_SECONDS
        return body if fresh else None
