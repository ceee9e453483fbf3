"""Findings as they are kept: since when, how they stand, and what a new look changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from rotator.domain.posture.finding import Finding, Missing, Topic
from rotator.domain.posture.suppression import Suppression
from rotator.domain.risk import Risk


class FindingState(StrEnum):
    """How a finding stands."""

    OPEN = "open"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"


class Turn(StrEnum):
    """What a look makes of a finding. STILL: nothing that is to be told."""

    OPENED = "opened"
    REOPENED = "reopened"
    CHANGED = "changed"
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"
    STILL = "still"


@dataclass(frozen=True)
class FindingRecord:
    """One finding for as long as it is known. `opened_at` is since when it is there this time,
    `times` how often it was told as open; `note` is the reason of a suppression."""

    fingerprint: str
    organization: str
    app: str
    rule: str
    topic: Topic
    subject: str
    severity: Risk
    message: str
    mend: str
    state: FindingState
    opened_at: datetime
    seen_at: datetime
    resolved_at: datetime | None = None
    times: int = 1
    note: str = ""


@dataclass(frozen=True)
class PostureLook:
    """When an organisation is looked at next, and was last. While somebody looks, `holder` is who
    and `held_until` when others may. `missing` is what the last look could not read, a line each.
    """

    organization: str
    due_at: datetime
    holder: str | None = None
    held_until: datetime | None = None
    looked_at: datetime | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class FindingChange:
    """A record as a look leaves it, and what that is."""

    turn: Turn
    record: FindingRecord
    before: FindingRecord | None = None


def found_again(
    known: FindingRecord | None,
    finding: Finding,
    hidden: Suppression | None,
    organization: str,
    now: datetime,
) -> FindingChange:
    """What it means that this was found."""
    state = FindingState.OPEN if hidden is None else FindingState.SUPPRESSED
    note = "" if hidden is None else hidden.reason
    fresh = FindingRecord(
        fingerprint=finding.fingerprint,
        organization=organization,
        app=finding.app,
        rule=finding.rule.id,
        topic=finding.rule.topic,
        subject=finding.subject,
        severity=finding.severity,
        message=finding.message,
        mend=finding.mend,
        state=state,
        opened_at=now,
        seen_at=now,
        times=1 if hidden is None else 0,
        note=note,
    )
    if known is None:
        return FindingChange(Turn.SUPPRESSED if hidden else Turn.OPENED, fresh)
    if known.state is state:
        record = replace(fresh, opened_at=known.opened_at, times=known.times)
        shown = state is FindingState.OPEN and known.severity is not finding.severity
        return FindingChange(Turn.CHANGED if shown else Turn.STILL, record, known)
    if hidden is not None:
        since = now if known.state is FindingState.RESOLVED else known.opened_at
        record = replace(fresh, opened_at=since, times=known.times)
        return FindingChange(Turn.SUPPRESSED, record, known)
    again = known.state is FindingState.RESOLVED
    since = now if again else known.opened_at
    record = replace(fresh, opened_at=since, times=known.times + 1)
    return FindingChange(Turn.REOPENED, record, known)


def not_found(known: FindingRecord, now: datetime) -> FindingChange:
    """What it means that nobody found this any more."""
    record = replace(known, state=FindingState.RESOLVED, resolved_at=now, note="")
    return FindingChange(Turn.RESOLVED, record, known)


def is_unknown(known: FindingRecord, topics: frozenset[Topic], missing: Sequence[Missing]) -> bool:
    """Whether a look that did not find this says nothing about it: its part was not read."""
    if known.topic not in topics:
        return True
    return any(
        each.topic is known.topic
        and each.organization in ("", known.organization)
        and each.app in ("", known.app)
        for each in missing
    )


def worst(findings: Mapping[str, Finding], limit: int) -> Sequence[Finding]:
    """The worst so many, in an order that stays the same."""
    ordered = sorted(findings.values(), key=lambda f: (-f.severity, f.rule.id, f.fingerprint))
    return ordered[:limit]
