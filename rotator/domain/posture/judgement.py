"""What was found, held against what a person has said of it: suppressions and a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from rotator.domain.posture.finding import Finding, Inspected, Missing, Rule, Topic
from rotator.domain.posture.suppression import Suppression, suppression_of
from rotator.domain.risk import Risk


class Standing(StrEnum):
    """How a finding stands. KNOWN is in the baseline."""

    NEW = "new"
    KNOWN = "known"
    SUPPRESSED = "suppressed"


@dataclass(frozen=True)
class BaselineEntry:
    """A finding that was there when the baseline was written."""

    fingerprint: str
    rule: str
    subject: str
    organization: str = ""
    app: str = ""


@dataclass(frozen=True)
class Looked:
    """What a look covered: the rules that had their say, of all that there are, for all apps or
    one. `unread` are topics of which a part could not be read."""

    asked: tuple[Rule, ...]
    known: frozenset[str]
    unread: frozenset[Topic] = frozenset()
    app: str | None = None

    def covers(self, rule: str, app: str | None = None) -> bool:
        """Whether it is known that this rule finds nothing more. A rule that is gone finds none."""
        if rule not in self.known:
            return True
        had = any(each.id == rule and each.topic not in self.unread for each in self.asked)
        return had and self.app in (None, app)


@dataclass(frozen=True)
class Judged:
    """A finding and how it stands."""

    finding: Finding
    standing: Standing
    suppression: Suppression | None = None


@dataclass(frozen=True)
class Judgement:
    """All that a look has to tell, in the order in which it is told: the worst first.

    `fixed` is what the baseline has and nobody finds any more, `ended` suppressions that are past
    their last day, `unused` those that fit nothing. `rules` are those that had their say;
    `baseline` says whether there is one.
    """

    judged: tuple[Judged, ...] = ()
    missing: tuple[Missing, ...] = ()
    rules: tuple[Rule, ...] = ()
    fixed: tuple[BaselineEntry, ...] = ()
    ended: tuple[Suppression, ...] = ()
    unused: tuple[Suppression, ...] = ()
    baseline: bool = False

    def standing(self, standing: Standing) -> tuple[Judged, ...]:
        """Those that stand so."""
        return tuple(each for each in self.judged if each.standing is standing)

    @property
    def counts(self) -> Counter[Risk]:
        """New ones by how bad they are."""
        return Counter(each.finding.severity for each in self.standing(Standing.NEW))

    def fails(self, limit: Risk | None) -> bool:
        """Whether something new is as bad as this or worse. None: nothing is."""
        return limit is not None and any(risk >= limit for risk in self.counts)


def judge(
    inspected: Inspected,
    looked: Looked,
    *,
    suppressions: Sequence[Suppression] = (),
    baseline: Sequence[BaselineEntry] | None = None,
    today: date,
) -> Judgement:
    """Hold findings against suppressions and baseline."""
    known = {entry.fingerprint for entry in baseline or ()}
    judged = tuple(
        sorted((_judged(f, suppressions, known, today) for f in inspected.findings), key=_order)
    )
    found = {each.finding.fingerprint for each in judged}
    fitting = {s for s in suppressions if any(s.fits(each.finding) for each in judged)}
    return Judgement(
        judged=judged,
        missing=tuple(sorted(inspected.missing, key=_missing_order)),
        rules=looked.asked,
        fixed=tuple(
            entry
            for entry in sorted(baseline or (), key=lambda e: (e.rule, e.subject, e.fingerprint))
            if entry.fingerprint not in found and looked.covers(entry.rule, entry.app)
        ),
        ended=tuple(s for s in suppressions if s.ended(today)),
        unused=tuple(
            s
            for s in suppressions
            if not s.ended(today) and s not in fitting and looked.covers(s.rule)
        ),
        baseline=baseline is not None,
    )


def entries_of(judgement: Judgement) -> tuple[BaselineEntry, ...]:
    """What a baseline written now holds: all that is not suppressed, once, in a fixed order."""
    found = {
        each.finding.fingerprint: BaselineEntry(
            each.finding.fingerprint,
            each.finding.rule.id,
            each.finding.subject,
            each.finding.organization,
            each.finding.app,
        )
        for each in judgement.judged
        if each.standing is not Standing.SUPPRESSED
    }
    return tuple(sorted(found.values(), key=lambda e: (e.rule, e.subject, e.fingerprint)))


def _judged(
    finding: Finding, suppressions: Sequence[Suppression], known: set[str], today: date
) -> Judged:
    hidden = suppression_of(finding, suppressions, today)
    if hidden is not None:
        return Judged(finding, Standing.SUPPRESSED, hidden)
    standing = Standing.KNOWN if finding.fingerprint in known else Standing.NEW
    return Judged(finding, standing)


def _order(judged: Judged) -> tuple[object, ...]:
    finding = judged.finding
    region = finding.region
    place = (region.path, region.line, region.column) if region else ("", 0, 0)
    return (
        -finding.severity,
        finding.rule.id,
        finding.organization,
        finding.app,
        *place,
        finding.subject,
    )


def _missing_order(missing: Missing) -> tuple[str, ...]:
    return (missing.organization, missing.app, missing.topic.value, missing.why)
