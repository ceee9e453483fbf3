"""Findings as JSON. Its shape is written down in docs/posture.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rotator.domain.posture.finding import Finding, Missing, Region, Rule
from rotator.domain.posture.judgement import Judged, Judgement, Standing
from rotator.domain.posture.suppression import Suppression
from rotator.domain.risk import Risk

FORMAT: Final = "rotator-posture/1"


def as_data(judgement: Judgement, now: datetime, version: str, *, failed: bool) -> object:
    """The whole judgement; `failed` is what the exit code says."""
    return {
        "format": FORMAT,
        "rotator": version,
        "at": now,
        "failed": failed,
        "summary": {
            "new": {risk.word: judgement.counts[risk] for risk in sorted(Risk, reverse=True)},
            "known": len(judgement.standing(Standing.KNOWN)),
            "suppressed": len(judgement.standing(Standing.SUPPRESSED)),
            "fixed": len(judgement.fixed),
            "not_read": len(judgement.missing),
        },
        "findings": [_finding(each) for each in judgement.judged],
        "fixed": list(judgement.fixed),
        "not_read": [_missing(each) for each in judgement.missing],
        "suppressions": {
            "ended": [_suppression(each) for each in judgement.ended],
            "unused": [_suppression(each) for each in judgement.unused],
        },
    }


def rule_data(rule: Rule) -> Mapping[str, object]:
    """One rule."""
    return {
        "id": rule.id,
        "topic": rule.topic,
        "severity": rule.risk.word,
        "title": rule.title,
        "why": rule.why,
        "mend": rule.mend,
        "page": rule.page,
    }


def _finding(judged: Judged) -> Mapping[str, object]:
    finding: Finding = judged.finding
    return {
        "rule": finding.rule.id,
        "severity": finding.severity.word,
        "standing": judged.standing,
        "fingerprint": finding.fingerprint,
        "topic": finding.rule.topic,
        "organization": finding.organization or None,
        "app": finding.app or None,
        "subject": finding.subject,
        "title": finding.rule.title,
        "message": finding.message,
        "mend": finding.mend,
        "page": finding.rule.page,
        "region": _region(finding.region),
        "suppression": _suppression(judged.suppression),
    }


def _region(region: Region | None) -> Mapping[str, object] | None:
    if region is None:
        return None
    return {
        "path": region.path,
        "line": region.line,
        "column": region.column,
        "end_line": region.end_line,
        "end_column": region.end_column,
    }


def _suppression(each: Suppression | None) -> Mapping[str, object] | None:
    if each is None:
        return None
    return {
        "rule": each.rule,
        "subject": each.subject,
        "reason": each.reason,
        "until": each.until,
        "where": each.where,
    }


def _missing(each: Missing) -> Mapping[str, object]:
    return {
        "topic": each.topic,
        "organization": each.organization or None,
        "app": each.app or None,
        "why": each.why,
    }
