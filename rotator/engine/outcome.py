"""The journal's side of a step: its intent before the effect, its outcome after it, its waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.errors import Held, NeedsHuman, RetryLater
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Unit
from rotator.domain.protocol import HELD_PATIENCE, backoff, exhausted
from rotator.domain.rotation import Rotation, RotationState, Step, StepName, StepState
from rotator.engine import issue
from rotator.engine.journal import held, held_since, intended, planned_again, since
from rotator.engine.step import Result, StepContext, told
from rotator.engine.turn import turn

INTENTS: Mapping[StepName, Callable[[StepContext, Unit], Awaitable[Rotation]]] = {
    StepName.MINT: issue.intend_mint,
}
_QUEUED_PAUSE = 30.0


async def commit_intent(ctx: StepContext) -> None:
    now = ctx.parts.clock.now()
    step = replace(ctx.step, detail={**ctx.step.detail, **ctx.notes})
    step = intended(step, now)
    ctx.step = step
    ctx.steps = [step if s.id == step.id else s for s in ctx.steps]
    rotation = ctx.rotation
    async with ctx.parts.store.unit() as unit:
        intent = INTENTS.get(step.name)
        if intent is not None:
            rotation = await intent(ctx, unit)
        await unit.save_step(step, ctx.claim)
        await unit.append(told(ctx, Action.STEP_INTENDED, Outcome.INTENT, now))
    ctx.rotation = rotation


async def commit_outcome(ctx: StepContext, result: Result) -> None:
    """Commit what an effect came to. Until that is done the context stays as it was: what follows
    a commit that fails starts from what the database holds."""
    now = ctx.parts.clock.now()
    again = bool(result.reopen)
    step = replace(
        ctx.step,
        state=StepState.PLANNED if again else StepState.DONE,
        outcome_at=now,
        detail={**ctx.step.detail, **ctx.notes},
        request_id=result.request_id,
    )
    rotation = replace(ctx.charged(), state=result.state or ctx.rotation.state)
    action = Action.STEP_WAITING if again else Action.STEP_DONE
    outcome = Outcome.WAITING if again else Outcome.OK
    event = told(replace(ctx, step=step, rotation=rotation), action, outcome, now)
    async with ctx.parts.store.unit() as unit:
        if result.commit is not None:
            await result.commit(unit)
        await unit.save_step(step, ctx.claim)
        for reopened in result.reopen:
            await unit.save_step(planned_again(reopened), ctx.claim)
        await unit.save_rotation(rotation, ctx.claim)
        await unit.append(event, *result.events)
    ctx.step, ctx.rotation = step, rotation


async def wait(ctx: StepContext, error: RetryLater) -> bool:
    """Come back later, unless the step has used up its tries or its patience."""
    now = ctx.parts.clock.now()
    if ctx.rotation.state is RotationState.QUEUED:
        await sleep_until(ctx, now + timedelta(seconds=error.after_seconds or _QUEUED_PAUSE))
        return False
    step = ctx.step if ctx.step.attempt else intended(ctx.step, now)
    if _given_up(step, error, now):
        ctx.step = step
        await turn(ctx, NeedsHuman(f"gave up after {step.attempt} tries: {error.message}"))
        return True
    step, pause = _postponed(ctx, step, error, now)
    ctx.step = replace(
        step,
        state=StepState.WAITING,
        outcome_at=now,
        not_before=now + pause,
        detail={**step.detail, **ctx.notes},
        error=error.message,
        request_id=error.request_id,
    )
    async with ctx.parts.store.unit() as unit:
        await unit.save_step(ctx.step, ctx.claim)
        await unit.save_rotation(replace(ctx.charged(), resume_at=now + pause), ctx.claim)
        await unit.append(told(ctx, Action.STEP_WAITING, Outcome.WAITING, now, error=error))
    return False


async def sleep_until(ctx: StepContext, at: datetime) -> None:
    async with ctx.parts.store.unit() as unit:
        await unit.save_rotation(replace(ctx.charged(), resume_at=at), ctx.claim)


def _given_up(step: Step, error: RetryLater, now: datetime) -> bool:
    """Whether this wait ends: what rotator holds back itself has a patience of its own."""
    if isinstance(error, Held):
        return now - held_since(step, now) >= HELD_PATIENCE
    return exhausted(step, since(step, now), now)


def _postponed(
    ctx: StepContext, step: Step, error: RetryLater, now: datetime
) -> tuple[Step, timedelta]:
    if isinstance(error, Held):
        return held(step, now), timedelta(seconds=error.after_seconds or _QUEUED_PAUSE)
    spread = ctx.parts.entropy.below(1000) / 1000
    return step, backoff(step.attempt, error.after_seconds, spread=spread)
