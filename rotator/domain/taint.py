"""What else is lost when a credential has leaked, and in which order it is replaced. Pure.

Whoever holds a token that may change an app, or log in to it, can read what the app's machines
read: every app secret in it, and so every credential that is delivered there. What cannot be seen
from here (a password behind an app, a database) is declared: `derived_from`.

The order matters: as long as an upper credential is good, its thief can read the new value of a
lower one as well. So each wave begins when the one before has replaced and revoked its values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.rotation import Actor


@dataclass(frozen=True)
class Reach:
    """What the holder of a credential can get at: the values that these apps read, all of the
    organisation's where `every_app`."""

    apps: frozenset[str] = frozenset()
    every_app: bool = False


@dataclass(frozen=True)
class Suspect:
    """A credential that has to be thought lost. `wave` 0 is the one that leaked; `because` says how
    its value could be had; `obstacle` is why rotator will not replace it."""

    credential: Credential
    wave: int
    because: str
    obstacle: str | None = None


class TaintState(StrEnum):
    """How far the replacement of one credential has come."""

    WAITING = "waiting"
    ASKED = "asked"
    DONE = "done"
    LEFT_OUT = "left-out"


@dataclass(frozen=True)
class Taint:
    """One credential of one taint, as it is kept. `id` is the taint's, shared by all of them."""

    id: str
    credential_id: str
    position: int
    wave: int
    because: str
    state: TaintState
    rotation_id: str | None
    actor: Actor
    reason: str
    asked_at: datetime
    ended_at: datetime | None = None


def suspects(
    leaked: Credential,
    credentials: Sequence[Credential],
    reach: Callable[[Credential], Reach],
) -> tuple[Suspect, ...]:
    """The leaked credential and all that follows from it, wave by wave, each once, by the shortest
    way to it."""
    managed = [c for c in credentials if c.status is CredentialStatus.MANAGED and c.id != leaked.id]
    found = [_suspect(leaked, 0, "it is assumed to have leaked")]
    frontier = [leaked]
    known = {leaked.id}
    wave = 1
    while frontier:
        following: dict[str, Suspect] = {}
        for upper in frontier:
            for lower, because in _below(upper, managed, reach(upper)):
                if lower.id not in known and lower.id not in following:
                    following[lower.id] = _suspect(lower, wave, because)
        known |= following.keys()
        found += sorted(following.values(), key=lambda each: each.credential.name)
        frontier = [each.credential for each in following.values()]
        wave += 1
    return tuple(found)


def _below(
    upper: Credential, credentials: Sequence[Credential], reach: Reach
) -> Sequence[tuple[Credential, str]]:
    """What the holder of one credential can get at directly, and how."""
    found = []
    for lower in credentials:
        if upper.name in lower.spec.derived_from:
            found.append((lower, f"it comes from {upper.name} (derived_from)"))
            continue
        if lower.spec.organization != upper.spec.organization:
            continue
        for target in lower.spec.targets:
            if target.app is not None and (reach.every_app or target.app in reach.apps):
                how = f"whoever holds {upper.name} can read {target.key}"
                found.append((lower, how))
                break
    return found


def _suspect(credential: Credential, wave: int, because: str) -> Suspect:
    obstacle = None
    if credential.status is not CredentialStatus.MANAGED:
        obstacle = "the manifest no longer names it"
    elif credential.spec.observed:
        obstacle = "it is only observed"
    return Suspect(credential, wave, because, obstacle)


def next_wave(
    taints: Sequence[Taint], ended: Mapping[str, bool]
) -> tuple[Sequence[Taint], Sequence[Taint]]:
    """Of one taint: those whose rotation has succeeded since, and those that may be asked for now.

    `ended` tells of rotations by id whether they have succeeded. A wave begins when everything
    before it is done or left out; one that was rolled back or parked holds up what is below it.
    """
    done = [t for t in taints if t.state is TaintState.ASKED and ended.get(t.rotation_id or "")]
    open_waves = {
        t.wave
        for t in taints
        if t.state in (TaintState.WAITING, TaintState.ASKED) and t not in done
    }
    first = min(open_waves, default=None)
    ready = [t for t in taints if t.state is TaintState.WAITING and t.wave == first]
    return done, ready
