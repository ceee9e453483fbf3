"""How much harm a leaked token could do: warnings, the worst first, each with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.durations import rough_duration
from rotator.domain.risk import Risk
from rotator.fly.bundle import Bundle, Form
from rotator.fly.inspection import Reading, makes_tokens

LONG_LIFE: Final = timedelta(days=90)
"""Longer than most policies let a credential live; rotator's default schedule is 30 days."""
VERY_LONG_LIFE: Final = timedelta(days=365)
SOON: Final = timedelta(days=7)
_DANGEROUS: Final = ("membership", "billing", "deletion", "authentication")


@dataclass(frozen=True)
class RiskWarning:
    """One thing to know. `code` is for scripts and stays the same."""

    risk: Risk
    code: str
    text: str
    advice: str = ""


def warnings_of(
    bundle: Bundle, readings: Iterable[Reading], now: datetime, *, in_ci: bool
) -> list[RiskWarning]:
    """All warnings, the worst first, none twice."""
    found = list(_of_members(bundle))
    listed = list(readings)
    for reading in listed:
        found += [*_of_scope(reading, in_ci=in_ci), *_of_life(reading, now), *_of_form(reading)]
    if len({reading.lineage for reading in listed}) > 1:
        text = "it holds tokens of several origins; any one of them is enough for a request"
        found.append(RiskWarning(Risk.NOTE, "several-tokens", text))
    return sorted(dict.fromkeys(found), key=lambda warning: -warning.risk)


def _of_members(bundle: Bundle) -> Iterator[RiskWarning]:
    for member in bundle.members:
        where = f"member {member.place}" if len(bundle.members) > 1 else "it"
        match member.form:
            case Form.PERSONAL | Form.LEGACY:
                yield RiskWarning(
                    Risk.CRITICAL,
                    "personal-token",
                    f"{where} {'is' if member.form is Form.PERSONAL else 'looks like'} a personal "
                    "token: it acts as that person in every organisation, without a limit or an "
                    "end that could be read",
                    "revoke it and use a deploy token; `fly auth token` is for people",
                )
            case Form.DAMAGED:
                yield RiskWarning(
                    Risk.MEDIUM,
                    "damaged",
                    f"{where} can't be read: {member.fault}",
                    "copy it again; Fly would refuse it like a revoked one",
                )
            case Form.FUTURE:
                text = f"{where} is of a newer form than this rotator knows"
                yield RiskWarning(Risk.MEDIUM, "unknown-form", text, "look for a newer rotator")
            case Form.JWT:
                yield RiskWarning(Risk.NOTE, "jwt", f"{where} is a JWT and no token for Fly's API")
            case Form.UNKNOWN:
                yield RiskWarning(
                    Risk.NOTE, "no-token", f"{where} is no token that Fly is known for"
                )
            case Form.FOREIGN:
                text = f"{where} is a macaroon of another issuer than Fly's API"
                yield RiskWarning(Risk.NOTE, "foreign", text)
            case _:
                continue


def _of_scope(reading: Reading, *, in_ci: bool) -> Iterator[RiskWarning]:
    changes = set(reading.rights.other_apps) - {"r"}
    if not reading.organizations or 0 in reading.organizations:
        text = "it is not limited to an organisation"
        yield RiskWarning(Risk.CRITICAL, "no-organisation", text, "make a new one; Fly's own are")
    if changes:
        where = "it may change every app of the organisation"
        yield RiskWarning(
            Risk.CRITICAL if in_ci else Risk.HIGH,
            "org-wide-in-ci" if in_ci else "org-wide",
            f"{where}, and it is in CI" if in_ci else where,
            'use a deploy token for each app, or `narrow = { apps = ["web"] }`',
        )
    elif reading.rights.other_apps:
        text = "it may read every app of the organisation"
        yield RiskWarning(Risk.MEDIUM, "org-wide-read", text, 'narrow = { apps = ["web"] }')
    if makes_tokens(reading.rights):
        text = "it may make new tokens, and those stay when this one is revoked"
        yield RiskWarning(Risk.HIGH, "makes-tokens", text, "after a leak, look through the list")
    reached = [each for each in _DANGEROUS if set(reading.rights.features[each]) - {"r"}]
    if reached:
        text = f"it may change the organisation's {', '.join(reached)}"
        yield RiskWarning(Risk.HIGH, "administers", text, "no automation needs that")
    if not reading.narrowed:
        risk = Risk.MEDIUM if changes else Risk.LOW
        text = "nothing shows that it was ever narrowed: it may do all that it was issued for"
        yield RiskWarning(risk, "never-narrowed", text, 'for example: narrow = { actions = "r" }')
    if reading.source is None and reading.rights.any_command:
        text = "it works from anywhere, and may run any command in machines"
        yield RiskWarning(
            Risk.LOW, "unbound", text, 'where its user runs on Fly: bind = { app = "…" }'
        )


def _of_life(reading: Reading, now: datetime) -> Iterator[RiskWarning]:
    ends, begins = reading.usable_until, reading.not_before
    if ends is None:
        text = "it never expires"
        yield RiskWarning(Risk.HIGH, "never-expires", text, "let rotator replace it")
        return
    left = ends - now
    span = rough_duration(left) if left < 2 * VERY_LONG_LIFE else f"{left.days // 365} years"
    if left <= timedelta(0):
        text = f"it expired {rough_duration(left)} ago: Fly refuses it"
        yield RiskWarning(Risk.NOTE, "expired", text)
    elif left > VERY_LONG_LIFE:
        text = f"it expires in {span}: a copy that leaks today works until then"
        yield RiskWarning(Risk.HIGH, "expiry-years-away", text, "let rotator replace it every 30d")
    elif left > LONG_LIFE:
        text = f"it expires in {span}"
        yield RiskWarning(Risk.MEDIUM, "expiry-far-away", text, "let rotator replace it every 30d")
    elif left <= SOON:
        yield RiskWarning(Risk.MEDIUM, "expires-soon", f"it expires in {span}", "replace it now")
    if begins is not None and begins > now:
        yield RiskWarning(
            Risk.NOTE, "not-yet-valid", f"it begins in {rough_duration(begins - now)}"
        )


def _of_form(reading: Reading) -> Iterator[RiskWarning]:
    for party in reading.third_parties:
        if not party.discharged:
            text = f"it does not work without the word of {party.location}, which is not with it"
            yield RiskWarning(Risk.MEDIUM, "undischarged", text, "copy all of it, commas included")
    for problem in reading.problems:
        yield RiskWarning(Risk.LOW, "irregular", problem)
