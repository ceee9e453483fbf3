"""The regions and machine sizes that Fly has, as far as is known: to hint, never to refuse.

A list is never complete for long: a name of the right form that is not in it gets a hint with what
is near, and Fly has the last word.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.domain.names import wrong_region, wrong_size


@dataclass(frozen=True)
class Region:
    """A place where machines run. `gateway` is whether it takes WireGuard peers, where known."""

    code: str
    name: str
    gateway: bool | None = None
    deprecated: bool = False
    paid: bool = False


@dataclass(frozen=True)
class Size:
    """A preset of CPUs and memory. More memory comes in these steps, up to a limit."""

    name: str
    cpus: float
    memory_mb: int
    max_memory_mb: int
    steps_mb: tuple[int, ...] = ()


@dataclass(frozen=True)
class Platform:
    """What Fly has, and as of when. `shipped` is the list that came with rotator."""

    regions: tuple[Region, ...]
    sizes: tuple[Size, ...]
    as_of: datetime
    shipped: bool = False

    def region(self, code: str) -> Region | None:
        """A region by its code."""
        return next((each for each in self.regions if each.code == code), None)

    def size(self, name: str) -> Size | None:
        """A size by its name."""
        return next((each for each in self.sizes if each.name == name), None)

    def doubt_region(self, code: str, *, gateway: bool = False) -> str | None:
        """Why a region may be none, or not fit; None where all is well."""
        wrong = wrong_region(code)
        if wrong is not None:
            return wrong
        found = self.region(code)
        if found is None:
            near = near_matches(code, {each.code: each.name for each in self.regions})
            return f"{code!r} is not among the {self._listed(len(self.regions), 'regions')}{near}"
        if found.deprecated:
            return f"Fly is giving up the region {code} ({found.name})"
        if gateway and found.gateway is False:
            others = [each.code for each in self.regions if each.gateway and not each.deprecated]
            return f"{code} has no WireGuard gateway; these have: {', '.join(others)}"
        return None

    def doubt_size(self, name: str) -> str | None:
        """Why a machine size may be none; None where all is well."""
        wrong = wrong_size(name)
        if wrong is not None or self.size(name) is not None:
            return wrong
        near = near_matches(name, {each.name: "" for each in self.sizes})
        return f"{name!r} is not among the {self._listed(len(self.sizes), 'machine sizes')}{near}"

    def doubt_memory(self, size: str, memory_mb: int) -> str | None:
        """Why a machine of this size may not be had with so much memory."""
        found = self.size(size)
        if found is None or found.memory_mb == memory_mb or memory_mb in found.steps_mb:
            return None
        if not found.memory_mb <= memory_mb <= found.max_memory_mb:
            return (
                f"{size} has from {found.memory_mb} to {found.max_memory_mb} MB of memory, "
                f"not {memory_mb}"
            )
        if not found.steps_mb:
            return None
        nearest = min((found.memory_mb, *found.steps_mb), key=lambda each: abs(each - memory_mb))
        return f"{size} does not come with {memory_mb} MB of memory; the nearest is {nearest}"

    def _listed(self, count: int, what: str) -> str:
        whose = "that came with rotator" if self.shipped else "that Fly lists"
        return f"{count} {what} {whose} ({self.as_of:%Y-%m-%d})"


def near_matches(wanted: str, known: Mapping[str, str]) -> str:
    """`; did you mean …?` with what is near by its letters, or by the name of its place."""
    close = difflib.get_close_matches(wanted, list(known), n=3, cutoff=0.6)
    by_place = [code for code, place in known.items() if place.lower().startswith(wanted)]
    found = list(dict.fromkeys([*close, *by_place]))[:3]
    if not found:
        return ""
    return f"; did you mean {_or(f'{c} ({known[c]})' if known[c] else c for c in found)}?"


def _or(items: Iterable[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} or {last}" if first else last
