"""The simulated Fly as a whole: its records, its clock, its dice and its agenda.

Nothing runs in the background. What will happen later is on the agenda and is applied, in
order and with its own time, by `advance`, which each request calls first.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.simulator import ids
from rotator.simulator.errors import ApiError
from rotator.simulator.faults import Faults
from rotator.simulator.limits import Limits
from rotator.simulator.model import App, Machine, Organization, PersonalToken, Token
from rotator.simulator.switches import Switches

if TYPE_CHECKING:
    from rotator.simulator.load import Load

LOG_ENTRIES: Final = 100_000

Transition = Callable[[datetime], None]


@dataclass(frozen=True)
class LogEntry:
    """One request that was served. Never a body."""

    seq: int
    at: datetime
    method: str
    path: str
    graphql: tuple[str, ...]
    status: int
    request_id: str
    fault: str | None


@dataclass(order=True)
class _Planned:
    at: datetime
    order: int
    transition: Transition = field(compare=False)


class World:
    """One Fly. `now` and `sleep` are the caller's, so time may be real or virtual."""

    def __init__(
        self,
        seed: int,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        speed: float = 1.0,
    ) -> None:
        self.seed = seed
        self.now = now
        self.sleep = sleep
        self.speed = speed
        self.rng = random.Random(seed)
        self.switches = Switches()
        self.faults = Faults(random.Random(seed + 1))
        self.limits = Limits(speed)
        self.key_id = self.rng.randbytes(8)
        self.root_key = self.rng.randbytes(32)
        self.digest_key = self.rng.randbytes(32)
        self.organizations: dict[str, Organization] = {}
        self.apps: dict[str, App] = {}
        self.tokens: dict[str, Token] = {}
        self.tokens_by_nonce: dict[bytes, Token] = {}
        self.gateways: dict[str, str] = {}
        self.personal_tokens: list[PersonalToken] = []
        self.log: deque[LogEntry] = deque(maxlen=LOG_ENTRIES)
        self.load: Load | None = None
        self._agenda: list[_Planned] = []
        self._order = itertools.count()
        self._requests = itertools.count(1)

    def advance(self) -> None:
        """Apply everything that was planned for a time that has come."""
        now = self.now()
        while self._agenda and self._agenda[0].at <= now:
            planned = heapq.heappop(self._agenda)
            if self.load is not None:
                self.load.catch_up(planned.at)
            planned.transition(planned.at)
        if self.load is not None:
            self.load.catch_up(now)

    def plan(self, at: datetime, transition: Transition) -> None:
        """Put a transition on the agenda; it is called with its own time."""
        heapq.heappush(self._agenda, _Planned(at, next(self._order), transition))

    def span(self, low: float, high: float) -> timedelta:
        """A random length between two numbers of seconds, shortened by the world's speed."""
        return timedelta(seconds=self.rng.uniform(low, high) / self.speed)

    def ulid(self, at: datetime) -> str:
        """A new ULID."""
        return ids.ulid(self.rng, at)

    def record(
        self,
        *,
        method: str,
        path: str,
        fields: tuple[str, ...],
        status: int,
        request_id: str,
        fault: str | None,
    ) -> None:
        """Add one served request to the log."""
        seq = next(self._requests)
        self.log.append(LogEntry(seq, self.now(), method, path, fields, status, request_id, fault))

    def app(self, name: str) -> App:
        """An app by name. Raises ApiError 404."""
        app = self.apps.get(name)
        if app is None:
            raise ApiError(404, "app not found")
        return app

    def machine(self, app: App, machine_id: str) -> Machine:
        """A machine of an app. Raises ApiError 404."""
        machine = app.machines.get(machine_id)
        if machine is None:
            raise ApiError(404, "machine not found")
        return machine

    def any_machine(self, machine_id: str) -> Machine:
        """A machine of any app. Raises ApiError 404."""
        for app in self.apps.values():
            if machine_id in app.machines:
                return app.machines[machine_id]
        raise ApiError(404, "machine not found")

    def organization(self, slug: str) -> Organization:
        """An organization by slug; `personal` is the first one. Raises ApiError 404."""
        org = self.organizations.get(slug)
        if org is None and slug == "personal" and self.organizations:
            org = next(iter(self.organizations.values()))
        if org is None:
            raise ApiError(404, "organization not found")
        return org
