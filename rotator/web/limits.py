"""Bounds of what strangers may take: bytes, time, connections, requests."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final


@dataclass(frozen=True)
class Bounds:
    """Of the receiver. A request is at most `head_bytes` and `body_bytes`, and is read whole
    within `read_seconds`, however slowly it comes."""

    head_bytes: int = 16 * 1024
    body_bytes: int = 256 * 1024
    read_seconds: float = 10.0
    answer_seconds: float = 20.0
    write_seconds: float = 5.0
    linger_seconds: float = 1.0
    linger_bytes: int = 64 * 1024
    connections: int = 64
    connections_a_source: int = 16


@dataclass(frozen=True)
class Rates:
    """Requests that were not proven by a signature, as a bucket that refills. Proven ones are given
    back: GitHub does not send again what was refused."""

    per_second: float
    burst: int


SOURCE_RATES: Final = Rates(2.0, 60)
ALL_RATES: Final = Rates(50.0, 300)
MOST_SOURCES: Final = 4096


class Buckets:
    """One bucket for each key; the keys that were silent longest are forgotten first."""

    def __init__(self, rates: Rates, most: int = MOST_SOURCES) -> None:
        self._rates, self._most = rates, most
        self._left: OrderedDict[str, tuple[float, datetime]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: str, now: datetime) -> bool:
        """Take one; False where the bucket is empty."""
        left = self._refilled(key, now)
        taken = left >= 1.0
        self._left[key] = (left - 1.0 if taken else left, now)
        self._left.move_to_end(key)
        while len(self._left) > self._most:
            self._left.popitem(last=False)
        return taken

    def give_back(self, key: str, now: datetime) -> None:
        """Undo a `take`."""
        if key in self._left:
            full = float(self._rates.burst)
            self._left[key] = (min(full, self._refilled(key, now) + 1.0), now)

    def _refilled(self, key: str, now: datetime) -> float:
        full = float(self._rates.burst)
        if key not in self._left:
            return full
        left, at = self._left[key]
        passed = max(0.0, (now - at).total_seconds())
        return min(full, left + passed * self._rates.per_second)


class Gate:
    """The rate limits of one receiver: for each source, and for all of them together."""

    def __init__(self, source: Rates = SOURCE_RATES, everybody: Rates = ALL_RATES) -> None:
        self._sources = Buckets(source)
        self._everybody = Buckets(everybody, 1)

    def admits(self, source: str, now: datetime) -> bool:
        """Whether one more unproven request may come in. A source that is refused costs the others
        nothing."""
        return self._sources.take(source, now) and self._everybody.take("", now)

    def proven(self, source: str, now: datetime) -> None:
        """A request that was admitted had a signature that holds."""
        self._sources.give_back(source, now)
        self._everybody.give_back("", now)


def source_of(address: str, forwarded: str | None) -> str:
    """Who sends, as far as limits go: an IPv4 address, or the /64 of an IPv6 one. `forwarded` is
    what a trusted proxy says; what is no address there is passed over."""
    for text in (forwarded or "", address):
        try:
            found = ipaddress.ip_address(text.strip())
        except ValueError:
            continue
        if isinstance(found, ipaddress.IPv6Address):
            mapped = found.ipv4_mapped
            if mapped is None:
                return str(ipaddress.ip_network((found, 64), strict=False))
            return str(mapped)
        return str(found)
    return "unknown"
