"""The report for programs: JSON with all that the page says, CSV as one table of all sections."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from rotator.cli.auditing import csv_cell
from rotator.cli.evidence.gather import EventLine, Report
from rotator.cli.evidence.tables import Write
from rotator.cli.evidence.words import control_answer
from rotator.cli.text import plain
from rotator.domain.ages import AgeRow
from rotator.domain.controls import CONTROLS, Section, command
from rotator.domain.courses import Course
from rotator.domain.posture.trend import TrendPoint
from rotator.domain.risk import Risk

FORMAT: Final = "rotator-report/1"


def write_json(report: Report, write: Write) -> None:
    """Write one JSON document, a row a line. Spans of time are whole seconds."""
    write("{\n")
    for key, value in _facts(report).items():
        write(f"{_json(key)}: {_json(value)},\n")
    for section in Section:
        write(f"{_json(section.value)}: {{{_json('query')}: ")
        write(f"{_json(command(section, report.period))}, {_json('rows')}: [")
        separator = "\n"
        for row in _rows(report, section):
            write(separator + _json(row))
            separator = ",\n"
        write("\n]},\n" if section is not list(Section)[-1] else "\n]}\n")
    write("}\n")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _facts(report: Report) -> Mapping[str, object]:
    log = report.log
    return {
        "format": FORMAT,
        "from": plain(report.period.since),
        "to": plain(report.period.until),
        "generated_at": plain(report.generated_at),
        "rotator": report.version,
        "organizations": plain(report.organizations),
        "log": {
            "origin": report.origin,
            "verification": plain(replace(log.verification, marker=None)),
            "checkpoint": log.checkpoint,
            "signed_at": plain(log.signed_at),
        },
        "summary": {
            "credentials": len(report.inventory),
            "standings": {s.value: n for s, n in sorted(report.standings.items())},
            "rotations": report.tally.total,
            "endings": {e.value: n for e, n in sorted(report.tally.endings.items())},
            "emergencies": report.tally.emergencies,
            "slowest_revocation_seconds": _seconds(report.slowest_revocation()),
        },
        "posture_trend": {
            "unit": "month" if report.trend.monthly else "week",
            "points": [_point(point) for point in report.trend.points()],
        },
        "controls": [
            {
                "framework": control.framework,
                "number": control.number,
                "asks": control.asks,
                "shows": control_answer(report, control),
                "queries": [command(section, report.period) for section in control.sections],
            }
            for control in CONTROLS
        ],
    }


def _point(point: TrendPoint) -> Mapping[str, object]:
    """A week or month; `open` is null as long as nobody has looked."""
    return {
        "from": plain(point.day),
        "opened": _severities(point.opened),
        "resolved": _severities(point.resolved),
        "open": None if point.standing is None else _severities(point.standing),
    }


def _severities(counts: Mapping[Risk, int]) -> Mapping[str, int]:
    return {risk.word: counts.get(risk, 0) for risk in sorted(Risk, reverse=True)}


def _rows(report: Report, section: Section) -> Iterator[Mapping[str, object]]:
    if section is Section.INVENTORY:
        yield from map(_age, report.inventory)
    elif section is Section.ROTATIONS:
        yield from map(_course, report.courses)
    elif section is Section.EMERGENCIES:
        yield from map(_course, report.emergencies())
    elif section is Section.FAILURES:
        yield from map(_course, report.troubled())
    else:
        yield from (_plain(line) for line in report.events[section])


def _seconds(length: timedelta | None) -> int | None:
    return round(length.total_seconds()) if length is not None else None


def _plain(row: EventLine | Course | AgeRow) -> dict[str, object]:
    found = plain(row)
    assert isinstance(found, dict)
    return found


def _age(row: AgeRow) -> Mapping[str, object]:
    told = _plain(row)
    del told["age"], told["limit"]
    spans = {"age_seconds": _seconds(row.age), "limit_seconds": _seconds(row.limit)}
    return {**told, **spans, "due_at": plain(row.due_at)}


def _course(course: Course) -> Mapping[str, object]:
    return {
        **_plain(course),
        "took_seconds": _seconds(course.took),
        "in_use_after_seconds": _seconds(course.in_use_after),
        "revoked_after_seconds": _seconds(course.revoked_after),
        "how_it_ended": course.how_it_ended,
    }


COLUMNS: Final = (
    "section",
    "credential",
    "kind",
    "app",
    "at",
    "until",
    "seconds",
    "limit_seconds",
    "what",
    "outcome",
    "by",
    "reason",
    "detail",
    "first_event",
    "last_event",
)


def write_csv(report: Report, write: Write) -> None:
    """Write all sections as one table; what a section has no word for is empty."""
    table = csv.DictWriter(_Target(write), COLUMNS, lineterminator="\n", restval="")
    table.writeheader()
    for section in Section:
        for row in _flat(report, section):
            cells = {key: csv_cell(value) for key, value in row.items() if value is not None}
            table.writerow({"section": section.value, **cells})


class _Target:
    """What the csv module writes to."""

    def __init__(self, write: Write) -> None:
        self.write = write


def _flat(report: Report, section: Section) -> Iterable[Mapping[str, object]]:
    if section is Section.INVENTORY:
        return map(_flat_age, report.inventory)
    if section is Section.ROTATIONS:
        return (_flat_course(c, c.took) for c in report.courses)
    if section is Section.POSTURE:
        return (*_flat_trend(report), *map(_flat_event, report.events[section]))
    if section is Section.EMERGENCIES:
        return (_flat_course(c, c.revoked_after) for c in report.emergencies())
    if section is Section.FAILURES:
        return (_flat_course(c, c.took) for c in report.troubled())
    return map(_flat_event, report.events[section])


def _flat_age(row: AgeRow) -> Mapping[str, object]:
    return {
        "credential": row.credential,
        "kind": row.kind,
        "app": " ".join(row.apps),
        "at": _time(row.born),
        "until": _time(row.due_at),
        "seconds": _seconds(row.age),
        "limit_seconds": _seconds(row.limit),
        "what": row.policy,
        "outcome": row.standing.value,
        "by": row.owner,
        "first_event": row.evidence,
        "last_event": row.evidence,
    }


def _flat_course(course: Course, length: timedelta | None) -> Mapping[str, object]:
    troubles = "; ".join(f"{t.what}: {t.cause}" if t.cause else t.what for t in course.troubles)
    return {
        "credential": course.credential,
        "kind": course.kind,
        "app": course.app,
        "at": _time(course.asked_at),
        "until": _time(course.ended_at),
        "seconds": _seconds(length),
        "what": course.mode,
        "outcome": course.ending.value,
        "by": course.actor,
        "reason": course.reason,
        "detail": "; ".join(part for part in (troubles, *course.people) if part),
        "first_event": course.first,
        "last_event": course.last,
    }


def _flat_trend(report: Report) -> Iterator[Mapping[str, object]]:
    """Three rows for each week or month: what came, what went, what was open at its end."""
    for point in report.trend.points():
        told = {"opened": point.opened, "resolved": point.resolved, "open": point.standing}
        for outcome, counts in told.items():
            if counts is not None:
                yield {
                    "at": plain(point.day),
                    "what": "trend",
                    "outcome": outcome,
                    "detail": "; ".join(f"{n} {word}" for word, n in _severities(counts).items()),
                }


def _flat_event(line: EventLine) -> Mapping[str, object]:
    return {
        "at": _time(line.at),
        "what": line.action,
        "outcome": line.outcome,
        "by": line.by,
        "reason": line.reason,
        "detail": "; ".join(part for part in (line.about, line.detail) if part),
        "first_event": line.sequence,
        "last_event": line.sequence,
    }


def _time(at: datetime | None) -> object:
    return plain(at)
