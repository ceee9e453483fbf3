"""Fly's rate limits as token buckets.

Source: Fly's page "Working with the Machines API": one request a second for each action and
machine or app, bursts of three; reading one machine five a second, bursts of ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True)
class Rate:
    """Requests a second, and how many at once."""

    per_second: float
    burst: int


NORMAL: Final = Rate(1.0, 3)
GET_MACHINE: Final = Rate(5.0, 10)


@dataclass
class _Bucket:
    tokens: float
    at: datetime


class Limits:
    """One bucket for each key; faster when the world is."""

    def __init__(self, speed: float) -> None:
        self.enabled = True
        self._speed = speed
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, action: str, of: str, rate: Rate, now: datetime) -> float:
        """Take one token; 0 when there was one, else the seconds until there is."""
        if not self.enabled:
            return 0.0
        per_second = rate.per_second * self._speed
        bucket = self._buckets.setdefault((action, of), _Bucket(float(rate.burst), now))
        passed = max(0.0, (now - bucket.at).total_seconds())
        bucket.tokens = min(float(rate.burst), bucket.tokens + passed * per_second)
        bucket.at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / per_second
        bucket.tokens -= 1.0
        return 0.0
