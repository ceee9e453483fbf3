"""The report as one HTML file that needs nothing else: no network, no script to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from rotator.cli.evidence.charts import MOST_BARS, age_bars, age_histogram, rotations_a_week
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
from rotator.cli.evidence.words import (
    Card,
    cards,
    control_answer,
    lead,
    log_words,
    period_words,
)
from rotator.domain.ages import STANDINGS, AgeRow, Standing
from rotator.domain.controls import CONTROLS, TITLES, Section, command
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


def write_page(report: Report, write: Write) -> None:
    """Write the page, a row at a time."""
    write("<!DOCTYPE html>\n" + '<html lang="en">')
    write(_head(report))
    write("<body>\n")
    _top(report, write)
    _controls(report, write)
    _log(report, write)
    for section in Section:
        _open(write, section)
        if section is Section.INVENTORY:
            _age_charts(report, write)
        elif section is Section.ROTATIONS:
            _week_chart(report, write)
        _table(report, section, write)
        write(_query("the events behind it", command(section, report.period)))
        write("</section>\n")
    write(_foot(report))
    write(el("script", Markup(_asset("page.js"))))
    write("</body></html>\n")


def _asset(name: str) -> str:
    return files("rotator.cli.evidence").joinpath(name).read_text(encoding="utf-8")


def _head(report: Report) -> Markup:
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("title", f"Credential rotation report, {period_words(report.period)}"),
        el("style", Markup(_asset("page.css"))),
    )


def _top(report: Report, write: Write) -> None:
    of = ", ".join(report.organizations) or "no organisation"
    made = f"{report.generated_at:%Y-%m-%d %H:%M:%S}Z by rotator {report.version}"
    write(
        el(
            "header",
            el("h1", f"Credential rotation report: {of}"),
            el("p", f"{period_words(report.period)}. Made {made}.", class_="meta"),
            el("dl", *(_card(card) for card in cards(report)), class_="cards"),
        )
    )
    links = [
        ("controls", "Controls"),
        ("log", "Audit log"),
        *((s.value, TITLES[s]) for s in Section),
    ]
    items = (el("li", el("a", title, href=f"#{key}")) for key, title in links)
    write(el("nav", el("ul", *items), aria_label="Sections"))


def _card(card: Card) -> Markup:
    return el(
        "div",
        el("dt", card.title),
        el("dd", card.number),
        el("dd", card.note),
        class_=f"card {card.kind}",
    )


def _controls(report: Report, write: Write) -> None:
    write('<section id="controls">')
    write(el("h2", "Controls"))
    told = (
        "What these controls ask, in rotator's words, and what the evidence below shows. Whether "
        "that satisfies a control is the auditor's judgement."
    )
    write(el("p", told, class_="lead"))
    columns = [
        Column("control", ROW_HEAD),
        Column("asks", WIDE),
        Column("what the evidence shows", WIDE),
        Column("evidence and the query behind it", WIDE),
    ]
    rows = (
        (
            Markup(f"{el('span', c.framework)}<br>{el('span', c.number)}"),
            c.asks,
            control_answer(report, c),
            joined(*(_source(section, report) for section in c.sections)),
        )
        for c in CONTROLS
    )
    told = "Controls that ask for evidence of credential rotation"
    write_table(write, told, columns, rows, kind="controls")
    write("</section>\n")


def _source(section: Section, report: Report) -> Markup:
    return el(
        "div",
        el("a", TITLES[section], href=f"#{section.value}"),
        el("div", _command(command(section, report.period)), class_="query"),
    )


def _log(report: Report, write: Write) -> None:
    write('<section id="log">')
    write(el("h2", "Audit log"))
    for line in log_words(report):
        write(el("p", line[0].upper() + line[1:]))
    if report.log.checkpoint is not None:
        write(el("h3", "Newest signed checkpoint (C2SP tlog-checkpoint)"))
        write(el("pre", report.log.checkpoint.rstrip("\n")))
    write(_query("to verify it again", "rotator audit verify"))
    write(_query("the key that it is signed with", "rotator audit key"))
    write(_query("to prove that an event of this report is in it", "rotator audit prove SEQ"))
    write("</section>\n")


def _open(write: Write, section: Section) -> None:
    write(f'<section id="{section.value}">')
    write(el("h2", TITLES[section]))
    write(el("p", lead(section), class_="lead"))


def _command(text: str) -> Markup:
    """A command that breaks between its words and behind commas, nowhere else."""
    words = (
        Markup("<wbr>").join(el("span", part) for part in re.split(r"(?<=,)", word))
        for word in text.split(" ")
    )
    return el("code", Markup(" ".join(words)))


def _query(what: str, text: str) -> Markup:
    return el("p", f"{what}: ", _command(text), class_="query")


def _age_charts(report: Report, write: Write) -> None:
    known = [row for row in report.inventory if row.standing in (Standing.WITHIN, Standing.OVER)]
    if not known:
        return
    if len(known) > MOST_BARS:
        _figure(write, age_histogram(known), "Credentials by the share of their allowed age that "
                "the value in use had used up at the end of the period.")  # fmt: skip
    caption = "Age of the values in use against the age at which policy wants them replaced."
    if len(known) > MOST_BARS:
        caption = f"The credentials nearest to their limit. {caption}"
    _figure(write, age_bars(known), caption)


def _week_chart(report: Report, write: Write) -> None:
    if not report.tally.total:
        return
    unit = "month" if report.tally.monthly else "week"
    legend = el(
        "ul",
        *(el("li", e.value, class_=ENDING_KINDS[e]) for e in Ending if report.tally.endings[e]),
        class_="legend",
    )
    _figure(write, rotations_a_week(report.tally), f"Rotations by the {unit} in which they ended; "
            "those under way by the one in which they were asked for.", legend)  # fmt: skip


def _figure(write: Write, chart: Markup, caption: str, legend: Markup | None = None) -> None:
    write(el("figure", chart, legend, el("figcaption", caption)))


def _table(report: Report, section: Section, write: Write) -> None:
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


def _foot(report: Report) -> Markup:
    return el(
        "footer",
        el("p", f"Audit log {report.origin}. Numbers with # are events: `rotator audit show SEQ` "
           "shows one, `rotator audit prove SEQ` proves that it is in the log."),
        el("p", "Ages, rotations and their endings are read from the audit log; policies are those "
           "of the manifest when the report was made."),
    )  # fmt: skip
