"""Assume that a credential has leaked: replace it and all that follows from it, wave by wave."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rotator.domain.credential import Credential
from rotator.domain.errors import Busy, InputError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Reaching, Unit
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Actor, Mode, Rotation, RotationState
from rotator.domain.taint import Reach, Suspect, Taint, TaintState, next_wave, suspects
from rotator.engine.inventory import credential_event
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, queue

_log = logging.getLogger(__name__)
_SUCCEEDED = frozenset({RotationState.SUCCEEDED})


@dataclass(frozen=True)
class Standing:
    """One credential of an open taint, for people."""

    taint: Taint
    credential: Credential


async def suspects_of(parts: Parts, name: str) -> Sequence[Suspect]:
    """What has to be thought lost with a credential. Reads the inventory only.

    Raises:
        InputError: there is no such credential.
    """
    async with parts.store.view() as unit:
        return await _suspects(parts, unit, name)


async def _suspects(parts: Parts, unit: Unit, name: str) -> Sequence[Suspect]:
    credentials = await unit.credentials()
    leaked = next((c for c in credentials if c.name == name), None)
    if leaked is None:
        raise InputError(
            f"there is no credential {name!r}", next_step="`rotator list` shows what is tracked"
        )

    def reach(credential: Credential) -> Reach:
        kind = parts.kinds.get(credential.spec.kind)
        return kind.reach(credential.spec) if isinstance(kind, Reaching) else Reach()

    return suspects(leaked, credentials, reach)


async def taint(parts: Parts, name: str, actor: Actor, reason: str) -> Sequence[Suspect]:
    """Keep that a credential is assumed to have leaked, with all that follows from it. They are
    rotated by `advance_taints`.

    Raises:
        InputError: there is no such credential, or it is tainted already.
    """
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        found = await _suspects(parts, unit, name)
        for known in await unit.open_taints():
            if known.wave == 0 and known.credential_id == found[0].credential.id:
                raise InputError(
                    f"{name} is tainted already, by {known.actor} at {known.asked_at:%F %T}Z",
                    next_step="`rotator taint` tells how far its replacement has come",
                )
        taint_id = parts.new_id()
        for position, suspect in enumerate(found):
            left_out = suspect.obstacle is not None
            kept = Taint(
                id=taint_id,
                credential_id=suspect.credential.id,
                position=position,
                wave=suspect.wave,
                because=suspect.because,
                state=TaintState.LEFT_OUT if left_out else TaintState.WAITING,
                rotation_id=None,
                actor=actor,
                reason=reason,
                asked_at=now,
                ended_at=now if left_out else None,
            )
            await unit.save_taint(kept)
            await unit.append(_tainted(parts, suspect, kept, name))
    return found


def _tainted(parts: Parts, suspect: Suspect, kept: Taint, leaked: str) -> Event:
    event = credential_event(
        parts,
        suspect.credential,
        Action.CREDENTIAL_TAINTED,
        kept.asked_at,
        taint=kept.id,
        leaked=leaked,
        wave=str(suspect.wave),
        why=suspect.obstacle or suspect.because,
    )
    outcome = Outcome.FAILED if suspect.obstacle else Outcome.INTENT
    return replace(event, actor=kept.actor, reason=kept.reason, outcome=outcome)


async def advance_taints(parts: Parts) -> Sequence[Rotation]:
    """Ask for the next rotations of every open taint: those of a wave whose upper waves are done.

    One that was rolled back or parked holds up what is below it, until some later rotation of the
    credential succeeds. Costs nothing where no taint is open.
    """
    async with parts.store.view() as unit:
        rows = await unit.open_taints()
        succeeded = {row: await _succeeded(unit, row) for row in rows}
    asked: list[Rotation] = []
    now = parts.clock.now()
    for taint_id in dict.fromkeys(row.id for row in rows):
        own = [row for row in rows if row.id == taint_id]
        ended = {row.rotation_id or "": succeeded[row] for row in own}
        done, ready = next_wave(own, ended)
        async with parts.store.unit() as unit:
            for row in done:
                await unit.save_taint(replace(row, state=TaintState.DONE, ended_at=now))
        for row in ready:
            rotation = await _ask(parts, row)
            asked += [rotation] if rotation is not None else []
    return asked


async def _succeeded(unit: Unit, row: Taint) -> bool:
    """Whether a rotation that was asked for since has replaced the value and revoked the old."""
    newest = await unit.rotations(credential_id=row.credential_id, states=_SUCCEEDED, limit=1)
    return any(rotation.requested_at >= row.asked_at for rotation in newest)


async def _ask(parts: Parts, row: Taint) -> Rotation | None:
    """Queue the rotation of one credential, if nothing is in its way now."""
    reason = f"{row.because}: {row.reason}" if row.reason else row.because
    wish = Wish(row.actor, reason, ReasonCode.TAINTED.value, Mode.EMERGENCY)
    try:
        async with parts.store.unit() as unit:
            credential = await unit.credential_by_id(row.credential_id)
            rotation = await queue(parts, unit, credential, wish)
            asked = replace(row, state=TaintState.ASKED, rotation_id=rotation.id)
            await unit.save_taint(asked)
            return rotation
    except (Busy, InputError) as error:
        _log.info("%s is tainted but can't be rotated now: %s", row.credential_id, error)
        return None


async def standing_taints(parts: Parts) -> Sequence[Standing]:
    """Everything that belongs to an open taint, in order."""
    async with parts.store.view() as unit:
        return [
            Standing(row, await unit.credential_by_id(row.credential_id))
            for row in await unit.open_taints()
        ]
