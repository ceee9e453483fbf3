"""Findings as SARIF 2.1.0 (OASIS standard, with errata 01), for code scanning.

Section numbers are the specification's. `security-severity` is what GitHub ranks alerts by; it
wants a place for each result, so what has no file has the address of the thing at Fly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final
from urllib.parse import quote

from rotator.domain.posture.finding import Finding, Missing, Region, Rule
from rotator.domain.posture.judgement import BaselineEntry, Judged, Judgement, Standing
from rotator.domain.risk import Risk

VERSION: Final = "2.1.0"
SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
FINGERPRINT: Final = "rotatorFinding/v1"
LEVELS: Final[Mapping[Risk, str]] = {
    Risk.CRITICAL: "error",
    Risk.HIGH: "error",
    Risk.MEDIUM: "warning",
    Risk.LOW: "note",
    Risk.NOTE: "note",
}
SECURITY_SEVERITIES: Final[Mapping[Risk, str]] = {
    Risk.CRITICAL: "9.5",
    Risk.HIGH: "8.0",
    Risk.MEDIUM: "5.5",
    Risk.LOW: "2.5",
    Risk.NOTE: "0.1",
}
"""In the middle of GitHub's bands: over 9.0 critical, from 7.0 high, from 4.0 medium."""
Record = dict[str, object]


def as_sarif(judgement: Judgement, version: str, scope: str) -> Record:
    """A log file with one run (3.13, 3.14). `scope` is what was looked at: runs over other things
    don't close each other's alerts (3.17.3)."""
    rules = _rules(judgement)
    numbers = {rule.id: number for number, rule in enumerate(rules)}
    results = [_result(each, numbers, baseline=judgement.baseline) for each in judgement.judged]
    results += [_absent(entry, numbers) for entry in judgement.fixed]
    driver: Record = {
        "name": "rotator",
        "version": version,
        "semanticVersion": version,
        "rules": [_descriptor(rule) for rule in rules],
    }
    run: Record = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"rotator-posture/{scope}/"},
        "invocations": [_invocation(judgement.missing)],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": SCHEMA, "version": VERSION, "runs": [run]}


def _rules(judgement: Judgement) -> Sequence[Rule]:
    """Those that had their say, and those of what was found."""
    found = {rule.id: rule for rule in judgement.rules}
    found |= {each.finding.rule.id: each.finding.rule for each in judgement.judged}
    return [found[key] for key in sorted(found)]


def _descriptor(rule: Rule) -> Record:
    """3.49"""
    markdown = f"{rule.why}\n\n**Mend:** {rule.mend}\n\n[Fly's documentation]({rule.page})"
    descriptor: Record = {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\nMend: {rule.mend}\n\n{rule.page}", "markdown": markdown},
        "defaultConfiguration": {"level": LEVELS[rule.risk]},
        "properties": {
            "tags": ["security", rule.topic.value],
            "precision": "high",
            "security-severity": SECURITY_SEVERITIES[rule.risk],
        },
    }
    if rule.page:
        descriptor["helpUri"] = rule.page
    return descriptor


def _result(judged: Judged, numbers: Mapping[str, int], *, baseline: bool) -> Record:
    """3.27"""
    finding = judged.finding
    result: Record = {
        "ruleId": finding.rule.id,
        "ruleIndex": numbers[finding.rule.id],
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.message}\n\nMend: {finding.mend}"},
        "locations": [_location(finding)],
        "partialFingerprints": {FINGERPRINT: finding.fingerprint},
        "properties": {
            "severity": finding.severity.word,
            "security-severity": SECURITY_SEVERITIES[finding.severity],
        },
    }
    if baseline:
        result["baselineState"] = "unchanged" if judged.standing is Standing.KNOWN else "new"
    hidden = judged.suppression
    result["suppressions"] = []
    if hidden is not None:
        told: Record = {"kind": "external", "status": "accepted", "justification": hidden.reason}
        told["properties"] = {"until": hidden.until.isoformat(), "where": hidden.where}
        result["suppressions"] = [told]
    return result


def _absent(entry: BaselineEntry, numbers: Mapping[str, int]) -> Record:
    """What the baseline has and nobody finds any more (3.27.24)."""
    result: Record = {
        "ruleId": entry.rule,
        "level": "none",
        "kind": "pass",
        "message": {"text": f"{entry.subject} is no longer found"},
        "partialFingerprints": {FINGERPRINT: entry.fingerprint},
        "baselineState": "absent",
    }
    if entry.rule in numbers:
        result["ruleIndex"] = numbers[entry.rule]
    return result


def _location(finding: Finding) -> Record:
    """3.28"""
    logical: Record = {"fullyQualifiedName": _qualified(finding), "kind": "resource"}
    physical: Record = {"artifactLocation": {"uri": _uri(finding)}}
    if finding.region is not None:
        physical["region"] = _region(finding.region)
    return {"physicalLocation": physical, "logicalLocations": [logical]}


def _qualified(finding: Finding) -> str:
    parts = (finding.organization, finding.app, finding.subject)
    return "/".join(part for part in parts if part)


def _region(region: Region) -> Record:
    """3.30: lines and columns from 1, the end column behind the last character."""
    return {
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    }


def _uri(finding: Finding) -> str:
    """A file by its path, relative where it was given so; a thing at Fly by a name of ours."""
    if finding.region is None:
        return _quoted(f"fly.io/{_qualified(finding)}")
    path = PurePath(finding.region.path)
    return f"{'file://' if path.is_absolute() else ''}{_quoted(path.as_posix())}"


def _quoted(text: str) -> str:
    """Percent-encoded, whatever is in it."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="/")


def _invocation(missing: Sequence[Missing]) -> Record:
    """3.20: what could not be read is a notification, and the run still holds for the rest."""
    notifications = [
        {
            "level": "warning",
            "message": {"text": f"{each.topic.value} not read: {each.why}"},
            "properties": {"organization": each.organization, "app": each.app},
        }
        for each in missing
    ]
    return {"executionSuccessful": True, "toolExecutionNotifications": notifications}
