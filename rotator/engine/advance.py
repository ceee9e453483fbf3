"""The core of the engine: read the rotation, commit the intent, do the one effect, commit the
outcome. What comes next and what follows a failure stands in `domain.protocol`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from rotator.domain.errors import ClaimLost, InputError, NeedsHuman, NotYet, RetryLater
from rotator.domain.protocol import Finish, RunStep, WaitUntil, latest_pass, next_move
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    Claim,
    Rotation,
    RotationState,
    StepName,
)
from rotator.engine import deliver, issue, retire
from rotator.engine.adoption import confirm
from rotator.engine.begin import begin
from rotator.engine.keepalive import Tenure, kept
from rotator.engine.outcome import commit_intent, commit_outcome, sleep_until, wait
from rotator.engine.parts import Parts
from rotator.engine.side_by_side import ready_beside, side_by_side
from rotator.engine.step import Result, StepContext
from rotator.engine.turn import finish, turn, turn_back_on_request

_log = logging.getLogger(__name__)

EFFECTS: Mapping[StepName, Callable[[StepContext], Awaitable[Result]]] = {
    StepName.MINT: issue.mint,
    StepName.PROVE: issue.prove,
    StepName.DELIVER: deliver.deliver,
    StepName.CONFIRM: confirm,
    StepName.PROMOTE: retire.promote,
    StepName.RETIRE: retire.retire,
    StepName.RESTORE: deliver.restore,
    StepName.DISCARD: issue.discard,
}
LOOKS: Mapping[StepName, Callable[[StepContext], Awaitable[None]]] = {
    StepName.DELIVER: deliver.look_before_delivery,
}
_ROLLOUTS = frozenset({StepName.ROLL_OUT, StepName.ROLL_BACK})
_TURNABLE = ACTIVE | {RotationState.RETIRING}
"""States in which a person may still turn a rotation back."""


async def advance(parts: Parts, rotation_id: str) -> bool:
    """Take a rotation as far as it goes now. False when another worker holds it.

    Ends when the rotation has ended, waits for something, or this worker is stopping. A claim
    that is lost on the way ends it quietly: its new owner goes on.
    """
    tenure = Tenure(parts.clock, parts.limits.claim_ttl)
    async with parts.store.unit() as unit:
        claim = await unit.claim(rotation_id, parts.worker_id, parts.limits.claim_ttl)
    if claim is None:
        return False

    async def renew() -> None:
        with tenure.renewing():
            async with parts.store.unit() as unit:
                await unit.renew(claim, parts.limits.claim_ttl)

    every = parts.limits.claim_ttl.total_seconds() / 3
    try:
        with parts.calls.only_while(tenure.lasts):
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
        await sleep_until(ctx, parts.clock.now())
        return False
    if ctx.rotation.abort_requested_at is not None and ctx.rotation.state in _TURNABLE:
        if await turn_back_on_request(ctx):
            return True
        ctx = await load(parts, claim)
    if ctx.rotation.state is RotationState.QUEUED:
        return await _guarded(ctx, begin)
    move = next_move(ctx.rotation, ctx.steps, parts.clock.now())
    match move:
        case WaitUntil(at):
            await sleep_until(ctx, at)
            return False
        case Finish(state):
            await finish(ctx, state)
            return False
        case RunStep(step) if step.name in _ROLLOUTS:
            return await side_by_side(ctx, ready_beside(ctx.steps, step, parts.clock.now()))
        case RunStep(step):
            ctx.step = step
            return await _guarded(ctx, run_step)


async def _guarded(ctx: StepContext, work: Callable[[StepContext], Awaitable[None]]) -> bool:
    """Do the work and turn whatever goes wrong into the rotation's next state."""
    bound = ctx.parts.limits.step_timeout
    try:
        with ctx.parts.calls.counting() as ctx.counted:
            async with asyncio.timeout(bound.total_seconds()):
                await work(ctx)
        return True
    except TimeoutError:
        return await wait(ctx, NotYet(f"{ctx.step.name} did not end within {bound}"))
    except ClaimLost:
        raise
    except RetryLater as error:
        return await wait(ctx, error)
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
    await commit_intent(ctx)
    ctx.parts.calls.ask()
    result = await EFFECTS[ctx.step.name](ctx)
    await commit_outcome(ctx, result)


def still_to_wait(rotation: Rotation, now: datetime) -> timedelta:
    """How long a rotation has nothing to do; zero when it has, or has ended."""
    if rotation.resume_at is None or rotation.state in ENDED:
        return timedelta(0)
    return max(timedelta(0), rotation.resume_at - now)
