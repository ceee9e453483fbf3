"""Certificates as a table with what is wrong below it, and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.text import from_now, say, show
from rotator.domain.certificate_alarms import Recheck
from rotator.domain.durations import rough_duration
from rotator.domain.posture.certificate import (
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
from rotator.engine.certificates.look import Unread

if TYPE_CHECKING:
    from rich.table import Table

_STYLES: Final = {
    CertificateState.EXPIRED: "bold red",
    CertificateState.NOT_ISSUED: "bold red",
    CertificateState.EXPIRING: "bold red",
    CertificateState.MISCONFIGURED: "yellow",
    CertificateState.UNREAD: "yellow",
    CertificateState.GOOD: "green",
}
_REACHES: Final = {
    Reach.NOT_TRIED: "not tried",
    Reach.UNRESOLVED: "no address",
    Reach.FORBIDDEN: "not public",
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


def show_seen(
    seen: Sequence[Seen],
    organizations: Sequence[str],
    due: Mapping[str, datetime | None],
    now: datetime,
) -> None:
    """The table, what is wrong with each hostname and what helps, and a summary."""
    ordered = sorted(seen, key=_rank)
    if ordered:
        show(_table(ordered, now))
    for each in ordered:
        for finding in each.findings:
            say(f"! {finding.severity.word}: {finding.message}")
            say(f"  → {finding.mend}")
        if each.recheck.at is not None and _is_near(each, now):
            at = "at its next look" if each.recheck.due else from_now(each.recheck.at, now)
            say(f"  the daemon asks Fly to look at {each.snapshot.hostname} again {at}")
    for slug in organizations:
        say(_summary(slug, [each for each in seen if each.snapshot.organization == slug], now))
        say(f"  {_next_look(due.get(slug), now)}")


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


def _table(seen: Sequence[Seen], now: datetime) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("hostname", overflow="fold")
    table.add_column("app", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("issuer", overflow="fold")
    for column in ("ends", "Machines API", "GraphQL", "handshake"):
        table.add_column(column, overflow="fold")
    for each in seen:
        snapshot = each.snapshot
        state = state_of(snapshot, now, each.days)
        table.add_row(
            escape(snapshot.hostname),
            snapshot.app,
            f"[{_STYLES[state]}]{state.value}[/]",
            escape(_issuer(snapshot)),
            from_now(snapshot.ends_at, now).removeprefix("in ") if snapshot.ends_at else "-",
            _api(snapshot.machines, unread="Machines API" in snapshot.unread, now=now),
            _api(snapshot.graphql, unread="GraphQL" in snapshot.unread, now=now),
            escape(_handshake(snapshot, now)),
        )
    return table


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
    told = "nothing issued" if ends is None else from_now(ends, now).removeprefix("in ")
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
    left = from_now(served.not_after, now).removeprefix("in ")
    return f"{verdict}, {left}, {shaken.version}"


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
