"""Arranges the death of a daemon by SIGKILL at one point of the protocol, `step:moment`.

Moments are `intent` (the intent is committed, nothing was done), `effect` (it was done, nobody
has written so) and `outcome` (it is written). `update:N` dies after the Nth machine's update, with
its lease held. The daemon is the real one, in a process of its own: only its death is arranged.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable

from rotator.domain.machines import Machine
from rotator.engine import advance, outcome, side_by_side
from rotator.engine.step import Result, StepContext
from rotator.fly.fleet import FlyFleet


def die() -> None:
    """As the kernel does it: no handler, no cleaning up."""
    os.kill(os.getpid(), signal.SIGKILL)


def _after_intent(step: str, commit: Callable[[StepContext], Awaitable[None]]) -> object:
    async def wrapped(ctx: StepContext) -> None:
        await commit(ctx)
        if ctx.step.name.value == step:
            die()

    return wrapped


def _after_outcome(step: str, commit: Callable[[StepContext, Result], Awaitable[None]]) -> object:
    async def wrapped(ctx: StepContext, result: Result) -> None:
        await commit(ctx, result)
        if ctx.step.name.value == step:
            die()

    return wrapped


def _after_effect(step: str, effect: Callable[[StepContext], Awaitable[Result]]) -> object:
    async def wrapped(ctx: StepContext) -> Result:
        result = await effect(ctx)
        if ctx.step.name.value == step:
            die()
        return result

    return wrapped


def _after_updates(count: int) -> object:
    update = FlyFleet.update
    done = 0

    async def wrapped(self: FlyFleet, machine: Machine, **given: object) -> Machine:
        nonlocal done
        updated = await update(self, machine, **given)  # type: ignore[arg-type]
        done += 1
        if done == count:
            die()
        return updated

    return wrapped


def arrange(step: str, moment: str) -> None:
    """Put the one deadly wrapper in place."""
    if step == "update":
        FlyFleet.update = _after_updates(int(moment))  # type: ignore[method-assign, assignment]
        return
    match moment:
        case "intent":
            _wrap("commit_intent", _after_intent(step, outcome.commit_intent))
        case "effect":
            advance.EFFECTS = {  # type: ignore[misc]
                name: _after_effect(step, effect)  # type: ignore[misc]
                for name, effect in advance.EFFECTS.items()
            }
            _wrap("roll_out", _after_effect(step, side_by_side.roll_out))
        case "outcome":
            _wrap("commit_outcome", _after_outcome(step, outcome.commit_outcome))
        case _:
            raise SystemExit(f"no such moment: {moment}")


def _wrap(name: str, deadly: object) -> None:
    """Put it wherever the walk looks it up."""
    for module in (advance, side_by_side):
        if hasattr(module, name):
            setattr(module, name, deadly)
