"""What a person may ask of a rollout: pause, resume, abort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotator.domain.errors import InputError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Unit
from rotator.domain.rotation import (
    ACTIVE,
    OPEN_ROLLOUTS,
    Actor,
    Rollout,
    RolloutState,
    RolloutWish,
    RotationState,
    StepState,
)
from rotator.engine.parts import Parts
from rotator.engine.request import abort

_TURNABLE = ACTIVE - {RotationState.UNDOING}


async def pause(parts: Parts, rollout_id: str, actor: Actor, reason: str) -> Rollout:
    """Ask the rollout to stop before its next wave. Machines in hand are finished."""
    async with parts.store.unit() as unit:
        rollout = await _open_rollout(unit, rollout_id)
        if rollout.state is RolloutState.PAUSED:
            raise InputError(
                f"rollout {rollout.id} is paused already",
                next_step=f"`rotator rollout resume {rollout.id}` lets it go on",
            )
        await unit.wish_rollout(rollout.id, RolloutWish.PAUSE)
        await unit.append(_told(parts, rollout, Action.ROLLOUT_PAUSED, actor, reason))
        return await _known(unit, rollout.id)


async def resume(parts: Parts, rollout_id: str, actor: Actor, reason: str) -> Rollout:
    """Let a paused rollout go on; a machine that had failed is looked at again."""
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        rollout = await _open_rollout(unit, rollout_id)
        if rollout.state is not RolloutState.PAUSED and rollout.wish is None:
            raise InputError(
                f"rollout {rollout.id} is not paused",
                next_step=f"`rotator rollout watch {rollout.id}` shows how it goes",
            )
        await unit.resume_rollout(rollout.id)
        for rotation_id in await unit.rotations_of(rollout.id):
            rotation = await unit.rotation(rotation_id)
            if rotation is None or rotation.state not in ACTIVE:
                continue
            held = [
                replace(step, not_before=now)
                for step in await unit.steps(rotation_id)
                if step.state is StepState.WAITING and step.not_before and step.not_before > now
            ]
            if held:
                await unit.reopen_rotation(replace(rotation, resume_at=now), held)
        await unit.append(_told(parts, rollout, Action.ROLLOUT_RESUMED, actor, reason))
        return await _known(unit, rollout.id)


async def abort_rollout(parts: Parts, rollout_id: str, actor: Actor, reason: str) -> Sequence[str]:
    """Turn back every rotation that the rollout serves; gives their ids."""
    async with parts.store.view() as unit:
        rollout = await _open_rollout(unit, rollout_id)
        served = [await unit.rotation(each) for each in await unit.rotations_of(rollout.id)]
    turned = [each.id for each in served if each is not None and each.state in _TURNABLE]
    if not turned:
        raise InputError(
            f"rollout {rollout.id} serves no rotation that could be turned back",
            next_step=f"`rotator rollout show {rollout.id}` names those that it serves",
        )
    for rotation_id in turned:
        await abort(parts, rotation_id, actor, reason)
    return turned


async def _open_rollout(unit: Unit, rollout_id: str) -> Rollout:
    rollout = await _known(unit, rollout_id)
    if rollout.state not in OPEN_ROLLOUTS:
        raise InputError(
            f"rollout {rollout.id} has ended: {rollout.state}",
            next_step=f"`rotator rollout show {rollout.id}` draws its record",
        )
    return rollout


async def _known(unit: Unit, rollout_id: str) -> Rollout:
    rollout = await unit.rollout(rollout_id)
    if rollout is None:
        raise InputError(
            f"there is no rollout {rollout_id!r}", next_step="`rotator rollout list` lists them"
        )
    return rollout


def _told(parts: Parts, rollout: Rollout, action: Action, actor: Actor, reason: str) -> Event:
    return Event(
        action=action,
        outcome=Outcome.INFO,
        actor=actor,
        at=parts.clock.now(),
        reason=reason,
        organization=rollout.organization or None,
        app=rollout.app,
        rollout_id=rollout.id,
        detail={"state": rollout.state.value},
    )
