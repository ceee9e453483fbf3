"""Spans of time as people write them: `45s`, `90m`, `1h30m`, `30d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PART: Final = re.compile(r"(\d{1,9})([wdhms])")
LONGEST: Final = timedelta(days=36_500)
"""No span in a manifest is longer than a hundred years."""


def parse_duration(text: str) -> timedelta:
    """Read a span: whole numbers with the units w, d, h, m, s, largest first, each at most once.

    Raises:
        ValueError: with one sentence that says what is wrong.
    """
    found = _PART.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f"{text!r} is not a span of time")
    order = [list(_UNITS).index(unit) for _, unit in found]
    if order != sorted(set(order)):
        raise ValueError(f"{text!r} names its units out of order or twice")
    span = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in found))
    if span > LONGEST:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return span


def format_duration(span: timedelta) -> str:
    """The shortest text that `parse_duration` reads back to the same whole seconds."""
    seconds = round(span.total_seconds())
    if seconds == 0:
        return "0s"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = []
    for unit, size in _UNITS.items():
        if unit == "w" and seconds % size:
            continue
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts)


def rough_duration(span: timedelta) -> str:
    """For people: the two largest units that matter, `39d`, `2h5m`, `41s`."""
    seconds = abs(span.total_seconds())
    if seconds >= 2 * 86_400:
        return f"{int(seconds // 86_400)}d"
    if seconds >= 3_600:
        hours, rest = divmod(int(seconds), 3_600)
        return f"{hours}h{rest // 60}m" if rest >= 60 else f"{hours}h"
    if seconds >= 60:
        minutes, rest = divmod(int(seconds), 60)
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    return f"{int(seconds)}s"


def go_duration(span: timedelta) -> str:
    """As Go prints it, which is what Fly's `expiry` takes: `720h0m0s`."""
    seconds = int(span.total_seconds())
    hours, rest = divmod(seconds, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}h{minutes}m{seconds}s"
