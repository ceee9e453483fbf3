"""What the report says in sentences: its cards, its answers to controls, its word on the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rotator.cli.auditing import verification_lines
from rotator.cli.evidence.gather import Report
from rotator.domain.ages import Standing
from rotator.domain.controls import PCI_LONGEST, Control, Section
from rotator.domain.courses import Ending, Period
from rotator.domain.durations import rough_duration
from rotator.domain.risk import Risk


@dataclass(frozen=True)
class Card:
    """A number that matters, and what it is made of."""

    title: str
    number: str
    note: str
    kind: str


_LEADS: Final[Mapping[Section, str]] = {
    Section.INVENTORY: "Every credential that was tracked at the end of the period, and the age of "
    "the value in use against the age at which its policy wants it replaced.",
    Section.ROTATIONS: "Every rotation that began, went on or ended in the period. “In use after” "
    "is the time from the wish until consumers had the new value; “took” includes the overlap in "
    "which the old one still works.",
    Section.EMERGENCIES: "Rotations without an overlap, because a value may have leaked: how long "
    "it took until the issuer refused the old value, which is tried once more to see it refused.",
    Section.FAILURES: "Rotations in which a step failed for good, that were turned back, parked "
    "for a person, or left by a worker that died, and what became of each.",
    Section.EXCEPTIONS: "What policies did not foresee: missed schedules, values about to expire "
    "or gone at the issuer, leftovers, waits beyond their limit, deploys that overtook a rollout.",
    Section.POSTURE: "What the daily look at tokens, peers, apps, certificates and rotator itself "
    "found against Fly's security advice: what came, what was mended, what was suppressed and why.",
    Section.CHANGES: "Who is tracked and how: manifests that were applied, credentials that came, "
    "changed or went, with the policy before and after.",
    Section.PEOPLE: "Commands of people that changed something: rotations asked for, let go on or "
    "turned back, rollouts paused, manifests applied, events archived.",
    Section.WORKERS: "Processes that hold the right to rotate: when they started and stopped, and "
    "events that were moved to an archive.",
}


def counted(number: int, noun: str, nouns: str = "") -> str:
    """So many of something."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def lead(section: Section) -> str:
    """What a section shows."""
    return _LEADS[section]


def period_words(period: Period) -> str:
    """The period for people: the last day, where it ends at midnight."""
    return f"{_instant(period.since)} up to {_instant(period.until)} UTC"


def _instant(at: datetime) -> str:
    at = at.astimezone(UTC)
    return (
        f"{at:%Y-%m-%d}" if (at.hour, at.minute, at.second) == (0, 0, 0) else f"{at:%Y-%m-%d %H:%M}"
    )


def cards(report: Report) -> Sequence[Card]:
    """The numbers at the top."""
    return tuple(_cards(report))


def _cards(report: Report) -> Iterator[Card]:
    total, tally = len(report.inventory), report.tally
    within = report.standings[Standing.WITHIN]
    over = report.standings[Standing.OVER] + report.standings[Standing.GONE]
    yield Card(
        "Within policy",
        f"{within} of {total}",
        _standing_words(report) or ("all of them" if total else "none is tracked"),
        "idle" if not total else "bad" if over else "good" if within == total else "warn",
    )
    failed = tally.endings[Ending.PARKED] + tally.endings[Ending.ROLLED_BACK]
    yield Card(
        "Rotations",
        str(tally.total),
        ", ".join(f"{tally.endings[e]} {e}" for e in Ending if tally.endings[e]) or "none",
        "idle" if not tally.total else "warn" if failed else "good",
    )
    half, most = tally.share_within(0.5), tally.share_within(0.95)
    yield Card(
        "New value in use",
        rough_duration(half) if half is not None else "–",
        f"the median; 95 of 100 within {rough_duration(most)}" if most is not None else "none yet",
        "idle",
    )
    slowest = report.slowest_revocation()
    yield Card(
        "Emergencies",
        str(tally.emergencies),
        f"old value refused within {rough_duration(slowest)}" if slowest else "no value to revoke"
        if tally.emergencies else "none",
        "idle",
    )  # fmt: skip
    yield Card(
        "With failures",
        str(tally.troubled),
        f"{tally.endings[Ending.PARKED]} of them still parked" if tally.troubled else "none",
        "bad" if tally.endings[Ending.PARKED] else "warn" if tally.troubled else "good",
    )
    yield _posture_card(report)
    fault = report.log.verification.fault
    yield Card(
        "Audit log",
        "whole" if fault is None else "damaged",
        f"{counted(report.log.verification.events, 'event')} and "
        f"{counted(report.log.verification.checkpoints, 'checkpoint')} verified",
        "good" if fault is None else "bad",
    )


def _posture_card(report: Report) -> Card:
    """How many findings were open at the last look."""
    standing = report.trend.standing
    if standing is None:
        return Card("Open findings", "–", "nobody has looked yet", "idle")
    counts = {risk: standing.get(risk, 0) for risk in sorted(Risk, reverse=True)}
    severe = counts[Risk.CRITICAL] + counts[Risk.HIGH]
    told = ", ".join(f"{number} {risk.word}" for risk, number in counts.items() if number)
    total = sum(counts.values())
    kind = "bad" if severe else "warn" if total else "good"
    return Card("Open findings", str(total), told or "none", kind)


def _standing_words(report: Report) -> str:
    others = [s for s in Standing if s is not Standing.WITHIN and report.standings[s]]
    return ", ".join(f"{report.standings[s]} {s}" for s in others)


def log_words(report: Report) -> Iterator[str]:
    """Whether the log holds, and what vouches for it."""
    yield from verification_lines(report.log.verification)
    if report.log.signed_at is None:
        yield (
            "No checkpoint is signed yet: the daemon signs one every 10 minutes, and "
            "`rotator audit checkpoint` does it now."
        )
        return
    yield (
        f"The newest checkpoint covers events 1 to {report.log.covers} and was signed "
        f"{report.log.signed_at:%Y-%m-%d %H:%M:%S}Z. What a copy of it, kept elsewhere, covers "
        "can't be changed or cut off without a trace."
    )


def control_answer(report: Report, control: Control) -> str:
    """What the evidence shows of a control, in numbers."""
    return _ANSWERS[control.measure](report)


def _ages(report: Report) -> str:
    total = len(report.inventory)
    if not total:
        return "No credential is tracked."
    told = f"{report.standings[Standing.WITHIN]} of {total} values in use were within their policy."
    others = _standing_words(report)
    return f"{told} Exceptions: {others}." if others else f"{told} No exceptions."


def _emergencies(report: Report) -> str:
    if not report.tally.emergencies:
        return "No emergency rotation in the period."
    slowest = report.slowest_revocation()
    told = f"{counted(report.tally.emergencies, 'emergency rotation')}."
    if slowest is None:
        return f"{told} None of them had an old value to revoke, or got so far."
    return f"{told} The old value was refused within {rough_duration(slowest)} of the wish."


def _pci(report: Report) -> str:
    total, older = len(report.inventory), report.older_than_pci
    days = rough_duration(PCI_LONGEST)
    return f"{total - older} of {total} values in use were known to be at most {days} old."


def _record(report: Report) -> str:
    fault = report.log.verification.fault
    people = len({line.by for line in report.events[Section.PEOPLE]})
    return (
        f"{counted(report.tally.total, 'rotation')} and "
        f"{counted(len(report.events[Section.CHANGES]), 'change')} of the inventory on record, "
        f"each with who and why; {counted(people, 'person', 'people')} gave commands. The log "
        + ("verifies." if fault is None else "does NOT verify.")
    )


_ANSWERS: Final = {
    "ages": _ages,
    "emergencies": _emergencies,
    "pci": _pci,
    "record": _record,
}
