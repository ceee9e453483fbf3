"""Replace all that an attacker could have taken: queue it, in order, and take up what was left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.ports import Unit
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import ACTIVE, Mode, Rotation, RotationState
from rotator.domain.sweep import Scope, ordered
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, queue

_CHUNK: Final = 100
"""How many rotations are queued in one transaction."""
_MANY: Final = 100_000
_OPEN: Final = ACTIVE | {RotationState.RETIRING}


@dataclass(frozen=True)
class Sweep:
    """A sweep as it stands: its rotations in order, those of other reasons that have to end first,
    and the names of those that a parked rotation keeps from being replaced."""

    scope: Scope
    asked_at: datetime
    resumed: bool
    rotations: tuple[Rotation, ...] = ()
    late: tuple[Rotation, ...] = ()
    blocked: tuple[str, ...] = ()


async def in_scope(parts: Parts, scope: Scope) -> Sequence[Credential]:
    """What would be replaced, in order."""
    async with parts.store.view() as unit:
        managed = await unit.credentials(status=CredentialStatus.MANAGED)
    return ordered(c for c in managed if scope.holds(c.spec))


async def unfinished(parts: Parts, scope: Scope) -> datetime | None:
    """When the newest sweep of this scope was asked for, if it has not ended."""
    ids = {c.id for c in await in_scope(parts, scope)}
    async with parts.store.view() as unit:
        found = await unit.rotations(states=_OPEN, limit=_MANY)
    times = [
        r.requested_at
        for r in found
        if r.reason_code == ReasonCode.SWEEP.value and r.credential_id in ids
    ]
    return max(times, default=None)


async def begin(
    parts: Parts, scope: Scope, reason: str, mode: Mode, *, leaked: str | None = None
) -> Sweep:
    """Queue a rotation of everything in the scope, or join the sweep that is not finished.

    The credential named as leaked comes first, and its value is revoked before a new one is
    delivered. Queued are a hundred at a time: what a crash keeps from being queued is found
    missing when the sweep is begun again.
    """
    left = await unfinished(parts, scope)
    asked_at = left or parts.clock.now()
    sweep = Sweep(scope, asked_at, resumed=left is not None)
    chosen = sorted(await in_scope(parts, scope), key=lambda c: c.name != leaked)
    wish = Wish(parts.actor, reason, ReasonCode.SWEEP.value, mode, asked_at)
    for begin_at in range(0, len(chosen), _CHUNK):
        async with parts.store.unit() as unit:
            for credential in chosen[begin_at : begin_at + _CHUNK]:
                first = mode if credential.name != leaked else Mode.REVOKE_FIRST
                asked = replace(wish, mode=first)
                sweep = await _added(parts, unit, sweep, credential, asked)
    return sweep


async def ask_late(parts: Parts, sweep: Sweep, reason: str, mode: Mode) -> Sweep:
    """Try once more to queue those whose own rotation had to end first."""
    wish = Wish(parts.actor, reason, ReasonCode.SWEEP.value, mode, sweep.asked_at)
    waiting, sweep = sweep.late, replace(sweep, late=())
    for before in waiting:
        async with parts.store.unit() as unit:
            credential = await unit.credential_by_id(before.credential_id)
            if credential.status is CredentialStatus.MANAGED:
                sweep = await _added(parts, unit, sweep, credential, wish)
    return sweep


async def _added(
    parts: Parts, unit: Unit, sweep: Sweep, credential: Credential, wish: Wish
) -> Sweep:
    newest = await unit.rotations(credential_id=credential.id, limit=1)
    rotation = newest[0] if newest else None
    if rotation is not None and belongs(rotation, sweep.asked_at):
        return replace(sweep, rotations=(*sweep.rotations, rotation))
    if rotation is not None and rotation.state is RotationState.PARKED:
        return replace(sweep, blocked=(*sweep.blocked, credential.name))
    if rotation is not None and rotation.state in ACTIVE:
        return replace(sweep, late=(*sweep.late, rotation))
    queued = await queue(parts, unit, credential, wish)
    return replace(sweep, rotations=(*sweep.rotations, queued))


def belongs(rotation: Rotation, asked_at: datetime) -> bool:
    """Whether a rotation is of the sweep that was asked for at this instant."""
    return rotation.reason_code == ReasonCode.SWEEP.value and rotation.requested_at == asked_at
