"""The report as one HTML file that needs nothing else: no network, no script to be read."""

from __future__ import annotations

import re
from importlib.resources import files

from rotator.cli.evidence.charts import MOST_BARS, age_bars, age_histogram, rotations_a_week
from rotator.cli.evidence.gather import Report
from rotator.cli.evidence.markup import Markup, el, joined
from rotator.cli.evidence.rows import ENDING_KINDS, section_table
from rotator.cli.evidence.tables import (
    ROW_HEAD,
    WIDE,
    Column,
    Write,
    write_table,
)
from rotator.cli.evidence.trend import findings_turned, standing_findings
from rotator.cli.evidence.words import (
    Card,
    cards,
    control_answer,
    lead,
    log_words,
    period_words,
)
from rotator.domain.ages import Standing
from rotator.domain.controls import CONTROLS, TITLES, Section, command
from rotator.domain.courses import Ending
from rotator.domain.risk import Risk


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
        elif section is Section.POSTURE:
            _trend_charts(report, write)
        section_table(report, section, write)
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


def _trend_charts(report: Report, write: Write) -> None:
    trend = report.trend
    if not trend.told:
        return
    unit = "month" if trend.monthly else "week"
    severities = sorted(Risk, reverse=True)
    legend = el(
        "ul", *(el("li", risk.word, class_=risk.word) for risk in severities), class_="legend"
    )
    _figure(write, standing_findings(trend), f"Findings that were open at the last look of each "
            f"{unit}, by severity.", legend)  # fmt: skip
    turns = el(
        "ul",
        el("li", "opened or reopened", class_="warn"),
        el("li", "resolved", class_="good"),
        class_="legend",
    )
    _figure(write, findings_turned(trend), f"Findings that came and went in each {unit}.", turns)


def _figure(write: Write, chart: Markup, caption: str, legend: Markup | None = None) -> None:
    write(el("figure", chart, legend, el("figcaption", caption)))


def _foot(report: Report) -> Markup:
    return el(
        "footer",
        el("p", f"Audit log {report.origin}. Numbers with # are events: `rotator audit show SEQ` "
           "shows one, `rotator audit prove SEQ` proves that it is in the log."),
        el("p", "Ages, rotations and their endings are read from the audit log; policies are those "
           "of the manifest when the report was made."),
    )  # fmt: skip
