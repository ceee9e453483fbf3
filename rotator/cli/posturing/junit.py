"""Findings as JUnit XML, in the dialect that CI systems read: suites, cases, failures.

A rule that finds nothing is a case that passes. What the exit code would fail for is a failure;
what is suppressed or known is skipped, what is less severe passes with its text, and a part that
could not be read is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final
from xml.etree import ElementTree as ET

from rotator.cli.posturing.words import missing_line, place_of
from rotator.domain.posture.finding import Finding, Rule
from rotator.domain.posture.judgement import Judged, Judgement, Standing
from rotator.domain.risk import Risk

NAME: Final = "rotator posture"
_TAB, _LINE_FEED, _RETURN = 0x9, 0xA, 0xD


def as_junit(judgement: Judgement, limit: Risk | None) -> str:
    """A document of one suite for each rule, and one for what was not read."""
    root = ET.Element("testsuites", name=NAME)
    cases = sorted(judgement.judged, key=lambda each: each.finding.rule.id)
    found = {
        rule: list(group) for rule, group in groupby(cases, key=lambda each: each.finding.rule)
    }
    rules = {rule.id: rule for rule in (*judgement.rules, *found)}
    for key in sorted(rules):
        root.append(_suite(rules[key], found.get(rules[key], []), limit))
    if judgement.missing:
        suite = ET.Element("testsuite", name="not read")
        for each in judgement.missing:
            case = _case(suite, "not read", missing_line(each))
            ET.SubElement(case, "error", message=_text(each.why), type="not-read")
        root.append(suite)
    for suite in root:
        _count(suite)
    _count(root)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _suite(rule: Rule, judged: Sequence[Judged], limit: Risk | None) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(rule.id))
    if not judged:
        _case(suite, rule.id, rule.title)
    for each in judged:
        _add(suite, each, limit)
    return suite


def _add(suite: ET.Element, judged: Judged, limit: Risk | None) -> None:
    finding = judged.finding
    case = _case(suite, finding.rule.id, _name(finding))
    if finding.region is not None:
        case.set("file", _text(finding.region.path))
        case.set("line", str(finding.region.line))
    if judged.standing is Standing.SUPPRESSED and judged.suppression is not None:
        until = f"suppressed until {judged.suppression.until}: {judged.suppression.reason}"
        ET.SubElement(case, "skipped", message=_text(until))
    elif judged.standing is Standing.KNOWN:
        ET.SubElement(case, "skipped", message="known from the baseline")
    elif limit is not None and finding.severity >= limit:
        failure = ET.SubElement(
            case, "failure", message=_text(finding.message), type=finding.severity.word
        )
        failure.text = _text(_body(finding))
    else:
        ET.SubElement(case, "system-out").text = _text(f"{finding.severity.word}: {_body(finding)}")


def _name(finding: Finding) -> str:
    where = place_of(finding)
    return where if finding.subject in where else f"{finding.subject} ({where})"


def _body(finding: Finding) -> str:
    parts = (place_of(finding), finding.message, f"Mend: {finding.mend}", finding.rule.why)
    return "\n".join((*parts, finding.rule.page))


def _case(suite: ET.Element, group: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=_text(f"rotator.{group}"), name=_text(name), time="0"
    )


def _count(element: ET.Element) -> None:
    """The sums that readers go by."""
    element.set("tests", str(len(element.findall(".//testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(len(element.findall(f".//{tag}"))))
    element.set("time", "0")


def _text(text: str) -> str:
    """Only characters that XML 1.0 has (production 2); the others can't even be escaped."""
    return "".join(ch if _is_char(ord(ch)) else "\ufffd" for ch in text)


def _is_char(code: int) -> bool:
    return (
        code in (_TAB, _LINE_FEED, _RETURN)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )
