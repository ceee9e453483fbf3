"""Certificates as lines with what is wrong below each, and as data."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.text import console, from_now, say, show_lines
from rotator.domain.certificate_alarms import CertificateAlarm, Recheck
from rotator.domain.durations import rough_duration
from rotator.domain.posture.certificate import (
    Api,
    ApiView,
    CertificateSnapshot,
    CertificateState,
    Source,
    disagreements,
    is_as_issued,
    state_of,
)
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.handshake import Reach, covers
from rotator.domain.posture.rules_certificates import CUSTOM_EXPIRING, EXPIRED, EXPIRING
from rotator.engine.certificates.look import Unread

if TYPE_CHECKING:
    from rich.text import Text

_STYLES: Final = {
    CertificateState.EXPIRED: "bold red",
    CertificateState.NOT_ISSUED: "bold red",
    CertificateState.EXPIRING: "bold red",
    CertificateState.BADLY_SERVED: "bold red",
    CertificateState.MISCONFIGURED: "yellow",
    CertificateState.UNREAD: "yellow",
    CertificateState.GOOD: "green",
}
_INDENT: Final = 15
_LONGEST_NAME, _LONGEST_APP = 48, 24
_ENDS: Final = frozenset({EXPIRED, EXPIRING, CUSTOM_EXPIRING})
"""Rules that say what an alarm says."""
_REACHES: Final = {
    Reach.NOT_TRIED: "not tried",
    Reach.UNRESOLVED: "no address",
    Reach.FORBIDDEN: "not spoken to",
    Reach.UNREACHABLE: "unreachable",
    Reach.NO_TLS: "no TLS",
}


@dataclass(frozen=True)
class Seen:
    """A hostname with what the rules find, and what becomes of a re-check."""

    snapshot: CertificateSnapshot
    days: int
    findings: tuple[Finding, ...]
    recheck: Recheck
    alarm: CertificateAlarm | None = None


def show_seen(
    seen: Sequence[Seen],
    organizations: Sequence[str],
    due: Mapping[str, datetime | None],
    now: datetime,
) -> None:
    """A line for each hostname, the worst first, with what is said of it below, and a summary."""
    width = console().width
    if seen:
        show_lines(_lines(sorted(seen, key=_rank), now, width))
        say()
    for slug in organizations:
        say(_summary(slug, [each for each in seen if each.snapshot.organization == slug], now))
        say(f"  {_next_look(due.get(slug), now)}")


def _lines(seen: Sequence[Seen], now: datetime, width: int) -> Iterator[Text]:
    from rich.text import Text

    names = max(8, *(len(each.snapshot.hostname) for each in seen))
    apps = max(3, *(len(each.snapshot.app) for each in seen))
    names, apps = min(names, _LONGEST_NAME), min(apps, _LONGEST_APP)
    head = f"{'state':<{_INDENT}}{'hostname':<{names}}  {'app':<{apps}}  {'ends':<8}  issuer"
    yield Text(head, "bold")
    for each in seen:
        snapshot = each.snapshot
        state = state_of(snapshot, now, each.days)
        line = Text(f"{state.value:<{_INDENT}}", _STYLES[state])
        rest = f"{snapshot.hostname:<{names}}  {snapshot.app:<{apps}}"
        line.append(f"{rest}  {_ends(snapshot.ends_at, now):<8}  {_issuer(snapshot)}", "default")
        yield line
        for told, style, hang in _below(each, now):
            room = max(20, width - _INDENT - hang)
            folded = textwrap.wrap(told, room, break_on_hyphens=False, break_long_words=False)
            for number, part in enumerate(folded):
                yield Text(" " * (_INDENT + (hang if number else 0)) + part, style)


def _below(seen: Seen, now: datetime) -> Iterator[tuple[str, str, int]]:
    """What is said of a hostname: a text, its style, and how far its further lines hang in."""
    yield "; ".join(_said(seen.snapshot, now)), "dim", 0
    if seen.alarm is not None and not _ENDS & {each.rule for each in seen.findings}:
        yield f"! {seen.alarm.sentence}", "", 2
        yield f"  → {seen.alarm.command}", "", 4
    for finding in seen.findings:
        message = finding.message.removeprefix(f"{seen.snapshot.hostname}: ")
        yield f"! {finding.severity.word}: {message}", "", 2
        yield f"  → {finding.mend}", "", 4
    if seen.recheck.at is not None and _is_near(seen, now):
        at = "at its next look" if seen.recheck.due else from_now(seen.recheck.at, now)
        yield f"the daemon asks Fly to look again {at}", "", 0


def _said(snapshot: CertificateSnapshot, now: datetime) -> Iterator[str]:
    """What both APIs and the handshake say."""
    machines = _api(snapshot.machines, unread=Api.MACHINES in snapshot.unread, now=now)
    graphql = _api(snapshot.graphql, unread=Api.GRAPHQL in snapshot.unread, now=now)
    yield f"Machines API: {machines}"
    yield f"GraphQL: {'the same' if machines == graphql else graphql}"
    yield f"handshake: {_handshake(snapshot, now)}"


def _next_look(at: datetime | None, now: datetime) -> str:
    if at is None:
        return "no daemon has looked yet: `rotator run` does, a few times a day"
    if at <= now:
        return "a look of the daemon's is due: `rotator run` makes it"
    return f"the daemon looks next {from_now(at, now)}"


def _is_near(seen: Seen, now: datetime) -> bool:
    ends_at = seen.snapshot.ends_at
    return ends_at is not None and (ends_at - now).days <= seen.days


def _rank(seen: Seen) -> tuple[int, str, str]:
    worst = max((int(each.severity) for each in seen.findings), default=-1)
    return (-worst, seen.snapshot.app, seen.snapshot.hostname)


def _ends(at: datetime | None, now: datetime) -> str:
    return from_now(at, now).removeprefix("in ") if at is not None else "-"


def _issuer(snapshot: CertificateSnapshot) -> str:
    serving = snapshot.serving
    if not serving:
        return "-"
    imported = " (imported)" if snapshot.source is Source.CUSTOM else ""
    return (serving[0].issuer or "unknown") + imported


def _api(view: ApiView | None, *, unread: bool, now: datetime) -> str:
    if view is None:
        return "did not answer" if unread else "has it not"
    ends = min((each.expires_at for each in view.issued), default=None)
    told = "nothing issued" if ends is None else f"ends {from_now(ends, now)}"
    return f"{told}, DNS {'right' if view.configured else 'wrong'}"


def _handshake(snapshot: CertificateSnapshot, now: datetime) -> str:
    shaken = snapshot.handshake
    if shaken is None:
        return "off"
    served = shaken.served
    if served is None:
        told = _REACHES.get(shaken.reach, shaken.reach.value)
        return f"{told}: {shaken.why}" if shaken.why else told
    if not covers(served.names, snapshot.hostname):
        verdict = "wrong name"
    elif shaken.chain_problem:
        verdict = "chain broken"
    else:
        verdict = "as Fly says" if is_as_issued(snapshot) else "another one"
    return f"{verdict}, ends {from_now(served.not_after, now)}, {shaken.version}"


def _summary(slug: str, seen: Sequence[Seen], now: datetime) -> str:
    count = Counter(state_of(each.snapshot, now, each.days) for each in seen)
    told = ", ".join(f"{count[state]} {state.value}" for state in CertificateState if count[state])
    hostnames = "1 hostname" if len(seen) == 1 else f"{len(seen)} hostnames"
    return f"{slug}: {hostnames}" + (f": {told}" if told else "")


def as_data(
    seen: Sequence[Seen],
    unread: Sequence[Unread],
    due: Mapping[str, datetime | None],
    now: datetime,
) -> object:
    """For scripts."""
    return {
        "at": now,
        "certificates": [_data(each, now) for each in seen],
        "unread": list(unread),
        "next_looks": due,
    }


def _data(seen: Seen, now: datetime) -> dict[str, object]:
    snapshot = seen.snapshot
    ends_at = snapshot.ends_at
    return {
        "organization": snapshot.organization,
        "app": snapshot.app,
        "hostname": snapshot.hostname,
        "state": state_of(snapshot, now, seen.days),
        "source": snapshot.source,
        "issuer": snapshot.serving[0].issuer if snapshot.serving else None,
        "ends_at": ends_at,
        "ends_in": rough_duration(ends_at - now) if ends_at is not None and ends_at > now else None,
        "machines_api": snapshot.machines,
        "graphql": snapshot.graphql,
        "did_not_answer": sorted(snapshot.unread),
        "disagreements": disagreements(snapshot, now),
        "handshake": snapshot.handshake,
        "as_issued": is_as_issued(snapshot),
        "alarm": seen.alarm,
        "findings": [
            {
                "rule": each.rule.id,
                "severity": each.severity.word,
                "message": each.message,
                "mend": each.mend,
            }
            for each in seen.findings
        ],
        "recheck": {
            "due": seen.recheck.due,
            "at": seen.recheck.at,
            "why": seen.recheck.why,
        },
    }
