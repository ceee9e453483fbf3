"""Requests that were refused, as events: one for each hook and outcome in a while, with a count,
so that nobody can fill the log from outside."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.events import Action, Event, Outcome
from rotator.domain.hook import RequestOutcome
from rotator.engine.parts import Parts

INTERVAL: Final = timedelta(minutes=10)
TOLD: Final = {
    RequestOutcome.WRONG_SIGNATURE: "no secret of the hook made the signature",
    RequestOutcome.STALE: "the time of the signature is too old or in the future",
    RequestOutcome.CONFLICT: "the id of an earlier request came with another body",
}
"""What becomes an event. The rest is counted only: anybody can send it."""


class Rejections:
    """Counts of one process since the last event. The first is told at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._counts: dict[tuple[str, RequestOutcome], int] = {}
        self._told_at: dict[tuple[str, RequestOutcome], datetime] = {}

    async def count(self, hook: str, outcome: RequestOutcome) -> None:
        """Note one, and tell if it is time."""
        if outcome not in TOLD:
            return
        key = (hook, outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        await self._tell([key] if self._is_time(key) else [])

    async def flush(self, *, ending: bool = False) -> None:
        """Tell what has gathered for long enough; all of it where the process is `ending`."""
        await self._tell([key for key in self._counts if ending or self._is_time(key)])

    def _is_time(self, key: tuple[str, RequestOutcome]) -> bool:
        last = self._told_at.get(key)
        return last is None or self._parts.clock.now() >= last + INTERVAL

    async def _tell(self, keys: Sequence[tuple[str, RequestOutcome]]) -> None:
        counted = {key: self._counts.pop(key) for key in keys}
        if not counted:
            return
        now = self._parts.clock.now()
        self._told_at |= dict.fromkeys(counted, now)
        events = [self._event(key, count, now) for key, count in counted.items()]
        async with self._parts.store.unit() as unit:
            await unit.append(*events)

    def _event(self, key: tuple[str, RequestOutcome], count: int, now: datetime) -> Event:
        hook, outcome = key
        detail = {"hook": hook, "error": TOLD[outcome], "requests": str(count)}
        return Event(Action.HOOK_REJECTED, Outcome.FAILED, self._parts.actor, now, detail=detail)
