"""What every format has in common: one model, one way to severities, dates, digests and totals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from rotator.domain.posture.scans import ScanReport, Severity, Vulnerability

MAX_BYTES: Final = 16 * 1024 * 1024
"""No report is larger: reading one takes several times as much memory for a moment."""
WORST: Final = 5
"""How many vulnerabilities of a report are kept whole."""
_LONGEST: Final = 120
_DIGEST: Final = re.compile(r"sha256(?::|%3[Aa]|-|_)([0-9a-f]{64})(?![0-9a-f])")
_WORDS: Final[Mapping[str, Severity]] = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.LOW,
}


class NotAReport(ValueError):
    """The text can't be read as a report; says why, and never quotes it."""


class ReportModel(BaseModel):
    """Base of what is read of a report. Its errors don't quote the input."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


def severity_of(word: str) -> Severity:
    """By a scanner's word."""
    return _WORDS.get(word.strip().lower(), Severity.UNKNOWN)


def severity_of_score(score: float) -> Severity:
    """By a CVSS score, in the bands of CVSS 3.1 (section 5)."""
    bands = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM))
    for least, severity in bands:
        if score >= least:
            return severity
    return Severity.LOW if score > 0 else Severity.UNKNOWN


def digests_in(texts: Iterable[str | None]) -> frozenset[str]:
    """The digests that stand in these texts."""
    found = (match for text in texts if text for match in _DIGEST.findall(text))
    return frozenset(f"sha256:{digest}" for digest in found)


def instant(text: str | None) -> datetime | None:
    """A date as the formats have them; None of one that can't be read. Go writes nanoseconds, and
    its zero for a date that nobody set."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    if found.year <= 1:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def clean(text: str | None) -> str:
    """Fit for one line on a terminal: what a report says was written by strangers."""
    printable = "".join(each if each.isprintable() else " " for each in text or "")
    return " ".join(printable.split())[:_LONGEST]


def a_vulnerability(
    severity: Severity,
    name: str | None,
    package: str | None = "",
    installed: str | None = "",
    fixed: str | None = "",
) -> Vulnerability:
    """One, with texts that can be shown."""
    return Vulnerability(severity, clean(name), clean(package), clean(installed), clean(fixed))


def summed_up(
    *,
    tool: str,
    image: str,
    digests: frozenset[str],
    at: datetime | None,
    found: Iterable[Vulnerability],
    built_at: datetime | None = None,
    base: str = "",
    base_ended: bool | None = None,
    image_user: str | None = None,
) -> ScanReport:
    """The report of these vulnerabilities, each counted once however often it stands there."""
    once = set(found)
    counts = Counter(each.severity for each in once)
    worst = sorted(once, key=lambda each: (-each.severity, not each.fixed, each))[:WORST]
    serious = [each for each in once if each.severity >= Severity.HIGH]
    return ScanReport(
        source="",
        tool=clean(tool),
        image=clean(image),
        digests=digests,
        at=at,
        counts=tuple(sorted(counts.items())),
        worst=tuple(worst),
        fixable=sum(bool(each.fixed) for each in serious),
        built_at=built_at,
        base=clean(base),
        base_ended=base_ended,
        image_user=image_user,
    )
