"""The tables of the report's page: their columns, and a row for each thing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rotator.cli.evidence.gather import EventLine, Report
from rotator.cli.evidence.markup import Child, Markup, el, joined
from rotator.cli.evidence.tables import (
    NUMBER,
    ROW_HEAD,
    TIME,
    WIDE,
    Cell,
    Column,
    Write,
    event,
    mark,
    span,
    when,
    write_table,
)
from rotator.domain.ages import STANDINGS, AgeRow, Standing
from rotator.domain.controls import TITLES, Section
from rotator.domain.courses import Course, Ending

STANDING_KINDS: Final = {
    Standing.WITHIN: "good",
    Standing.OVER: "bad",
    Standing.UNKNOWN: "warn",
    Standing.NO_VALUE: "idle",
    Standing.GONE: "bad",
    Standing.BY_HAND: "warn",
    Standing.UNMANAGED: "idle",
}
ENDING_KINDS: Final = {
    Ending.SUCCEEDED: "good",
    Ending.ROLLED_BACK: "warn",
    Ending.PARKED: "bad",
    Ending.UNDER_WAY: "idle",
}
_OUTCOME_KINDS: Final = {"ok": "good", "failed": "bad", "unknown": "warn"}


def section_table(report: Report, section: Section, write: Write) -> None:
    """Write the table of a section, a row at a time."""
    if section is Section.INVENTORY:
        write_table(write, "Credentials at the end of the period", AGE_COLUMNS, _age_rows(report))
        write(_standings(report))
    elif section is Section.ROTATIONS:
        told = "Rotations of the period, the newest wish first"
        write_table(write, told, COURSE_COLUMNS, map(_course_row, report.courses))
    elif section is Section.EMERGENCIES:
        rows = map(_emergency_row, report.emergencies())
        write_table(write, "Emergency rotations", EMERGENCY_COLUMNS, rows)
    elif section is Section.FAILURES:
        rows = map(_failure_row, report.troubled())
        write_table(write, "Rotations in which something failed", FAILURE_COLUMNS, rows)
    else:
        write_table(write, TITLES[section], EVENT_COLUMNS, map(_event_row, report.events[section]))


AGE_COLUMNS: Final = (
    Column("credential", ROW_HEAD),
    Column("kind"),
    Column("apps", ""),
    Column("owner"),
    Column("policy"),
    Column("in use since", TIME),
    Column("age", NUMBER),
    Column("due at age", NUMBER),
    Column("used up", NUMBER),
    Column("standing"),
    Column("event", NUMBER),
)


def _age_rows(report: Report) -> Iterator[Sequence[Cell | Child]]:
    for row in report.inventory:
        yield (
            row.credential,
            row.kind,
            ", ".join(row.apps) or "–",
            row.owner or "–",
            row.policy,
            when(row.born),
            span(row.age),
            span(row.limit),
            _percent(row),
            mark(row.standing.value, STANDING_KINDS[row.standing]),
            event(row.evidence),
        )


def _standings(report: Report) -> Markup:
    """What the words of the column mean, as far as they stand in it."""
    found = [standing for standing in Standing if report.standings[standing]]
    return el("p", "; ".join(f"{each}: {STANDINGS[each]}" for each in found), class_="query")


def _percent(row: AgeRow) -> Cell:
    if row.used is None:
        return Cell("–")
    return Cell(f"{row.used:.0%}", row.used * 10_000)


COURSE_COLUMNS: Final = (
    Column("credential", ROW_HEAD),
    Column("asked", TIME),
    Column("by"),
    Column("why", WIDE),
    Column("mode"),
    Column("outcome"),
    Column("in use after", NUMBER),
    Column("ended", TIME),
    Column("took", NUMBER),
    Column("events", NUMBER),
)


def _course_row(course: Course) -> Sequence[Cell | Child]:
    return (
        _named(course),
        when(course.asked_at),
        course.actor,
        course.reason,
        course.mode,
        mark(course.ending.value, ENDING_KINDS[course.ending]),
        span(course.in_use_after),
        when(course.ended_at),
        span(course.took),
        Cell(f"#{course.first}–{course.last}", course.first),
    )


def _named(course: Course) -> Markup:
    return el("span", course.credential, title=f"rotation {course.rotation}")


EMERGENCY_COLUMNS: Final = (
    Column("credential", ROW_HEAD),
    Column("asked", TIME),
    Column("by"),
    Column("why", WIDE),
    Column("mode"),
    Column("in use after", NUMBER),
    Column("old one refused after", NUMBER),
    Column("outcome"),
    Column("events", NUMBER),
)


def _emergency_row(course: Course) -> Sequence[Cell | Child]:
    return (
        _named(course),
        when(course.asked_at),
        course.actor,
        course.reason,
        course.mode,
        span(course.in_use_after),
        span(course.revoked_after),
        mark(course.ending.value, ENDING_KINDS[course.ending]),
        Cell(f"#{course.first}–{course.last}", course.first),
    )


FAILURE_COLUMNS: Final = (
    Column("credential", ROW_HEAD),
    Column("asked", TIME),
    Column("what went wrong", WIDE),
    Column("how it ended", WIDE),
    Column("outcome"),
    Column("ended", TIME),
    Column("events", NUMBER),
)


def _failure_row(course: Course) -> Sequence[Cell | Child]:
    troubles = (
        el(
            "div",
            f"{t.at:%Y-%m-%d %H:%M} {t.what}{': ' if t.cause else ''}{t.cause} (#{t.sequence})",
        )
        for t in course.troubles
    )
    return (
        _named(course),
        when(course.asked_at),
        joined(*troubles),
        course.how_it_ended,
        mark(course.ending.value, ENDING_KINDS[course.ending]),
        when(course.ended_at),
        Cell(f"#{course.first}–{course.last}", course.first),
    )


EVENT_COLUMNS: Final = (
    Column("event", NUMBER),
    Column("at", TIME),
    Column("what"),
    Column("about", WIDE),
    Column("by"),
    Column("reason", WIDE),
    Column("detail", WIDE),
)


def _event_row(line: EventLine) -> Sequence[Cell | Child]:
    kind = _OUTCOME_KINDS.get(line.outcome)
    return (
        event(line.sequence),
        when(line.at),
        line.action if kind is None else mark(line.action, kind),
        line.about,
        line.by,
        line.reason,
        line.detail,
    )
