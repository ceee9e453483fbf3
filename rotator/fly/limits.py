"""Fly's published rate limits, kept on our side so that a 429 is the exception.

Fly: one request a second for each action and machine (or app), short bursts of three; reading
one machine five a second, bursts of ten. Different machines don't share a bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rotator.domain.ports import Clock


@dataclass(frozen=True)
class Rate:
    """Requests a second, and how many at once."""

    per_second: float
    burst: int


NORMAL: Final = Rate(1.0, 3)
READ_MACHINE: Final = Rate(5.0, 10)

APP_ACTIONS: Final = "app"
"""Actions on an app as a whole (look, list, set secrets) share its one bucket."""

_IDLE_SECONDS: Final = 60.0
_SWEEP_EVERY: Final = 1024


@dataclass
class _Bucket:
    """`free_at`: the instant at which the bucket is full again (the GCRA's arrival time)."""

    free_at: float


class RateLimiter:
    """Delays calls so that each (action, machine or app) stays within its rate.

    Generic cell rate algorithm: a reservation is made at once and then slept for, so callers
    are served in order and nothing has to be given back when one is cancelled.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    async def pass_through(self, action: str, of: str, rate: Rate = NORMAL) -> None:
        """Wait until this call is within the rate."""
        delay = self._reserve((action, of), rate)
        if delay > 0:
            await self._clock.sleep(delay)

    def _reserve(self, key: tuple[str, str], rate: Rate) -> float:
        now = self._clock.now().timestamp()
        interval = 1.0 / rate.per_second
        bucket = self._buckets.get(key)
        if bucket is None or bucket.free_at - now > _IDLE_SECONDS * rate.burst:
            # New, or the clock jumped back: an old reservation must not block for hours.
            self._sweep(now)
            bucket = self._buckets[key] = _Bucket(now)
        free_at = max(bucket.free_at, now)
        delay = free_at - now - interval * (rate.burst - 1)
        bucket.free_at = free_at + interval
        return max(0.0, delay)

    def _sweep(self, now: float) -> None:
        if len(self._buckets) < _SWEEP_EVERY:
            return
        for key in [key for key, bucket in self._buckets.items() if bucket.free_at < now]:
            del self._buckets[key]
