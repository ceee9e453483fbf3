"""The tables of the page: columns, cells with their sort keys, rows written one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from rotator.cli.evidence.markup import Child, Markup, el
from rotator.cli.text import moment
from rotator.domain.durations import rough_duration

Write: TypeAlias = Callable[[str], object]
ROW_HEAD = "h"
"""A column that names its row."""
NUMBER, TIME, WIDE = "n", "t", "w"


@dataclass(frozen=True)
class Column:
    """A column: its head, and how its cells are written."""

    head: str
    kind: str = ""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what it is sorted by where that is another thing."""

    shown: Child
    key: float | None = None


def when(at: datetime | None) -> Cell:
    """An instant to the minute; the second is in its title."""
    if at is None:
        return Cell("–")
    text = el("time", f"{at:%Y-%m-%d %H:%M}", datetime=f"{at:%Y-%m-%dT%H:%M:%SZ}", title=moment(at))
    return Cell(text, at.timestamp())


def span(length: timedelta | None) -> Cell:
    """A stretch of time."""
    if length is None:
        return Cell("–")
    return Cell(rough_duration(length), length.total_seconds())


def mark(text: str, kind: str) -> Cell:
    """A state: a sign and a colour beside the word."""
    signs = {"good": "✓", "warn": "△", "bad": "✕", "idle": "○"}
    return Cell(el("span", f"{signs[kind]} {text}", class_=f"mark {kind}"))


def event(sequence: int | None) -> Cell:
    """The number of an event, which `rotator audit show` and `prove` take."""
    return Cell("–" if sequence is None else f"#{sequence}", sequence)


def write_table(
    write: Write,
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell | Child]],
    *,
    kind: str = "sortable",
) -> None:
    """Write a table row by row, or that there is nothing to tell."""
    count = 0
    for row in rows:
        if not count:
            write(f'<div class="scroll" tabindex="0"><table class="{kind}">')
            write(el("caption", caption))
            heads = [el("th", c.head, scope="col", class_=_head_class(c)) for c in columns]
            write(el("thead", el("tr", *heads)) + "<tbody>\n")
        write(el("tr", *(_cell(c, cell) for c, cell in zip(columns, row, strict=True))) + "\n")
        count += 1
    write("</tbody></table></div>\n" if count else el("p", "None in this period.", class_="none"))


def _head_class(column: Column) -> str | None:
    return column.kind if column.kind in (NUMBER, TIME) else None


def _cell(column: Column, cell: Cell | Child) -> Markup:
    given = cell if isinstance(cell, Cell) else Cell(cell)
    if column.kind == ROW_HEAD:
        return el("th", given.shown, scope="row")
    key = None if given.key is None else f"{given.key:.0f}"
    if key is None and column.kind in (NUMBER, TIME):
        key = ""
    return el("td", given.shown, class_=column.kind or None, data_sort=key)
