"""The machine sizes of the simulated Fly, as GraphQL shows them."""

from __future__ import annotations

from typing import Final

from rotator.simulator.model import Json

_KINDS: Final = (("shared-cpu", (1, 2, 4, 8), 256, 2048), ("performance", (1, 2, 4), 2048, 8192))
"""Fly's documentation: least and most memory for each CPU, by kind."""


def size_views() -> list[Json]:
    """Every size."""
    return [
        {
            "name": f"{kind}-{count}x",
            "cpuCores": float(count),
            "memoryGb": least * count / 1024,
            "memoryMb": least * count,
            "maxMemoryMb": most * count,
            "memoryIncrementsMb": list(range(least * count, most * count + 1, least)),
            "priceMonth": 0.0,
            "priceSecond": 0.0,
        }
        for kind, counts, least, most in _KINDS
        for count in counts
    ]
