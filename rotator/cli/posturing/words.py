"""What all forms of the output have in common: places, counts, lines about suppressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rotator.domain.posture.finding import Finding, Missing
from rotator.domain.posture.judgement import Judgement, Standing
from rotator.domain.risk import Risk


def clean(text: str) -> str:
    """Text without characters that a terminal would obey: names come from files and from Fly."""
    return "".join(ch if ch.isprintable() or ch == "\n" else "\ufffd" for ch in text)


def place_of(finding: Finding) -> str:
    """Where it is: file, line and column, else organisation, app and subject."""
    if finding.region is not None:
        return clean(str(finding.region))
    where = "/".join(part for part in (finding.organization, finding.app) if part)
    return clean(f"{where} {finding.subject}".strip())


def missing_line(missing: Missing) -> str:
    """What was not read, and why."""
    where = "/".join(part for part in (missing.organization, missing.app) if part)
    return clean(f"not read: {missing.topic.value}{f' of {where}' if where else ''}: {missing.why}")


def counted(number: int, noun: str) -> str:
    """So many of something."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def by_severity(counts: Counter[Risk]) -> str:
    """`1 critical, 2 high`."""
    return ", ".join(f"{counts[r]} {r.word}" for r in sorted(Risk, reverse=True) if counts[r])


def summary(judgement: Judgement) -> str:
    """All of it in one line."""
    new = judgement.standing(Standing.NEW)
    noun = "new finding" if judgement.baseline else "finding"
    parts = [counted(len(new), noun) if new else f"no {noun}s"]
    if new:
        parts[0] += f": {by_severity(judgement.counts)}"
    known = len(judgement.standing(Standing.KNOWN))
    hidden = len(judgement.standing(Standing.SUPPRESSED))
    if known:
        parts.append(f"{known} known from the baseline")
    if judgement.fixed:
        parts.append(f"{len(judgement.fixed)} of the baseline fixed")
    if hidden:
        parts.append(f"{hidden} suppressed")
    if judgement.missing:
        parts.append(f"{counted(len(judgement.missing), 'part')} not read")
    return "; ".join(parts)


def suppressed_lines(judgement: Judgement) -> Iterator[str]:
    """How many each suppression hides, and why."""
    hidden = Counter(
        each.suppression
        for each in judgement.standing(Standing.SUPPRESSED)
        if each.suppression is not None
    )
    for suppression, number in hidden.items():
        yield clean(
            f"{number} suppressed until {suppression.until}: {suppression.reason} "
            f"({suppression.rule}, {suppression.where})"
        )


def asides(judgement: Judgement) -> Iterator[str]:
    """Lines for standard error, whatever the form: what was not read, what suppressions need."""
    for missing in judgement.missing:
        yield missing_line(missing)
    for each in judgement.ended:
        yield clean(
            f"{each.where}: the suppression of {each.rule} at {each.subject} ended on "
            f"{each.until} and hides nothing any more"
        )
    for each in judgement.unused:
        yield clean(f"{each.where}: {each.rule} at {each.subject} fits nothing; take it out")
