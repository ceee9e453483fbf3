"""The charts of the posture: findings that stood open, and those that came and went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from rotator.cli.evidence.charts import (
    LEFT,
    PLOT_HEIGHT,
    WIDTH,
    axis_lines,
    bar,
    bin_label,
    drawing,
    labels_below,
    round_step,
    stacked,
)
from rotator.cli.evidence.markup import Markup
from rotator.domain.posture.trend import Trend, TrendPoint
from rotator.domain.risk import Risk

_WORST_FIRST: Final = sorted(Risk, reverse=True)


def standing_findings(trend: Trend) -> Markup:
    """Columns of what was open at the end of each week, the worst at the bottom."""
    points = list(trend.points())
    unit = _unit(trend)
    last = next((p.standing for p in reversed(points) if p.standing is not None), None)
    return stacked(
        "standing",
        f"Open findings at the end of each {unit}",
        f"Open at the end: {_words(last)}.",
        _labels(points, trend),
        [[((p.standing or {}).get(risk, 0), risk.word) for risk in _WORST_FIRST] for p in points],
        titles=[f"{unit} of {p.day}: {_words(p.standing)}" for p in points],
    )


def findings_turned(trend: Trend) -> Markup:
    """Two columns for each week: what was opened, and what was resolved."""
    points = list(trend.points())
    opened = [sum(p.opened.values()) for p in points]
    resolved = [sum(p.resolved.values()) for p in points]
    most = max((*opened, *resolved), default=0)
    step = round_step(most)
    top = max(step, math.ceil(most / step) * step)
    pitch = (WIDTH - LEFT - 10) / max(len(points), 1)
    body = list(axis_lines(top, step))
    for number, point in enumerate(points):
        x, told = LEFT + number * pitch, f"{_unit(trend)} of {point.day}"
        pair = (
            (opened[number], "warn", f"{told}: opened {_words(point.opened)}"),
            (resolved[number], "good", f"{told}: resolved {_words(point.resolved)}"),
        )
        for side, (count, kind, title) in enumerate(pair):
            body.append(bar([(count, kind)], x + side * pitch / 2, pitch / 2, top, title))
    body += labels_below(_labels(points, trend), pitch)
    return drawing(
        "turned",
        PLOT_HEIGHT + 42,
        f"Findings opened and resolved a {_unit(trend)}",
        f"{sum(opened)} opened or reopened and {sum(resolved)} resolved in the period.",
        body,
    )


def _unit(trend: Trend) -> str:
    return "month" if trend.monthly else "week"


def _labels(points: Sequence[TrendPoint], trend: Trend) -> list[str]:
    return [bin_label(p.day, number, monthly=trend.monthly) for number, p in enumerate(points)]


def _words(counts: Mapping[Risk, int] | None) -> str:
    if counts is None:
        return "nobody had looked"
    told = [f"{counts[risk]} {risk.word}" for risk in _WORST_FIRST if counts.get(risk)]
    return ", ".join(told) or "none"
