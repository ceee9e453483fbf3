"""What a person has to know of a value's age and end: nobody is replacing it in time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.due import deadline_of
from rotator.domain.durations import format_duration, rough_duration

STAGES: Final = (
    timedelta(0),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=7),
    timedelta(days=14),
)
"""How long before its end an expiry is told, once each. Before the longest it is no alarm."""
LATE: Final = timedelta(hours=1)
"""A rotation that has been due for less than this is about to begin."""


class AlarmKind(StrEnum):
    """What can be wrong."""

    EXPIRED = "expired"
    EXPIRING = "expiring"
    TOO_OLD = "too-old"


@dataclass(frozen=True)
class Alarm:
    """One alarm. It is told once for each `stage`; `command` is what helps."""

    kind: AlarmKind
    stage: str
    sentence: str
    command: str


def alarms(credential: Credential, current: Version | None, now: datetime) -> tuple[Alarm, ...]:
    """The alarms of a credential, the worst first."""
    if current is None or credential.status is not CredentialStatus.MANAGED:
        return ()
    found = (_of_expiry(credential, current, now), _of_age(credential, current, now))
    return tuple(alarm for alarm in found if alarm is not None)


def _of_expiry(credential: Credential, current: Version, now: datetime) -> Alarm | None:
    expires_at = current.issued.expires_at if current.issued is not None else None
    if expires_at is None or expires_at - now > STAGES[-1]:
        return None
    left = expires_at - now
    stage = next(stage for stage in STAGES if left <= stage)
    told = f"{current.id} {format_duration(stage)}"
    if left <= timedelta(0):
        sentence = f"its value expired {rough_duration(left)} ago"
        return Alarm(AlarmKind.EXPIRED, told, sentence, _command(credential))
    if _in_hand(credential, current, now, expires_at):
        return None
    sentence = f"its value expires in {rough_duration(left)}, and {_nobody(credential)}"
    return Alarm(AlarmKind.EXPIRING, told, sentence, _command(credential))


def _in_hand(credential: Credential, current: Version, now: datetime, expires_at: datetime) -> bool:
    """Whether a rotation is planned that ends before the value does."""
    due_at = credential.due_at
    if credential.spec.observed or due_at is None or due_at + LATE < now:
        return False
    deadline = deadline_of(credential.spec.policy, current)
    return due_at <= (deadline if deadline is not None and deadline > now else expires_at)


def _of_age(credential: Credential, current: Version, now: datetime) -> Alarm | None:
    limit = credential.spec.policy.max_age
    born = current.promoted_at or (current.issued.created_at if current.issued else None)
    if limit is None or born is None or now - born <= limit + LATE:
        return None
    age = rough_duration(now - born)
    sentence = f"its value is {age} old, more than max_age allows, and {_nobody(credential)}"
    return Alarm(AlarmKind.TOO_OLD, current.id, sentence, _command(credential))


def _nobody(credential: Credential) -> str:
    if credential.spec.observed:
        return "it is only observed"
    return "its rotation has not come" if credential.due_at is not None else "no rotation is due"


def _command(credential: Credential) -> str:
    if credential.spec.observed:
        return "replace it where it is used, or let rotator do it"
    return f"rotator rotate now {credential.name}"
