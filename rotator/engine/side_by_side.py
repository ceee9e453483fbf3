"""Roll several apps out side by side: one rotation's rollouts share only the API's limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rotator.domain.errors import ClaimLost, Held, NeedsHuman, RetryLater, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.rotation import Step
from rotator.engine.concurrency import together
from rotator.engine.journal import planned_again
from rotator.engine.outcome import commit_intent, commit_outcome, wait
from rotator.engine.rollouts.step import roll_out
from rotator.engine.step import Result, StepContext, told
from rotator.engine.turn import turn

_log = logging.getLogger(__name__)

Ended = tuple[StepContext, Result | RotatorError]


def ready_beside(steps: Sequence[Step], first: Step, now: datetime) -> tuple[Step, ...]:
    """The step and those of its name that may run at the same time."""
    return tuple(
        step
        for step in steps
        if step.name is first.name
        and not step.ended
        and (step.not_before is None or step.not_before <= now)
    )


async def side_by_side(ctx: StepContext, steps: Sequence[Step]) -> bool:
    """Run rollouts together: all intents first, then the effects, then all outcomes.

    A crash in between repeats rollouts that had ended, which touches no machine again. True if
    another move may follow at once.
    """
    halted = asyncio.Event()
    each_ctx: list[StepContext] = []
    for step in steps:
        child = replace(ctx, step=step, notes={}, halted=halted)
        await commit_intent(child)
        ctx.steps = child.steps
        each_ctx.append(child)
    with ctx.parts.calls.counting() as counted:
        ended = await together([_effect(child) for child in each_ctx])
    ctx.rotation = replace(ctx.rotation, api_calls=ctx.rotation.api_calls + counted.count)
    return await _settle(ctx, ended)


async def _effect(ctx: StepContext) -> Ended:
    """One rollout to its end. A failure for good tells the others to stop at their next wave."""
    bound = ctx.parts.limits.rollout_timeout
    try:
        async with asyncio.timeout(bound.total_seconds()):
            return ctx, await roll_out(ctx)
    except TimeoutError:
        return ctx, Held(f"{ctx.step.name} has run for {bound}; it goes on", after_seconds=1)
    except (ClaimLost, RetryLater) as error:
        if isinstance(error, ClaimLost):
            raise
        return ctx, error
    except RotatorError as error:
        ctx.halted.set()
        return ctx, error
    except Exception as error:
        _log.exception("unexpected %s in %s", type(error).__name__, ctx.step.name)
        ctx.halted.set()
        return ctx, NeedsHuman(f"an error inside rotator: {type(error).__name__}")


async def _settle(ctx: StepContext, ended: Sequence[Ended]) -> bool:
    """Commit what went well; then let the worst of the rest decide where the walk goes."""
    for child, result in ended:
        if isinstance(result, Result):
            child.rotation = ctx.rotation
            await commit_outcome(child, result)
    failed = [(c, e) for c, e in ended if isinstance(e, RotatorError)]
    worst = next((pair for pair in failed if not isinstance(pair[1], RetryLater)), None)
    again = not failed
    for child, error in failed:
        child.rotation = ctx.rotation
        if worst is None:
            assert isinstance(error, RetryLater)
            again = await wait(child, error) or again
        elif child is not worst[0]:
            now = ctx.parts.clock.now()
            async with ctx.parts.store.unit() as unit:
                await unit.save_step(planned_again(child.step), ctx.claim)
                await unit.append(told(child, Action.STEP_WAITING, Outcome.WAITING, now, error))
    if worst is not None:
        child, error = worst
        child.steps = [_latest(step, ended) for step in ctx.steps]
        await turn(child, error)
        return True
    return again


def _latest(step: Step, ended: Sequence[Ended]) -> Step:
    return next((child.step for child, _ in ended if child.step.id == step.id), step)
