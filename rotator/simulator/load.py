"""Load: requests that come through Fly's proxy all the time, and what becomes of them.

Nothing runs in the background. Between two changes of the world its state stands still, so the
requests of that time are accounted for when the next change, or the next look, comes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.simulator.consumers import machine_consumers
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import Json, Machine

if TYPE_CHECKING:
    from rotator.simulator.world import World

SLICE: Final = timedelta(seconds=0.1)
LONGEST: Final = timedelta(hours=12)
"""Of a longer stretch only the end is accounted for: nobody was looking."""


@dataclass
class Tally:
    """What became of one app's requests."""

    requests: int = 0
    unrouted: int = 0
    refused: int = 0
    first_failure_at: datetime | None = None
    last_failure_at: datetime | None = None

    @property
    def failed(self) -> int:
        """Requests that a user saw fail."""
        return self.unrouted + self.refused

    def view(self) -> Json:
        """As JSON."""
        return {
            "requests": self.requests,
            "failed": self.failed,
            "unrouted": self.unrouted,
            "refused": self.refused,
            "first_failure_at": rfc3339(self.first_failure_at) if self.first_failure_at else None,
            "last_failure_at": rfc3339(self.last_failure_at) if self.last_failure_at else None,
        }


class Load:
    """Requests to every app that has services, routed as Fly's proxy does: to machines that are
    started, not cordoned, and pass their checks. A request succeeds when the issuer accepts every
    token that its machine booted with."""

    def __init__(self, world: World, per_second: float) -> None:
        self._world = world
        self._rng = random.Random(world.seed + 2)
        self._each_slice = per_second * SLICE.total_seconds()
        self._owed = 0.0
        self._until = world.now()
        self.tallies: dict[str, Tally] = {}

    def catch_up(self, now: datetime) -> None:
        """Account for the requests up to now: the world has stood still since the last time."""
        begin = max(self._until, now - LONGEST)
        slices = int((now - begin) / SLICE)
        if slices <= 0:
            return
        for app in self._world.apps.values():
            serving = [m for m in app.machines.values() if m.config.get("services")]
            if serving:
                tally = self.tallies.setdefault(app.name, Tally())
                self._account(tally, serving, begin, slices)
        self._until = begin + slices * SLICE

    def _account(self, tally: Tally, serving: list[Machine], begin: datetime, slices: int) -> None:
        good = {m.id: self._accepted(m) for m in serving}
        for number in range(slices):
            at = begin + number * SLICE
            self._owed += self._each_slice
            count = int(self._owed)
            self._owed -= count
            routable = [m for m in serving if routes_to(m, at)]
            tally.requests += count
            if not routable:
                tally.unrouted += count
            elif not all(good[m.id] for m in routable):
                tally.refused += sum(not good[self._rng.choice(routable).id] for _ in range(count))
            else:
                continue
            tally.first_failure_at = tally.first_failure_at or at
            tally.last_failure_at = at

    def _accepted(self, machine: Machine) -> bool:
        return all(c.accepted is not False for c in machine_consumers(self._world, machine))

    def view(self) -> Json:
        """What became of the requests, app by app."""
        return {"apps": {name: tally.view() for name, tally in self.tallies.items()}}


def routes_to(machine: Machine, at: datetime) -> bool:
    """Whether the proxy sends requests to this machine at this time."""
    return (
        machine.state == "started"
        and not machine.cordoned
        and machine.host_status == "ok"
        and not machine.unhealthy
        and machine.checks_pass_at is not None
        and machine.checks_pass_at <= at
    )
