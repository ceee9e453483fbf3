"""The core of the engine: read the rotation, commit the intent, do the one effect, commit the
outcome. What comes next and what follows a failure stands in `domain.protocol`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.errors import ClaimLost, InputError, NeedsHuman, NotYet, RetryLater
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Unit
from rotator.domain.protocol import (
    Finish,
    RunStep,
    WaitUntil,
    backoff,
    exhausted,
    latest_pass,
    next_move,
)
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    Claim,
    Rotation,
    RotationState,
    StepName,
    StepState,
)
from rotator.engine import deliver, issue, retire
from rotator.engine.adoption import confirm
from rotator.engine.begin import begin
from rotator.engine.journal import intended, planned_again, since
from rotator.engine.keepalive import kept
from rotator.engine.parts import Parts
from rotator.engine.rollout import roll_out
from rotator.engine.step import Result, StepContext, told
from rotator.engine.turn import finish, turn, turn_back_on_request

_log = logging.getLogger(__name__)

EFFECTS: Mapping[StepName, Callable[[StepContext], Awaitable[Result]]] = {
    StepName.MINT: issue.mint,
    StepName.PROVE: issue.prove,
    StepName.DELIVER: deliver.deliver,
    StepName.ROLL_OUT: roll_out,
    StepName.CONFIRM: confirm,
    StepName.PROMOTE: retire.promote,
    StepName.RETIRE: retire.retire,
    StepName.RESTORE: deliver.restore,
    StepName.ROLL_BACK: roll_out,
    StepName.DISCARD: issue.discard,
}
LOOKS: Mapping[StepName, Callable[[StepContext], Awaitable[None]]] = {
    StepName.DELIVER: deliver.look_before_delivery,
}
INTENTS: Mapping[StepName, Callable[[StepContext, Unit], Awaitable[None]]] = {
    StepName.MINT: issue.intend_mint,
}
_QUEUED_PAUSE = 30.0
_ROLLOUTS = (StepName.ROLL_OUT, StepName.ROLL_BACK)


async def advance(parts: Parts, rotation_id: str) -> bool:
    """Take a rotation as far as it goes now. False when another worker holds it.

    Ends when the rotation has ended, waits for something, or this worker is stopping. A claim
    that is lost on the way ends it quietly: its new owner goes on.
    """
    async with parts.store.unit() as unit:
        claim = await unit.claim(rotation_id, parts.worker_id, parts.limits.claim_ttl)
    if claim is None:
        return False

    async def renew() -> None:
        async with parts.store.unit() as unit:
            await unit.renew(claim, parts.limits.claim_ttl)

    every = parts.limits.claim_ttl.total_seconds() / 3
    try:
        async with kept(renew, every_seconds=every, clock=parts.clock):
            while await _one_move(parts, claim):
                pass
    except ClaimLost:
        return False
    finally:
        await _release(parts, claim)
    return True


async def _release(parts: Parts, claim: Claim) -> None:
    """Give the claim up; where the database does not answer, it runs out by itself."""
    try:
        async with parts.store.unit() as unit:
            await unit.release(claim)
    except (ClaimLost, RetryLater) as error:
        _log.info("claim on %s not released: %s", claim.rotation_id, error)


async def load(parts: Parts, claim: Claim) -> StepContext:
    """The rotation as the database has it, as the context of a step that is not chosen yet."""
    async with parts.store.view() as unit:
        rotation = await unit.rotation(claim.rotation_id)
        if rotation is None:
            raise LookupError(claim.rotation_id)
        credential = await unit.credential_by_id(rotation.credential_id)
        steps = await unit.steps(rotation.id)
    steps = latest_pass(steps) or steps
    return StepContext(parts, claim, credential, rotation, steps, steps[0])


async def _one_move(parts: Parts, claim: Claim) -> bool:
    """One move of the walk. True if another may follow at once."""
    ctx = await load(parts, claim)
    if ctx.rotation.state in ENDED:
        return False
    if parts.stopping.is_set():
        await _sleep_until(ctx, parts.clock.now())
        return False
    if ctx.rotation.abort_requested_at is not None and ctx.rotation.state in ACTIVE:
        if await turn_back_on_request(ctx):
            return True
        ctx = await load(parts, claim)
    if ctx.rotation.state is RotationState.QUEUED:
        return await _guarded(ctx, begin)
    move = next_move(ctx.rotation, ctx.steps, parts.clock.now())
    match move:
        case WaitUntil(at):
            await _sleep_until(ctx, at)
            return False
        case Finish(state):
            await finish(ctx, state)
            return False
        case RunStep(step):
            ctx.step = step
            return await _guarded(ctx, run_step)


async def _guarded(ctx: StepContext, work: Callable[[StepContext], Awaitable[None]]) -> bool:
    """Do the work and turn whatever goes wrong into the rotation's next state."""
    limits = ctx.parts.limits
    bound = limits.rollout_timeout if ctx.step.name in _ROLLOUTS else limits.step_timeout
    try:
        with ctx.parts.calls.counting() as ctx.counted:
            async with asyncio.timeout(bound.total_seconds()):
                await work(ctx)
        return True
    except TimeoutError:
        return await _wait(ctx, NotYet(f"{ctx.step.name} did not end within {bound}"))
    except ClaimLost:
        raise
    except RetryLater as error:
        return await _wait(ctx, error)
    except (NeedsHuman, InputError) as error:
        await turn(ctx, error)
    except Exception as error:
        _log.exception("unexpected %s in %s", type(error).__name__, ctx.step.name)
        await turn(ctx, NeedsHuman(f"an error inside rotator: {type(error).__name__}"))
    return True


async def run_step(ctx: StepContext) -> None:
    """Look, commit the intent, do the effect, commit the outcome."""
    look = LOOKS.get(ctx.step.name)
    if look is not None:
        await look(ctx)
    await _commit_intent(ctx)
    result = await EFFECTS[ctx.step.name](ctx)
    await _commit_outcome(ctx, result)


async def _commit_intent(ctx: StepContext) -> None:
    now = ctx.parts.clock.now()
    step = replace(ctx.step, detail={**ctx.step.detail, **ctx.notes})
    step = intended(step, now)
    ctx.step = step
    ctx.steps = [step if s.id == step.id else s for s in ctx.steps]
    async with ctx.parts.store.unit() as unit:
        intent = INTENTS.get(step.name)
        if intent is not None:
            await intent(ctx, unit)
        await unit.save_step(step, ctx.claim)
        await unit.append(told(ctx, Action.STEP_INTENDED, Outcome.INTENT, now))


async def _commit_outcome(ctx: StepContext, result: Result) -> None:
    now = ctx.parts.clock.now()
    again = bool(result.reopen)
    ctx.step = replace(
        ctx.step,
        state=StepState.PLANNED if again else StepState.DONE,
        outcome_at=now,
        detail={**ctx.step.detail, **ctx.notes},
        request_id=result.request_id,
    )
    ctx.rotation = replace(ctx.charged(), state=result.state or ctx.rotation.state)
    action = Action.STEP_WAITING if again else Action.STEP_DONE
    outcome = Outcome.WAITING if again else Outcome.OK
    async with ctx.parts.store.unit() as unit:
        if result.commit is not None:
            await result.commit(unit)
        await unit.save_step(ctx.step, ctx.claim)
        for step in result.reopen:
            await unit.save_step(planned_again(step), ctx.claim)
        await unit.save_rotation(ctx.rotation, ctx.claim)
        await unit.append(told(ctx, action, outcome, now), *result.events)


async def _wait(ctx: StepContext, error: RetryLater) -> bool:
    """Come back later, unless the step has used up its tries or its patience."""
    now = ctx.parts.clock.now()
    if ctx.rotation.state is RotationState.QUEUED:
        await _sleep_until(ctx, now + timedelta(seconds=error.after_seconds or _QUEUED_PAUSE))
        return False
    step = ctx.step if ctx.step.attempt else intended(ctx.step, now)
    if exhausted(step, since(step, now), now):
        ctx.step = step
        await turn(ctx, NeedsHuman(f"gave up after {step.attempt} tries: {error.message}"))
        return True
    pause = backoff(step.attempt, error.after_seconds, spread=ctx.parts.entropy.below(1000) / 1000)
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


async def _sleep_until(ctx: StepContext, at: datetime) -> None:
    async with ctx.parts.store.unit() as unit:
        await unit.save_rotation(replace(ctx.charged(), resume_at=at), ctx.claim)


def still_to_wait(rotation: Rotation, now: datetime) -> timedelta:
    """How long a rotation has nothing to do; zero when it has, or has ended."""
    if rotation.resume_at is None or rotation.state in ENDED:
        return timedelta(0)
    return max(timedelta(0), rotation.resume_at - now)
