"""Where a rotation goes when a step has failed, when a person turns it back, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.due import deadline_of
from rotator.domain.errors import NotAllowed, NotYet, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Unit
from rotator.domain.protocol import OnStepFailure, undo_obstacle, undo_steps
from rotator.domain.rotation import (
    Parked,
    Rotation,
    RotationState,
    Step,
    StepName,
    StepState,
)
from rotator.domain.schedule import next_due
from rotator.domain.turning import course_after_failure, state_turned_back, what_is_safe
from rotator.engine.journal import planned_again, rotation_event
from rotator.engine.step import StepContext, told, version_of


async def turn(ctx: StepContext, error: RotatorError) -> None:
    """A step has failed for good: regenerate once, undo, or park, as the protocol's table says."""
    now = ctx.parts.clock.now()
    if ctx.rotation.state is RotationState.QUEUED:
        await _park(ctx, error, now, "nothing was touched; the old value is in use as before")
        return
    ctx.step = replace(
        ctx.step,
        state=StepState.FAILED,
        outcome_at=now,
        not_before=None,
        detail={**ctx.step.detail, **ctx.notes},
        error=error.message,
        request_id=error.request_id,
    )
    old = await _old_version(ctx)
    if isinstance(error, NotAllowed):
        course = OnStepFailure.PARK
    else:
        course = course_after_failure(ctx.rotation, ctx.steps, ctx.step.name, old)
    if course is OnStepFailure.REMINT:
        await _remint(ctx, error, now)
    elif course is OnStepFailure.UNDO:
        await _undo(ctx, error, now)
    else:
        await _park(ctx, error, now, what_is_safe(ctx.rotation, ctx.steps, old))


async def _old_version(ctx: StepContext) -> Version | None:
    async with ctx.parts.store.view() as unit:
        return await version_of(unit, ctx.rotation.old_version_id)


async def _remint(ctx: StepContext, error: RotatorError, now: datetime) -> None:
    """Give the refused value up and go back to the mint, once; the mint revokes what it left."""
    async with ctx.parts.store.unit() as unit:
        version = await version_of(unit, ctx.rotation.new_version_id)
        if version is not None:
            await unit.save_version(replace(version, state=VersionState.DISCARDED, ended_at=now))
            await unit.erase(version.id)
        await unit.append(told(ctx, Action.STEP_FAILED, Outcome.FAILED, now, error))
        for step in ctx.steps:
            if step.name in (StepName.MINT, StepName.PROVE):
                await unit.save_step(planned_again(step), ctx.claim)
        await unit.save_rotation(
            replace(ctx.charged(), remints=ctx.rotation.remints + 1, resume_at=now), ctx.claim
        )


async def _undo(ctx: StepContext, error: RotatorError, now: datetime) -> None:
    """Add the steps that take back what was begun. A value refused twice ends parked."""
    parked = None
    if ctx.step.name is StepName.PROVE:
        parked = _parked(ctx.rotation, error, "the new values were revoked; the old one is in use")
    rotation = replace(ctx.charged(), state=RotationState.UNDOING, resume_at=now, parked=parked)
    steps = undo_steps(
        [ctx.step if s.id == ctx.step.id else s for s in ctx.steps],
        ctx.credential.spec,
        rotation.id,
        ctx.parts.new_id,
    )
    async with ctx.parts.store.unit() as unit:
        await unit.save_step(ctx.step, ctx.claim)
        await unit.add_steps(steps, ctx.claim)
        await unit.save_rotation(rotation, ctx.claim)
        await unit.append(
            told(ctx, Action.STEP_FAILED, Outcome.FAILED, now, error),
            _about(ctx, rotation, Action.ROTATION_UNDOING, Outcome.INFO, now, cause=str(error)),
        )


def _parked(rotation: Rotation, error: RotatorError, safe: str) -> Parked:
    command = f"rotator rotate retry {rotation.id}"
    if error.next_step:
        command = f"{error.next_step}, then: {command}"
    return Parked(error.message, safe, command)


async def _park(ctx: StepContext, error: RotatorError, now: datetime, safe: str) -> None:
    rotation = replace(
        ctx.charged(),
        state=RotationState.PARKED,
        resume_at=None,
        ended_at=now,
        parked=_parked(ctx.rotation, error, safe),
    )
    events = [_about(ctx, rotation, Action.ROTATION_PARKED, Outcome.FAILED, now, cause=str(error))]
    async with ctx.parts.store.unit() as unit:
        if ctx.step.state is StepState.FAILED:
            await unit.save_step(ctx.step, ctx.claim)
            events.insert(0, told(ctx, Action.STEP_FAILED, Outcome.FAILED, now, error))
        await unit.save_rotation(rotation, ctx.claim)
        await unit.save_credential(replace(ctx.credential, due_at=None, updated_at=now))
        await unit.append(*events)


async def turn_back_on_request(ctx: StepContext) -> bool:
    """A person asked to abort: undo if that is possible. False where it no longer is, and the
    rotation goes on forwards, because both values work and stopping half way helps nobody."""
    now = ctx.parts.clock.now()
    rotation = replace(ctx.rotation, resume_at=now)
    events: list[Event] = []
    steps: tuple[Step, ...] = ()
    obstacle = None
    if ctx.rotation.state in (RotationState.RUNNING, RotationState.RETIRING):
        obstacle = undo_obstacle(ctx.steps, await _old_version(ctx)) or await _overtaken(ctx)
    state = state_turned_back(ctx.rotation.state, obstacle)
    if state is RotationState.ROLLED_BACK:
        rotation = replace(rotation, state=state, ended_at=now, resume_at=None)
        events.append(_about(ctx, rotation, Action.ROTATION_ROLLED_BACK, Outcome.OK, now))
    elif state is RotationState.UNDOING:
        rotation = replace(rotation, state=state)
        steps = undo_steps(ctx.steps, ctx.credential.spec, rotation.id, ctx.parts.new_id)
        events.append(_about(ctx, rotation, Action.ROTATION_UNDOING, Outcome.INFO, now))
    elif obstacle is not None:
        events.append(
            _about(ctx, rotation, Action.ROTATION_ABORTED, Outcome.FAILED, now, cause=obstacle)
        )
    if obstacle is None:
        events = [*_left_open(ctx, now), *events]
    async with ctx.parts.store.unit() as unit:
        if steps:
            await unit.add_steps(steps, ctx.claim)
        await unit.request_abort(rotation.id, None)
        await unit.save_rotation(rotation, ctx.claim)
        await unit.append(*events)
    return obstacle is None


def _left_open(ctx: StepContext, now: datetime) -> list[Event]:
    """A word about each step that a crash cut short and that nobody takes up again (P7)."""
    why = NotYet("its worker died, and the rotation was turned back before it was tried again")
    return [
        told(replace(ctx, step=step), Action.STEP_FAILED, Outcome.UNKNOWN, now, why)
        for step in ctx.steps
        if step.state is StepState.INTENDED
    ]


async def _overtaken(ctx: StepContext) -> str | None:
    """Whether a newer rotation stands on this one's value."""
    async with ctx.parts.store.view() as unit:
        newest = await unit.rotations(credential_id=ctx.credential.id, limit=1)
    if newest and newest[0].id != ctx.rotation.id:
        return f"rotation {newest[0].id} came after it"
    return None


async def finish(ctx: StepContext, state: RotationState) -> None:
    """All steps have ended: the rotation takes its last state."""
    now = ctx.parts.clock.now()
    rotation = replace(ctx.charged(), state=state, resume_at=None, ended_at=now)
    action, outcome = {
        RotationState.SUCCEEDED: (Action.ROTATION_SUCCEEDED, Outcome.OK),
        RotationState.ROLLED_BACK: (Action.ROTATION_ROLLED_BACK, Outcome.OK),
        RotationState.PARKED: (Action.ROTATION_PARKED, Outcome.FAILED),
    }[state]
    async with ctx.parts.store.unit() as unit:
        await unit.save_rotation(rotation, ctx.claim)
        if state is RotationState.ROLLED_BACK:
            await unit.save_credential(await _due_after_rollback(ctx, unit, now))
        elif state is RotationState.PARKED:
            await unit.save_credential(replace(ctx.credential, due_at=None, updated_at=now))
        await unit.append(_about(ctx, rotation, action, outcome, now))


async def _due_after_rollback(ctx: StepContext, unit: Unit, now: datetime) -> Credential:
    """Try again after a while, but not for ever (P5)."""
    limits = ctx.parts.limits
    recent = await unit.rotations(credential_id=ctx.credential.id, limit=limits.rollbacks_in_a_row)
    in_a_row = len(recent) == limits.rollbacks_in_a_row and all(
        r.state is RotationState.ROLLED_BACK or r.id == ctx.rotation.id for r in recent
    )
    policy = ctx.credential.spec.policy
    deadline = deadline_of(policy, await unit.current_version(ctx.credential.id))
    scheduled = next_due(policy, anchor=now, seed=ctx.credential.id, deadline=deadline)
    if any(s.name is StepName.PROMOTE and s.ended for s in ctx.steps):
        # A person put the old value back on purpose: it serves a whole period more.
        later = now + limits.retry_after_rollback
        again = max(scheduled, later) if scheduled is not None else None
        return replace(ctx.credential, due_at=again, updated_at=now)
    due_at = None
    if not in_a_row and scheduled is not None:
        due_at = now + limits.retry_after_rollback
    return replace(ctx.credential, due_at=due_at, updated_at=now)


def _about(
    ctx: StepContext,
    rotation: Rotation,
    action: Action,
    outcome: Outcome,
    at: datetime,
    *,
    cause: str = "",
) -> Event:
    detail = {"api_calls": str(rotation.api_calls)}
    if cause:
        detail["cause"] = cause
    if rotation.parked is not None:
        detail |= {"safe": rotation.parked.safe, "next": rotation.parked.next_command}
    return rotation_event(
        action,
        outcome,
        credential=ctx.credential,
        rotation=rotation,
        actor=ctx.parts.actor,
        at=at,
        detail=detail,
    )
