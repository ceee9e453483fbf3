"""What stands in an organisation, tracked or not, and how bad a leak of each thing would be. Pure.

A list tells neither who uses a thing nor when it was last used, so risks are of what it may do,
how long it goes on working, how old it is, and whether anybody replaces it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from rotator.domain.durations import rough_duration
from rotator.domain.risk import Risk, RiskReason

OLD: Final = timedelta(days=90)
VERY_OLD: Final = timedelta(days=365)
LONG_LIFE: Final = timedelta(days=90)
VERY_LONG_LIFE: Final = timedelta(days=365)
SOON: Final = timedelta(days=7)
UNRENEWED: Final = timedelta(days=14)
"""Fly renews certificates by itself, about a month before they end. One this near was not."""
ORGANIZATION_PROFILE: Final = "deploy_organization"
APP_PROFILE: Final = "deploy"
MARK: Final = re.compile(r"(?P<base>.+)-[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{26}")
"""A name that carries the id of a rotation of some rotator."""
_TOKEN_NAMES: Final = re.compile(r"FLY_(API|ACCESS)_TOKEN|(^|_)(TOKEN|PAT)$")


class Thing(StrEnum):
    """What kinds of things are looked for."""

    TOKEN = "token"  # noqa: S105 - a word of the manifest
    SECRET = "secret"  # noqa: S105
    PEER = "wireguard-peer"
    CERTIFICATE = "certificate"


@dataclass(frozen=True)
class Found:
    """One thing as a list shows it; no value is in it.

    `at` is when it was made or last set, None where Fly does not tell. `ref` is the issuer's id.
    `state` is Fly's word for a certificate; `digest` is opaque and says which values are equal.
    """

    thing: Thing
    name: str
    organization: str
    app: str | None = None
    ref: str = ""
    at: datetime | None = None
    expires_at: datetime | None = None
    creator: str = ""
    profile: str = ""
    region: str = ""
    digest: str = ""
    state: str = ""

    @property
    def key(self) -> str:
        """How it is named at the command line: `token:web/ci`, `secret:web/KEY`."""
        place = f"{self.app}/" if self.app and self.thing is not Thing.CERTIFICATE else ""
        return f"{self.thing.value}:{place}{self.name}"

    @property
    def base_name(self) -> str:
        """Its name without the id of a rotation."""
        marked = MARK.fullmatch(self.name)
        return marked["base"] if marked else self.name


@dataclass(frozen=True)
class Assessed:
    """A thing, the credential that tracks it, and its risk with the reasons, the worst first."""

    found: Found
    tracked: str | None
    reasons: tuple[RiskReason, ...]

    @property
    def risk(self) -> Risk:
        """The worst of the reasons."""
        return max((reason.risk for reason in self.reasons), default=Risk.NOTE)


@dataclass(frozen=True)
class Surveyed:
    """All that an organisation holds. `missing` says what could not be read, a sentence each."""

    found: tuple[Found, ...]
    missing: tuple[str, ...] = ()


class Survey(Protocol):
    """Reads what organisations hold, in as few calls as the API allows. Changes nothing."""

    async def organizations(self) -> Sequence[str]:
        """The slugs of those that the API token can see."""
        ...

    async def look(self, organization: str, told: Callable[[int, int], None]) -> Surveyed:
        """Everything that lives in one. `told` hears how many of how many apps are read."""
        ...


def assess(
    found: Sequence[Found], tracked: Callable[[Found], str | None], now: datetime
) -> tuple[Assessed, ...]:
    """Rank what was found: the worst first, then what ends first, then by name."""
    namesakes = Counter(each.key for each in found if each.thing is Thing.TOKEN)
    digests: dict[str, list[str]] = {}
    for each in found:
        if each.digest:
            digests.setdefault(each.digest, []).append(each.key)
    assessed = []
    for each in found:
        by = tracked(each)
        reasons = [
            *_reasons(each, now, tracked=by is not None),
            *_company(each, namesakes[each.key], digests.get(each.digest, ()), by is not None),
        ]
        assessed.append(Assessed(each, by, tuple(sorted(reasons, key=lambda r: -r.risk))))
    far = datetime.max.replace(tzinfo=now.tzinfo)
    return tuple(sorted(assessed, key=lambda a: (-a.risk, a.found.expires_at or far, a.found.key)))


def _reasons(found: Found, now: datetime, *, tracked: bool) -> Iterator[RiskReason]:
    match found.thing:
        case Thing.TOKEN:
            yield from _of_token(found, now, tracked=tracked)
        case Thing.SECRET:
            yield from _of_secret(found, now, tracked=tracked)
        case Thing.PEER:
            yield from _of_peer(found, tracked=tracked)
        case Thing.CERTIFICATE:
            yield from _of_certificate(found, now)


def _of_token(found: Found, now: datetime, *, tracked: bool) -> Iterator[RiskReason]:
    if found.profile == ORGANIZATION_PROFILE:
        text = "it may change every app of the organisation, unless it was narrowed: no list tells"
        forever = found.expires_at is not None and found.expires_at - now > VERY_LONG_LIFE
        risk = Risk.CRITICAL if forever and not tracked else Risk.HIGH
        yield RiskReason(risk, "org-wide", text)
    elif found.profile != APP_PROFILE:
        text = f"rotator does not know its profile {found.profile!r}"
        yield RiskReason(Risk.MEDIUM, "unknown-profile", text)
    if found.expires_at is not None:
        yield from _of_life(found.expires_at - now, tracked=tracked)
    if tracked:
        return
    if MARK.fullmatch(found.name):
        text = "it carries the mark of a rotator, and none of this inventory's rotations made it"
        yield RiskReason(Risk.MEDIUM, "leftover", text)
    yield from _of_age(found, now, "made")
    yield RiskReason(Risk.LOW, "untracked", "nobody replaces it by schedule")


def _of_life(left: timedelta, *, tracked: bool) -> Iterator[RiskReason]:
    span = rough_duration(left) if left < 2 * VERY_LONG_LIFE else f"{left.days // 365} years"
    if left > VERY_LONG_LIFE:
        text = f"a copy that leaks today works for {span}"
        yield RiskReason(Risk.HIGH, "expiry-years-away", text)
    elif left > LONG_LIFE and not tracked:
        text = f"a copy that leaks today works for {span}"
        yield RiskReason(Risk.MEDIUM, "expiry-far-away", text)
    elif left <= SOON and not tracked:
        text = f"it expires in {span}: what uses it fails then"
        yield RiskReason(Risk.MEDIUM, "expires-soon", text)


def _of_age(found: Found, now: datetime, verb: str) -> Iterator[RiskReason]:
    if found.at is None:
        return
    age = now - found.at
    if age > VERY_OLD:
        text = f"it was {verb} {age.days // 365} years ago"
        if age < 2 * VERY_OLD:
            text = f"it was {verb} {rough_duration(age)} ago"
        yield RiskReason(Risk.MEDIUM, "very-old", text)
    elif age > OLD:
        yield RiskReason(Risk.LOW, "old", f"it was {verb} {rough_duration(age)} ago")


def _of_secret(found: Found, now: datetime, *, tracked: bool) -> Iterator[RiskReason]:
    if tracked:
        return
    if _TOKEN_NAMES.search(found.name):
        text = "by its name it holds a token, which nobody replaces by schedule"
        yield RiskReason(Risk.MEDIUM, "token-in-secret", text)
    yield from _of_age(found, now, "set")


def _of_peer(found: Found, *, tracked: bool) -> Iterator[RiskReason]:
    if tracked:
        return
    if found.name.startswith("interactive-"):
        text = "flyctl made it for a session; nothing removes such peers"
        yield RiskReason(Risk.MEDIUM, "session-peer", text)
    elif MARK.fullmatch(found.name):
        text = "it carries the mark of a rotator, and none of this inventory's rotations made it"
        yield RiskReason(Risk.MEDIUM, "leftover", text)
    text = "whoever holds its key is in the private network, and Fly tells neither age nor end"
    yield RiskReason(Risk.LOW, "peer-without-end", text)


def _of_certificate(found: Found, now: datetime) -> Iterator[RiskReason]:
    left = None if found.expires_at is None else found.expires_at - now
    if left is not None and left <= timedelta(0):
        yield RiskReason(Risk.HIGH, "expired", f"it expired {rough_duration(left)} ago")
    elif left is not None and left <= UNRENEWED:
        text = f"it expires in {rough_duration(left)}, and Fly has not renewed it"
        yield RiskReason(Risk.HIGH, "not-renewed", text)
    if found.state and found.state.lower() != "ready":
        text = f"Fly says {found.state!r}: look at its DNS, or it can't be renewed"
        yield RiskReason(Risk.MEDIUM, "not-configured", text)


def _company(
    found: Found, namesakes: int, equals: Iterable[str], tracked: bool
) -> Iterator[RiskReason]:
    """Reasons that lie in what else was found."""
    if namesakes > 1 and not tracked:
        text = f"{namesakes} tokens have this name: nobody can tell which one is in use"
        yield RiskReason(Risk.LOW, "namesakes", text)
    others = sorted(set(equals) - {found.key})
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        yield RiskReason(Risk.LOW, "shared-value", f"the same value stands at {shown}")
