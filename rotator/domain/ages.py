"""How old the values in use are, held against what their policies allow. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.credential import Credential
from rotator.domain.due import LATE
from rotator.domain.durations import format_duration
from rotator.domain.events import Action, LoggedEvent
from rotator.domain.policy import Policy
from rotator.domain.schedule import next_due

LIFE_ACTIONS: Final = "version,credential.added,credential.unmanaged"
"""What tells of a credential's life: which value came into use when, and who tracks it."""


class Standing(StrEnum):
    """How a value's age stands to its policy."""

    WITHIN = "within policy"
    OVER = "over its age"
    UNKNOWN = "age unknown"
    NO_VALUE = "no value"
    GONE = "gone at the issuer"
    BY_HAND = "by hand only"
    UNMANAGED = "unmanaged"


STANDINGS: Final = {
    Standing.WITHIN: "younger than its policy allows",
    Standing.OVER: "should have been replaced by then",
    Standing.UNKNOWN: "nobody knows when it was made: it was there before rotator",
    Standing.NO_VALUE: "nothing has been issued for it yet",
    Standing.GONE: "the issuer no longer held it",
    Standing.BY_HAND: "its policy has no schedule: people rotate it",
    Standing.UNMANAGED: "taken out of the manifest: neither rotated nor revoked",
}
EXCEPTIONS: Final = frozenset(Standing) - {Standing.WITHIN}


@dataclass(frozen=True)
class Life:
    """What the log tells of a credential up to a moment: the value in use, since when, and the
    event that says so."""

    version: str | None = None
    born: datetime | None = None
    adopted: bool = False
    gone: bool = False
    managed: bool = True
    evidence: int | None = None


@dataclass(frozen=True)
class AgeRow:
    """One credential at the end of the period. `limit` is the age at which its value is due."""

    credential: str
    kind: str
    organization: str
    apps: tuple[str, ...]
    owner: str | None
    policy: str
    standing: Standing
    born: datetime | None
    age: timedelta | None
    limit: timedelta | None
    evidence: int | None

    @property
    def used(self) -> float | None:
        """The share of its limit that the value has used up."""
        if self.age is None or not self.limit:
            return None
        return self.age / self.limit

    @property
    def due_at(self) -> datetime | None:
        """When the policy wants the value replaced."""
        return self.born + self.limit if self.born is not None and self.limit is not None else None


def life_of(events: Iterable[LoggedEvent]) -> Life:
    """What happened to a credential, from its events, newest first."""
    reader = LifeReader()
    for logged in events:
        reader.add(logged)
    return reader.life


@dataclass
class LifeReader:
    """Takes up a credential's events one by one, newest first. `managed` is not known until one of
    them tells."""

    managed: bool | None = None
    _found: Life | None = None
    _gone: bool = False
    _discarded: set[str] = field(default_factory=set)

    def add(self, logged: LoggedEvent) -> None:
        """Take one up."""
        event = logged.event
        match event.action:
            case Action.CREDENTIAL_ADDED | Action.CREDENTIAL_UNMANAGED if self.managed is None:
                self.managed = event.action is Action.CREDENTIAL_ADDED
            case Action.VERSION_DISCARDED:
                self._discarded.add(event.detail.get("version", ""))
            case Action.VERSION_GONE if self._found is None:
                self._gone = True
            case Action.VERSION_PROMOTED | Action.VERSION_ADOPTED if self._found is None:
                if event.detail.get("version", "") not in self._discarded:
                    self._found = _in_use(logged)
            case _:
                pass

    @property
    def has_value(self) -> bool:
        """Whether the value in use was told of."""
        return self._found is not None

    @property
    def life(self) -> Life:
        """What was told."""
        managed = self.managed is not False
        return replace(self._found or Life(), gone=self._gone, managed=managed)


def _in_use(logged: LoggedEvent) -> Life:
    event = logged.event
    adopted = event.action is Action.VERSION_ADOPTED
    born = _moment(event.detail.get("created_at")) if adopted else event.at
    return Life(event.detail.get("version", ""), born, adopted, evidence=logged.sequence)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def age_row(credential: Credential, life: Life, at: datetime) -> AgeRow:
    """How a credential's value stands at a moment."""
    spec = credential.spec
    limit = _limit(credential, life)
    age = at - life.born if life.born is not None else None
    return AgeRow(
        credential=spec.name,
        kind=spec.kind,
        organization=spec.organization,
        apps=tuple(dict.fromkeys(t.app for t in spec.targets if t.app is not None)),
        owner=spec.owner,
        policy=policy_text(spec.policy),
        standing=_standing(life, age, limit, spec.policy),
        born=life.born,
        age=age,
        limit=limit,
        evidence=life.evidence,
    )


def _limit(credential: Credential, life: Life) -> timedelta | None:
    if life.born is None or life.version is None:
        return None
    due = next_due(credential.spec.policy, anchor=life.born, seed=credential.id + life.version)
    return due - life.born if due is not None else None


def _standing(
    life: Life, age: timedelta | None, limit: timedelta | None, policy: Policy
) -> Standing:
    if not life.managed:
        return Standing.UNMANAGED
    if life.version is None:
        return Standing.NO_VALUE
    if life.gone:
        return Standing.GONE
    if age is None:
        return Standing.UNKNOWN
    if not has_schedule(policy) or limit is None:
        return Standing.BY_HAND
    return Standing.OVER if age > limit + LATE else Standing.WITHIN


def has_schedule(policy: Policy) -> bool:
    """Whether a policy makes anything due by itself."""
    return policy.every is not None or policy.cron is not None or policy.max_age is not None


def policy_text(policy: Policy) -> str:
    """How often, in a few words."""
    told = []
    if policy.every is not None:
        told.append(f"every {format_duration(policy.every)}")
    if policy.cron is not None:
        zone = f" {policy.zone}" if policy.zone != "UTC" else ""
        told.append(f"cron {policy.cron}{zone}")
    if policy.max_age is not None:
        told.append(f"at most {format_duration(policy.max_age)}")
    return ", ".join(told) or "by hand"
