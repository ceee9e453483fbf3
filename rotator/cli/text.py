"""Times, durations and JSON as people and scripts read them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from rotator.domain.durations import format_duration, rough_duration
from rotator.domain.machines import RawConfig
from rotator.domain.secret import Secret

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

WIDTH_WHEN_PIPED = 160
LONGEST_REASON = 500


def console(*, err: bool = False) -> Console:
    """Where tables go; wide enough not to cut them when nobody watches."""
    from rotator.cli.guarded_console import GuardedConsole

    stream = sys.stderr if err else sys.stdout
    return GuardedConsole(
        file=stream,
        highlight=False,
        soft_wrap=False,
        width=None if stream.isatty() else _piped_width(),
    )


def _piped_width() -> int:
    """What COLUMNS says, else wide enough for every table."""
    given = os.environ.get("COLUMNS", "")
    fits = given.isascii() and given.isdigit() and len(given) <= 5
    return max(int(given), 20) if fits else WIDTH_WHEN_PIPED


@dataclass(frozen=True)
class Canvas:
    """How much can be drawn where output goes, and with which characters."""

    width: int
    height: int
    ascii_only: bool


def canvas_of(target: Console) -> Canvas:
    """What this console has."""
    size = target.size
    return Canvas(size.width, size.height, target.options.ascii_only)


def show_lines(lines: Iterable[Text]) -> None:
    """Print lines that are drawn to fit, in colour on a terminal."""
    target = console()
    for line in lines:
        target.print(line, end="\n", no_wrap=True, overflow="ignore", crop=False)


def show(*parts: RenderableType) -> None:
    """Print tables and texts to standard output."""
    console().print(*parts, sep="\n")


def say(line: str = "") -> None:
    """Print one plain line."""
    print(line, flush=True)  # noqa: T201


def moment(at: datetime | None) -> str:
    """An instant, to the second, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def one_line(text: str) -> str:
    """What a person typed, fit for the log: one line, bounded, and text in every encoding."""
    clean = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    return clean[:LONGEST_REASON]


def clock_time(at: datetime) -> str:
    """The time of day."""
    return f"{at:%H:%M:%S}"


def from_now(at: datetime | None, now: datetime) -> str:
    """`in 3d`, `2h ago`, or `now`."""
    if at is None:
        return "never"
    if abs(at - now) < timedelta(seconds=1):
        return "now"
    return f"in {rough_duration(at - now)}" if at > now else f"{rough_duration(now - at)} ago"


def elapsed(span: timedelta) -> str:
    """Seconds with one decimal below a minute, else minutes and seconds, else hours or days."""
    seconds = max(0.0, span.total_seconds())
    if seconds < 60:
        return f"{seconds:.1f}s"
    if seconds >= 3600:
        return rough_duration(span)
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


def plain(value: object) -> object:
    """A domain object as JSON types. A `Secret` or a machine's config never gets through."""
    if isinstance(value, Secret | RawConfig):
        return "<secret>"
    if isinstance(value, Enum):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def print_json(value: object) -> None:
    """Print as indented JSON."""
    say(json.dumps(plain(value), indent=2, ensure_ascii=False))
