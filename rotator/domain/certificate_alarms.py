"""When a certificate's end has to be told, and when Fly is asked to look at it again. Pure.

Fly renews its own certificates by itself; what is told is a renewal that did not come. Nobody
renews an imported one but whoever imported it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.durations import format_duration, rough_duration
from rotator.domain.posture.certificate import (
    CertificateSnapshot,
    CertificateState,
    Source,
    is_as_issued,
    just_renewed,
    missing_records,
)

STAGES: Final = (
    timedelta(0),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=14),
    timedelta(days=30),
)
"""How long before its end a certificate is told, once each."""
RENEWAL: Final = timedelta(days=30)
"""Fly renews about so long before the end; what lives less than 90 days, in its last third."""
GRACE: Final = timedelta(days=2)
"""A renewal that is not later than this is no news."""
PAUSES: Final = tuple(timedelta(hours=hours) for hours in (1, 6, 24, 24, 48, 72))
"""Between the first re-check of an end and the second, and so on; the last one repeats."""
MOST_CHECKS: Final = 20
"""So many re-checks of one end are asked for, the last ones weeks after it. Whoever wants more has
to mend something first."""
MOST_CHECKS_A_DAY: Final = 3
"""Of one hostname. Let's Encrypt allows five failed validations an hour, and Fly tries too."""
MOST_CHECKS_A_DAY_IN_ALL: Final = 20
"""Of an organisation."""
DAY: Final = timedelta(days=1)


SERVED_STAGES: Final = STAGES[:4]
"""Those of a certificate that is served and that Fly does not have: who renews it, and when, nobody
tells, so it is told later."""


@dataclass(frozen=True)
class CertificateAlarm:
    """One alarm, told once for each `stage`; `command` is what helps. `served` says that it is
    about what a handshake showed, and not about what Fly has."""

    state: CertificateState
    stage: str
    sentence: str
    command: str
    ends_at: datetime
    served: bool = False


def alarm_of(snapshot: CertificateSnapshot, now: datetime) -> CertificateAlarm | None:
    """The alarm that stands, if any: of what Fly has, or of what is served and ends earlier."""
    found = [each for each in (_of_fly(snapshot, now), _of_served(snapshot, now)) if each]
    return min(found, key=lambda each: each.ends_at, default=None)


def _of_fly(snapshot: CertificateSnapshot, now: datetime) -> CertificateAlarm | None:
    ends_at = snapshot.ends_at
    if ends_at is None or not is_late(snapshot, now):
        return None
    whose = "the imported certificate" if snapshot.source is Source.CUSTOM else "the certificate"
    name, nobody = f"{whose} of {snapshot.hostname}", _nobody(snapshot)
    state, stage, when = _nearness(ends_at, now, STAGES)
    return CertificateAlarm(
        state, stage, f"{name} {when}, and {nobody}", mend_of(snapshot), ends_at
    )


def _of_served(snapshot: CertificateSnapshot, now: datetime) -> CertificateAlarm | None:
    """Visitors see one that Fly does not have: of a proxy, of another host, or an old one."""
    shaken = snapshot.handshake
    if shaken is None or shaken.served is None or just_renewed(snapshot, now):
        return None
    ends_at = shaken.served.not_after
    if is_as_issued(snapshot) is not False or ends_at - now > SERVED_STAGES[-1]:
        return None
    state, stage, when = _nearness(ends_at, now, SERVED_STAGES)
    sentence = (
        f"the certificate that {shaken.address} serves for {snapshot.hostname} {when}, and it is "
        f"none that Fly has: {shaken.served.issuer} issued it"
    )
    command = f"fly certs setup {snapshot.hostname} --app {snapshot.app}"
    return CertificateAlarm(state, f"{stage} served", sentence, command, ends_at, served=True)


def _nearness(
    ends_at: datetime, now: datetime, stages: Sequence[timedelta]
) -> tuple[CertificateState, str, str]:
    """State and stage of an end that is within the longest stage, and how far it is in words."""
    left = ends_at - now
    stage = f"{end_key(ends_at)} {format_duration(next(s for s in stages if left <= s))}"
    if left <= timedelta(0):
        return CertificateState.EXPIRED, stage, f"expired {rough_duration(left)} ago"
    return CertificateState.EXPIRING, stage, f"expires in {rough_duration(left)}"


def end_key(ends_at: datetime) -> str:
    """What names an end in events: a renewed certificate has another one."""
    return f"{ends_at:%Y-%m-%d}"


def is_late(snapshot: CertificateSnapshot, now: datetime) -> bool:
    """Whether it should have been renewed by now."""
    ends_at = snapshot.ends_at
    if ends_at is None:
        return False
    if snapshot.source is Source.CUSTOM:
        return ends_at - now <= RENEWAL
    window = min(RENEWAL, _life(snapshot) / 3)
    return ends_at - now <= window - min(GRACE, window / 5)


def _life(snapshot: CertificateSnapshot) -> timedelta:
    """How long the certificate lives in all; only the certificate itself tells."""
    shaken = snapshot.handshake
    if shaken is not None and shaken.served is not None and is_as_issued(snapshot):
        return shaken.served.life
    return 3 * RENEWAL


def _nobody(snapshot: CertificateSnapshot) -> str:
    if snapshot.source is Source.CUSTOM:
        return "nobody has imported the next one"
    problems = snapshot.problems
    if problems:
        return f"Fly can't renew it: {problems[0].message.rstrip('.')}"
    return "Fly has not renewed it"


def mend_of(snapshot: CertificateSnapshot) -> str:
    """The command or record that helps."""
    host, app = snapshot.hostname, snapshot.app
    if snapshot.source is Source.CUSTOM:
        return f"fly certs import {host} --app {app} --fullchain FILE --private-key FILE"
    records = missing_records(snapshot)
    check = f"fly certs check {host} --app {app}"
    return f"set {'; '.join(records)}; then {check}" if records else check


@dataclass(frozen=True)
class Recheck:
    """Whether Fly is asked now, else when at the earliest (None: not by itself), and why."""

    due: bool
    at: datetime | None
    why: str


def next_recheck(
    snapshot: CertificateSnapshot, tries: Sequence[datetime], now: datetime, days: int
) -> Recheck:
    """What becomes of a re-check, given when Fly was asked about this very end before.

    `days` before the end a renewal is late enough to ask.
    """
    ends_at = snapshot.ends_at
    if ends_at is None or snapshot.source is Source.CUSTOM or not snapshot.requested:
        return Recheck(due=False, at=None, why="there is nothing that Fly could renew")
    begins_at = ends_at - timedelta(days=days)
    if now < begins_at or not is_late(snapshot, now):
        return Recheck(due=False, at=max(begins_at, now), why="its renewal is not late")
    if len(tries) >= MOST_CHECKS:
        return Recheck(due=False, at=None, why=f"Fly was asked {len(tries)} times for this end")
    at = max((begins_at, *_earliest(snapshot, tries)))
    if at > now:
        return Recheck(due=False, at=at, why="it waits between two tries")
    return Recheck(due=True, at=now, why="its renewal is late")


def _earliest(snapshot: CertificateSnapshot, tries: Sequence[datetime]) -> list[datetime]:
    found = []
    if snapshot.rate_limited_until is not None:
        found.append(snapshot.rate_limited_until)
    if tries:
        newest = sorted(tries, reverse=True)
        found.append(newest[0] + PAUSES[min(len(tries), len(PAUSES)) - 1])
        if len(newest) >= MOST_CHECKS_A_DAY:
            found.append(newest[MOST_CHECKS_A_DAY - 1] + DAY)
    return found
