"""SARIF 2.1.0 about an image, as Trivy and Grype write it.

Scanners put what they have found besides vulnerabilities into the same file: misconfigurations,
licences, and secrets with the text that they have matched. Of those nothing is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pydantic import Field

from rotator.domain.posture.scans import ScanReport, Severity, Vulnerability
from rotator.scans.summary import (
    NotAReport,
    ReportModel,
    a_vulnerability,
    digests_in,
    instant,
    severity_of,
    severity_of_score,
    summed_up,
)

_OTHER_THINGS: Final = frozenset({"secret", "misconfiguration", "license"})
_LEVELS: Final = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW}
_PACKAGE: Final = re.compile(r"^Package: (.*)$", re.MULTILINE)
_INSTALLED: Final = re.compile(r"^(?:Installed )?Version: (.*)$", re.MULTILINE)
_FIXED: Final = re.compile(r"^Fix(?:ed)? Version: (.*)$", re.MULTILINE)


class _Properties(ReportModel):
    tags: tuple[str, ...] | None = None
    # Text by GitHub's convention, a number from some tools.
    score: str | float | None = Field(default=None, alias="security-severity")
    image: str | None = Field(default=None, alias="imageName")
    digests: tuple[str, ...] | None = Field(default=None, alias="repoDigests")


class _Message(ReportModel):
    text: str = ""


class _Configuration(ReportModel):
    level: str = ""


class _SarifRule(ReportModel):
    id: str
    name: str = ""
    properties: _Properties = _Properties()
    configuration: _Configuration = Field(default=_Configuration(), alias="defaultConfiguration")
    help: _Message = _Message()


class _Driver(ReportModel):
    name: str = ""
    rules: tuple[_SarifRule, ...] | None = None


class _Tool(ReportModel):
    driver: _Driver


class _Invocation(ReportModel):
    end: str | None = Field(default=None, alias="endTimeUtc")
    start: str | None = Field(default=None, alias="startTimeUtc")


class _Result(ReportModel):
    rule: str | None = Field(default=None, alias="ruleId")
    index: int | None = Field(default=None, alias="ruleIndex")
    level: str = ""
    message: _Message = _Message()
    suppressions: tuple[object, ...] | None = None


class _Run(ReportModel):
    tool: _Tool
    results: tuple[_Result, ...] | None = None
    properties: _Properties = _Properties()
    invocations: tuple[_Invocation, ...] | None = None


class _Report(ReportModel):
    runs: tuple[_Run, ...]


def is_sarif(document: object) -> bool:
    """By the fields that the specification asks for."""
    return isinstance(document, dict) and "runs" in document and "version" in document


def read_sarif(document: object) -> ScanReport:
    """Raises `ValidationError` where a field has another shape, `NotAReport` of one without a
    run."""
    runs = _Report.model_validate(document).runs
    if not runs:
        raise NotAReport("SARIF without a run")
    times = [instant(each.end or each.start) for run in runs for each in run.invocations or ()]
    named = (run.properties.image for run in runs)
    return summed_up(
        tool=runs[0].tool.driver.name or "SARIF",
        image=next((name for name in named if name), ""),
        digests=digests_in(
            text for run in runs for text in (run.properties.image, *(run.properties.digests or ()))
        ),
        at=max((time for time in times if time is not None), default=None),
        found=[each for run in runs for each in _found(run)],
    )


def _found(run: _Run) -> Iterator[Vulnerability]:
    rules = run.tool.driver.rules or ()
    by_id = {rule.id: rule for rule in rules}
    for result in run.results or ():
        rule = by_id.get(result.rule or "")
        if rule is None and result.index is not None and 0 <= result.index < len(rules):
            rule = rules[result.index]
        name = result.rule or (rule.id if rule is not None else "")
        if not name or result.suppressions or (rule is not None and _is_other(rule)):
            continue
        texts = (result.message.text, rule.help.text if rule is not None else "")
        yield a_vulnerability(
            _severity(result, rule),
            name,
            *(_first(pattern, texts) for pattern in (_PACKAGE, _INSTALLED, _FIXED)),
        )


def _is_other(rule: _SarifRule) -> bool:
    tags = {tag.lower() for tag in rule.properties.tags or ()}
    return rule.name.lower() in _OTHER_THINGS or not tags.isdisjoint(_OTHER_THINGS)


def _severity(result: _Result, rule: _SarifRule | None) -> Severity:
    """By the word among the tags, else by the score, else by the level."""
    level = result.level
    if rule is not None:
        words = [severity_of(tag) for tag in rule.properties.tags or ()]
        if words and max(words) is not Severity.UNKNOWN:
            return max(words)
        score = _score(rule.properties.score)
        if score is not None:
            return severity_of_score(score)
        level = level or rule.configuration.level
    # The specification: a result without a level is a warning.
    return _LEVELS.get(level or "warning", Severity.UNKNOWN)


def _score(given: str | float | None) -> float | None:
    try:
        return None if given is None else float(given)
    except ValueError:
        return None


def _first(pattern: re.Pattern[str], texts: tuple[str, ...]) -> str:
    found = (match[1] for text in texts if (match := pattern.search(text)))
    return next(found, "")
