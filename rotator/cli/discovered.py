"""What `rotator discover` found, as lines and as data."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.text import console, from_now, say, show_lines
from rotator.domain.discovery import Assessed
from rotator.domain.durations import rough_duration
from rotator.domain.risk import Risk
from rotator.engine.discover import Discovery
from rotator.manifest.append import Entry

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_STYLES: Final = {
    Risk.CRITICAL: "bold red",
    Risk.HIGH: "bold red",
    Risk.MEDIUM: "yellow",
    Risk.LOW: "",
    Risk.NOTE: "dim",
}
_NAME_MIN, _NAME_MAX = 20, 48
_BESIDE: Final = 46
"""Columns that the others take: risk, age, end, and what tracks it."""


def show_assessed(discovery: Discovery, fitting: Sequence[Assessed], now: datetime) -> None:
    """A line for each thing, with its reasons below, and a summary."""
    width = console().width
    if fitting:
        longest = max(len(each.found.key) for each in fitting)
        name_width = max(_NAME_MIN, min(longest, _NAME_MAX, width - _BESIDE))
        show_lines(_lines(fitting, now, width, name_width))
        say()
    say(_summary(discovery, fitting))


def _lines(
    fitting: Sequence[Assessed], now: datetime, width: int, name_width: int
) -> Iterator[Text]:
    from rich.text import Text

    head = f"{'risk':<9} {'what':<{name_width}}  {'age':>8} {'ends':>9}  tracked by"
    yield Text(head, "bold")
    for each in fitting:
        found = each.found
        ends = from_now(found.expires_at, now).removeprefix("in ") if found.expires_at else "-"
        age = rough_duration(now - found.at) if found.at else "unknown"
        name, *more = textwrap.wrap(found.key, name_width, break_on_hyphens=False) or [""]
        line = Text(f"{each.risk.word:<9} ", _STYLES[each.risk])
        line.append(f"{name:<{name_width}}  {age:>8} {ends:>9}  {each.tracked or '-'}", "default")
        yield line
        for rest in more:
            yield Text(f"{'':<9} {rest}")
        told = [f"by {found.creator}"] if found.creator else []
        told += [reason.text for reason in each.reasons]
        if told:
            body = textwrap.wrap("; ".join(told), max(20, width - 10))
            yield from (Text(f"{'':<10}{part}", "dim") for part in body)


def _summary(discovery: Discovery, fitting: Sequence[Assessed]) -> str:
    things = Counter(each.found.thing.value for each in fitting)
    counted = ", ".join(f"{number} {_plural(thing, number)}" for thing, number in things.items())
    tracked = sum(each.tracked is not None for each in fitting)
    calls = "1 API call" if discovery.calls == 1 else f"{discovery.calls} API calls"
    where = ", ".join(discovery.organizations)
    return f"{where}: {counted or 'nothing'}, {tracked} tracked; {calls}"


def _plural(thing: str, number: int) -> str:
    return thing if number == 1 else f"{thing}s"


def picking_table(candidates: Sequence[Assessed]) -> Table:
    """The numbered list that a person picks from."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("what", overflow="fold")
    table.add_column("risk", no_wrap=True)
    table.add_column("why", overflow="fold")
    for number, each in enumerate(candidates, start=1):
        why = each.reasons[0].text if each.reasons else ""
        table.add_row(str(number), each.found.key, each.risk.word, why)
    return table


def as_data(
    discovery: Discovery, fitting: Sequence[Assessed], added: Sequence[Entry], now: datetime
) -> object:
    """For scripts. A digest is a fingerprint of a value, so it is left out."""
    return {
        "at": now,
        "organizations": discovery.organizations,
        "api_calls": discovery.calls,
        "not_read": discovery.missing,
        "found": [_found_data(each, now) for each in fitting],
        "added": [{"name": entry.name, "kind": entry.kind} for entry in added],
    }


def _found_data(each: Assessed, now: datetime) -> object:
    found = each.found
    return {
        "what": found.key,
        "thing": found.thing,
        "name": found.name,
        "organization": found.organization,
        "app": found.app,
        "id": found.ref or None,
        "profile": found.profile or None,
        "made_or_set_at": found.at,
        "age_seconds": int((now - found.at).total_seconds()) if found.at else None,
        "expires_at": found.expires_at,
        "creator": found.creator or None,
        "state": found.state or None,
        "tracked_by": each.tracked,
        "risk": each.risk.word,
        "reasons": [
            {"risk": reason.risk.word, "code": reason.code, "text": reason.text}
            for reason in each.reasons
        ],
    }
