"""Ask for rotations, and move one that waits for a person: rotate, retry, abort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.errors import Busy, InputError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Unit
from rotator.domain.protocol import (
    BACK,
    latest_pass,
    planned_steps,
    undo_obstacle,
    undo_steps,
    written_again,
)
from rotator.domain.rotation import (
    Actor,
    Mode,
    Rotation,
    RotationState,
    Step,
    StepName,
    StepState,
)
from rotator.domain.turning import state_resumed
from rotator.engine.drift import contest, contested_of
from rotator.engine.journal import planned_again, rotation_event
from rotator.engine.parts import Parts
from rotator.engine.step import version_of


@dataclass(frozen=True)
class Wish:
    """Why and how a credential shall be rotated. `asked_at` is given where several rotations are of
    one wish; they have it in common."""

    actor: Actor
    reason: str
    reason_code: str
    mode: Mode = Mode.NORMAL
    asked_at: datetime | None = None


async def request_rotation(parts: Parts, name: str, wish: Wish) -> Rotation:
    """Queue a rotation of one credential. Whoever claims it first runs it.

    Raises:
        InputError: no such credential, not managed, or parked and waiting for a person.
        Busy: a rotation of it is under way.
    """
    async with parts.store.unit() as unit:
        credential = await unit.credential(name)
        if credential is None:
            raise await _unknown(unit, name)
        return await queue(parts, unit, credential, wish)


async def queue(parts: Parts, unit: Unit, credential: Credential, wish: Wish) -> Rotation:
    """Queue a rotation in a transaction that the caller has begun."""
    await _refuse_unfit(unit, credential)
    for watch in await contested_of(unit, credential) if wish.mode is Mode.NORMAL else ():
        raise InputError(
            contest(watch), next_step=f"rotator drift settle {credential.name}, or --emergency"
        )
    now = parts.clock.now()
    old = await unit.current_version(credential.id)
    rotation = Rotation(
        id=parts.new_id(),
        credential_id=credential.id,
        credential_name=credential.name,
        state=RotationState.QUEUED,
        mode=wish.mode,
        actor=wish.actor,
        reason=wish.reason,
        reason_code=wish.reason_code,
        old_version_id=old.id if old else None,
        new_version_id=None,
        requested_at=wish.asked_at or now,
        resume_at=now,
    )
    steps = planned_steps(credential.spec, wish.mode, rotation.id, parts.new_id)
    await unit.add_rotation(rotation, steps)
    await unit.append(_asked(credential, rotation, Action.ROTATION_REQUESTED, wish.actor, now))
    return rotation


async def _unknown(unit: Unit, name: str) -> InputError:
    known = [c.name for c in await unit.credentials(status=CredentialStatus.MANAGED)]
    hint = ", ".join(known[:8]) or "none; is the manifest applied?"
    return InputError(f"there is no credential {name!r}", next_step=f"tracked are: {hint}")


async def _refuse_unfit(unit: Unit, credential: Credential) -> None:
    if credential.status is not CredentialStatus.MANAGED:
        raise InputError(
            f"{credential.name} is not in the manifest any more",
            next_step="put it back into the manifest to have it rotated",
        )
    if credential.spec.observed:
        raise InputError(
            f"{credential.name} is only observed: rotator changes nothing about it",
            next_step='take `mode = "observe"` out of the manifest to have it rotated',
        )
    latest = await unit.rotations(credential_id=credential.id, limit=1)
    if latest and latest[0].state is RotationState.PARKED:
        raise InputError(
            f"rotation {latest[0].id} of {credential.name} is parked",
            next_step=f"`rotator rotate retry {latest[0].id}` or "
            f"`rotator rotate abort {latest[0].id}`",
        )
    active = await unit.active_rotation(credential.id)
    if active is not None:
        raise Busy(
            f"rotation {active.id} of {credential.name} is under way",
            next_step=f"see `rotator rotate show {active.id}`",
        )


async def retry(parts: Parts, rotation_id: str, actor: Actor, reason: str) -> Rotation:
    """Let a parked rotation go on where it stopped, or bring a waiting one's next try forward."""
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        rotation = await known_rotation(unit, rotation_id)
        credential = await unit.credential_by_id(rotation.credential_id)
        if rotation.state in (RotationState.SUCCEEDED, RotationState.ROLLED_BACK):
            raise InputError(
                f"rotation {rotation.id} has ended: {rotation.state}",
                next_step=f"`rotator rotate now {rotation.credential_name}` starts a new one",
            )
        if rotation.state is RotationState.PARKED:
            rotation = await _unpark(parts, unit, credential, rotation, now)
        else:
            rotation = replace(rotation, resume_at=now)
            await _hasten_waits(unit, rotation, now)
        await unit.append(
            _asked(credential, rotation, Action.ROTATION_RETRIED, actor, now, reason=reason)
        )
    return rotation


async def _unpark(
    parts: Parts, unit: Unit, credential: Credential, rotation: Rotation, now: datetime
) -> Rotation:
    everything = await unit.steps(rotation.id)
    resumed, steps = going_on(rotation, everything, credential, parts.new_id, now)
    await unit.reopen_rotation(resumed, steps)
    return resumed


def going_on(
    rotation: Rotation,
    everything: Sequence[Step],
    credential: Credential,
    new_id: Callable[[], str],
    now: datetime,
) -> tuple[Rotation, tuple[Step, ...]]:
    """A parked rotation as it goes on, with the steps that this changes or adds. Pure."""
    steps = latest_pass(everything)
    fresh: tuple[Step, ...] = ()
    state = state_resumed(rotation, steps)
    if not steps:
        first = max(s.position for s in everything) + 1
        fresh = planned_steps(
            credential.spec, rotation.mode, rotation.id, new_id, first_position=first
        )
        rotation = replace(rotation, new_version_id=None, remints=0)
    rotation = replace(
        rotation, state=state, resume_at=now, ended_at=None, parked=None, abort_requested_at=None
    )
    again = written_again(steps, credential.spec)
    waiting = [
        planned_again(s)
        for s in steps
        if s in again or (not s.ended and s.state is not StepState.PLANNED)
    ]
    return rotation, (*waiting, *fresh)


async def _hasten_waits(unit: Unit, rotation: Rotation, now: datetime) -> None:
    """Forget back-offs, but never an overlap: consumers may still use the old value."""
    steps = await unit.steps(rotation.id)
    hastened = [
        replace(s, not_before=now)
        for s in steps
        if s.state is StepState.WAITING and s.not_before is not None
    ]
    await unit.reopen_rotation(rotation, hastened)


async def abort(parts: Parts, rotation_id: str, actor: Actor, reason: str) -> Rotation:
    """Turn a rotation back: what was delivered is restored, the new value revoked.

    Raises:
        InputError: it has ended or been promoted, or its old value can't be put back.
    """
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        rotation = await known_rotation(unit, rotation_id)
        credential = await unit.credential_by_id(rotation.credential_id)
        steps = latest_pass(await unit.steps(rotation.id))
        old = await version_of(unit, rotation.old_version_id)
        refuse_abort(rotation, steps, old)
        if rotation.state is RotationState.PARKED:
            rotation = await _undo_parked(parts, unit, credential, rotation, steps)
        else:
            await unit.request_abort(rotation.id, now)
        await unit.append(
            _asked(credential, rotation, Action.ROTATION_ABORTED, actor, now, reason=reason)
        )
        if rotation.state is RotationState.ROLLED_BACK:
            # Nothing is left to take back, so no worker will tell of the end.
            ended = _asked(credential, rotation, Action.ROTATION_ROLLED_BACK, actor, now)
            await unit.append(replace(ended, outcome=Outcome.OK))
        return await known_rotation(unit, rotation_id)


async def undo(parts: Parts, rotation_id: str, actor: Actor, reason: str) -> Rotation:
    """Within the overlap: put the consumers back on the old value, which is still valid."""
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        rotation = await known_rotation(unit, rotation_id)
        credential = await unit.credential_by_id(rotation.credential_id)
        steps = latest_pass(await unit.steps(rotation.id))
        old = await version_of(unit, rotation.old_version_id)
        newest = await unit.rotations(credential_id=credential.id, limit=1)
        refuse_undo(rotation, steps, old, newest[0].id)
        await unit.request_abort(rotation.id, now)
        await unit.append(
            _asked(credential, rotation, Action.ROTATION_UNDO_REQUESTED, actor, now, reason=reason)
        )
        return await known_rotation(unit, rotation_id)


def refuse_undo(
    rotation: Rotation, steps: Sequence[Step], old: Version | None, newest_id: str
) -> None:
    """Raise `InputError` where an undo in the overlap is not possible. Pure."""
    if rotation.state in (RotationState.QUEUED, RotationState.RUNNING, RotationState.PARKED):
        raise InputError(
            f"the new value of rotation {rotation.id} is not in use yet ({rotation.state})",
            next_step=f"`rotator rotate abort {rotation.id}` takes it back",
        )
    if rotation.state is RotationState.UNDOING or rotation.abort_requested_at is not None:
        raise _undone_already(rotation)
    if rotation.state is not RotationState.RETIRING:
        raise InputError(
            f"rotation {rotation.id} can't be undone any more: {rotation.state}",
            next_step=f"`rotator rotate now {rotation.credential_name}` replaces its value",
        )
    renew = f"`rotator rotate now {rotation.credential_name}` replaces its value"
    if old is None:
        raise InputError(f"rotation {rotation.id} replaced no older value", next_step=renew)
    if newest_id != rotation.id:
        raise InputError(
            f"rotation {rotation.id} can't be undone: {newest_id} came after it",
            next_step=f"see `rotator rotate show {newest_id}`",
        )
    obstacle = undo_obstacle(steps, old)
    if obstacle is not None:
        raise InputError(f"rotation {rotation.id} can't be undone: {obstacle}", next_step=renew)


def _undone_already(rotation: Rotation) -> InputError:
    return InputError(
        f"rotation {rotation.id} is being undone already",
        next_step=f"see `rotator rotate show {rotation.id}`",
    )


def refuse_abort(rotation: Rotation, steps: Sequence[Step], old: Version | None) -> None:
    """Raise `InputError` where an abort is not possible. Pure."""
    if rotation.state in (RotationState.SUCCEEDED, RotationState.ROLLED_BACK):
        raise InputError(
            f"rotation {rotation.id} has ended: {rotation.state}",
            next_step=f"`rotator rotate now {rotation.credential_name}` replaces its value",
        )
    if rotation.state is RotationState.UNDOING:
        raise _undone_already(rotation)
    if any(s.name is StepName.PROMOTE and s.ended for s in steps):
        raise InputError(
            f"rotation {rotation.id} can't be undone: the new value is promoted",
            next_step=f"`rotator rotate undo {rotation.id}` goes back while the old one is valid",
        )
    obstacle = undo_obstacle(steps, old)
    if obstacle is not None:
        raise InputError(
            f"rotation {rotation.id} can't be undone: {obstacle}",
            next_step=f"`rotator rotate retry {rotation.id}` finishes it",
        )


async def _undo_parked(
    parts: Parts, unit: Unit, credential: Credential, rotation: Rotation, steps: Sequence[Step]
) -> Rotation:
    turned, back = turned_round(rotation, steps, credential, parts.new_id, parts.clock.now())
    await unit.reopen_rotation(turned, back)
    return turned


def turned_round(
    rotation: Rotation,
    steps: Sequence[Step],
    credential: Credential,
    new_id: Callable[[], str],
    now: datetime,
) -> tuple[Rotation, tuple[Step, ...]]:
    """A parked rotation on its way back, with the steps that lead there. Pure."""
    undone = not steps
    state = RotationState.ROLLED_BACK if undone else RotationState.UNDOING
    back: tuple[Step, ...] = ()
    if not undone:
        begun = [s for s in steps if s.name in BACK]
        back = tuple(planned_again(s) for s in begun if not s.ended) or undo_steps(
            steps, credential.spec, rotation.id, new_id
        )
    rotation = replace(
        rotation,
        state=state,
        resume_at=None if undone else now,
        ended_at=now if undone else None,
        parked=None,
    )
    return rotation, back


async def known_rotation(unit: Unit, rotation_id: str) -> Rotation:
    """The rotation, or an `InputError` that says how to find ids."""
    rotation = await unit.rotation(rotation_id)
    if rotation is None:
        raise InputError(
            f"there is no rotation {rotation_id!r}", next_step="`rotator rotate show` lists them"
        )
    return rotation


def _asked(
    credential: Credential,
    rotation: Rotation,
    action: Action,
    actor: Actor,
    at: datetime,
    *,
    reason: str = "",
) -> Event:
    event = rotation_event(
        action,
        Outcome.INFO,
        credential=credential,
        rotation=rotation,
        actor=actor,
        at=at,
        detail={"mode": rotation.mode.value, "reason_code": rotation.reason_code},
    )
    return replace(event, reason=reason or rotation.reason)
