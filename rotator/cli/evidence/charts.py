"""The charts of a report as inline SVG: ages against policy, and rotations a week."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from rotator.cli.evidence.markup import Markup, el, joined
from rotator.domain.ages import AgeRow, Standing
from rotator.domain.courses import Ending, Tally
from rotator.domain.durations import rough_duration

WIDTH: Final = 760
ROW: Final = 22
LABEL: Final = 210
TAIL: Final = 130
MOST_BARS: Final = 24
TOP_BARS: Final = 15
"""Of more credentials than have room, those that come nearest to their limit."""
PLOT_HEIGHT: Final = 180
LEFT: Final = 40
MOST_USED: Final = 1.5
"""A bar ends here: what is over its limit half as long again is just over it."""
SHARES: Final = 10
LONGEST_LABEL: Final = 28
_CLASSES: Final = {
    Ending.SUCCEEDED: "good",
    Ending.ROLLED_BACK: "warn",
    Ending.PARKED: "bad",
    Ending.UNDER_WAY: "idle",
}


def age_bars(rows: Sequence[AgeRow]) -> Markup:
    """A bar for each credential: how much of its allowed age the value in use has used up."""
    known = sorted(
        (row for row in rows if row.used is not None),
        key=lambda row: (-(row.used or 0), row.credential),
    )
    shown = known if len(known) <= MOST_BARS else known[:TOP_BARS]
    height = ROW * len(shown) + 34
    room = WIDTH - LABEL - TAIL
    limit = LABEL + room / MOST_USED
    body = [
        el("line", x1=limit, x2=limit, y1=18, y2=height - 12, class_="limit"),
        el("text", "limit", x=limit, y=12, text_anchor="middle", class_="small"),
    ]
    for number, row in enumerate(shown):
        body.append(_age_bar(row, 24 + number * ROW, room))
    told = f"{len(shown)} of {len(known)}" if len(shown) < len(known) else str(len(shown))
    over = sum(row.standing is Standing.OVER for row in known)
    return drawing(
        "ages",
        height,
        "Ages against policy",
        f"Bars of {told} credentials: the share of the allowed age that the value in use has used "
        f"up. {over} are over their limit.",
        body,
    )


def _age_bar(row: AgeRow, y: float, room: float) -> Markup:
    used = row.used or 0.0
    width = max(2.0, min(used, MOST_USED) / MOST_USED * room)
    kind = "bad" if row.standing is Standing.OVER else "warn" if used > 0.9 else "good"
    age = rough_duration(row.age) if row.age is not None else "?"
    limit = rough_duration(row.limit) if row.limit is not None else "?"
    name = row.credential
    short = name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
    return el(
        "g",
        el("title", f"{name}: {age} of {limit}, {row.standing}"),
        el("text", short, x=LABEL - 8, y=y + 12, text_anchor="end"),
        el("rect", x=LABEL, y=y + 2, width=width, height=ROW - 8, rx=2, class_=kind),
        el("text", f"{age} of {limit}", x=LABEL + room + 8, y=y + 12, class_="small"),
    )


def age_histogram(rows: Sequence[AgeRow]) -> Markup:
    """How many credentials have used up which share of their allowed age."""
    counts = Counter(_bin(row) for row in rows if row.used is not None)
    labels = [*(f"{n * 10}–{n * 10 + 10}%" for n in range(SHARES)), "over"]
    heights = [[(counts[n], _share_class(n))] for n in range(SHARES + 1)]
    over = counts[SHARES]
    return stacked(
        "shares",
        "Share of the allowed age that is used up",
        f"Of {counts.total()} credentials with a limit, {over} are over it.",
        labels,
        heights,
        titles=[f"{label}: {counts[n]} credentials" for n, label in enumerate(labels)],
    )


def _bin(row: AgeRow) -> int:
    return SHARES if row.standing is Standing.OVER else min(int((row.used or 0) * 10), SHARES - 1)


def _share_class(number: int) -> str:
    return "bad" if number == SHARES else "warn" if number == SHARES - 1 else "good"


def rotations_a_week(tally: Tally) -> Markup:
    """Columns of rotations by how they ended."""
    bins = list(tally.bins.items())
    unit = "month" if tally.monthly else "week"
    return stacked(
        "weeks",
        f"Rotations a {unit}",
        f"{tally.total} rotations in {len(bins)} {unit}s: "
        + (", ".join(f"{tally.endings[e]} {e}" for e in Ending if tally.endings[e]) or "none"),
        [bin_label(day, number, monthly=tally.monthly) for number, (day, _) in enumerate(bins)],
        [[(count[ending], _CLASSES[ending]) for ending in Ending] for _, count in bins],
        titles=[
            f"{unit} of {day}: " + (", ".join(f"{n} {e}" for e, n in count.items() if n) or "none")
            for day, count in bins
        ],
    )


def bin_label(day: date, number: int, *, monthly: bool) -> str:
    """A month's name where it begins; weeks in between have none."""
    if monthly:
        return f"{day:%b %Y}" if day.month in (1, 7) or number == 0 else ""
    return f"{day:%d %b}" if number == 0 or day.day <= 7 else ""


def stacked(
    name: str,
    title: str,
    told: str,
    labels: Sequence[str],
    columns: Sequence[Sequence[tuple[int, str]]],
    *,
    titles: Sequence[str],
) -> Markup:
    """Columns of parts that add up, over an axis with round numbers."""
    most = max((sum(n for n, _ in column) for column in columns), default=0)
    step = round_step(most)
    top = max(step, math.ceil(most / step) * step)
    pitch = (WIDTH - LEFT - 10) / max(len(columns), 1)
    body: list[Markup] = list(axis_lines(top, step))
    for number, column in enumerate(columns):
        body.append(bar(column, LEFT + number * pitch, pitch, top, titles[number]))
    body += labels_below(labels, pitch)
    return drawing(name, PLOT_HEIGHT + 42, title, told, body)


def labels_below(labels: Sequence[str], pitch: float) -> Iterator[Markup]:
    """The labels of columns, as far as they have room."""
    for number, label in enumerate(labels):
        if label and (pitch > 34 or _has_room(labels, number, pitch)):
            at = LEFT + (number + 0.5) * pitch
            yield el("text", label, x=at, y=PLOT_HEIGHT + 30, text_anchor="middle", class_="small")


def _has_room(labels: Sequence[str], number: int, pitch: float) -> bool:
    """Whether the label before it is far enough away."""
    before = next((n for n in range(number - 1, -1, -1) if labels[n]), None)
    return before is None or (number - before) * pitch > 44


def round_step(most: int) -> int:
    """A round number of which four or five make the axis."""
    raw = max(1, math.ceil(most / 5))
    size = int(10 ** int(math.log10(raw)))
    return next(n * size for n in (1, 2, 5, 10) if n * size >= raw)


def axis_lines(top: int, step: int) -> Iterator[Markup]:
    """The lines of an axis, with their numbers."""
    for value in range(0, top + 1, step):
        y = 14 + PLOT_HEIGHT * (1 - value / top)
        kind = "axis" if value == 0 else "grid"
        yield el("line", x1=LEFT, x2=WIDTH - 10, y1=y, y2=y, class_=kind)
        yield el("text", value, x=LEFT - 6, y=y + 4, text_anchor="end", class_="small")


def bar(column: Sequence[tuple[int, str]], x: float, pitch: float, top: int, title: str) -> Markup:
    """One column of parts."""
    width = min(max(pitch * 0.72, 1.5), 40.0)
    left = x + (pitch - width) / 2
    reached, parts = 0, []
    for count, kind in column:
        if count:
            y = 14 + PLOT_HEIGHT * (1 - (reached + count) / top)
            tall = PLOT_HEIGHT * count / top
            parts.append(el("rect", x=left, y=y, width=width, height=tall, class_=kind))
            reached += count
    return el("g", el("title", title), *parts)


def drawing(name: str, height: float, title: str, told: str, body: Sequence[Markup]) -> Markup:
    """A chart, with what it shows in words for who can't see it."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", told, id=f"{name}-desc"),
        joined(*body),
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="chart",
    )
