"""Strategies that restart nothing: watch until every machine has been renewed for other reasons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from rotator.domain.errors import Held
from rotator.domain.events import Action, Outcome
from rotator.domain.policy import RolloutPolicy, Strategy
from rotator.domain.rollout import RolloutPlan
from rotator.engine.journal import held_since, since
from rotator.engine.rollouts.record import planned
from rotator.engine.rollouts.run import FleetView
from rotator.engine.rollouts.wanted import Wanted
from rotator.engine.step import Result, StepContext, told

_SHORTEST = timedelta(seconds=30)
_LONGEST = timedelta(minutes=10)
_SHARE = 0.01
WARNED = "warned"
"""Key in a step's detail: that the wait has been told as too long."""

Rolled = Callable[[StepContext, Wanted, FleetView], Awaitable[Result]]


def hurried(ctx: StepContext, policy: RolloutPolicy) -> RolloutPolicy:
    """The policy as it holds now: an emergency restarts machines whatever the strategy, and
    `next-release` does so from its deadline on."""
    if policy.strategy not in (Strategy.NEXT_START, Strategy.NEXT_RELEASE):
        return policy
    emergency = ctx.rotation.mode.value != "normal"
    late = policy.strategy is Strategy.NEXT_RELEASE and _waited(ctx) >= policy.deadline
    return replace(policy, strategy=Strategy.ROLLING) if emergency or late else policy


async def by_waiting(ctx: StepContext, wanted: Wanted, rolled: Rolled) -> Result:
    """Update what sleeps (`next-start`), then wait for the rest.

    Fly promises new secrets to an updated machine, not to one that is merely started again: so a
    machine counts once it was updated while it slept, or was renewed by somebody's release.
    """
    fleet = FleetView(ctx.parts, wanted.app)
    plan = planned(await fleet.fresh(), wanted)
    if plan.asleep or plan.leftovers:
        await rolled(ctx, wanted, fleet)
        plan = planned(await fleet.recent(), wanted)
    waiting = [*plan.waiting, *plan.at_next_start, *plan.unreachable]
    if not waiting:
        return await rolled(ctx, wanted, fleet)
    await _warn_once(ctx, wanted, plan)
    ctx.notes["waiting"] = ", ".join(m.id for m in waiting[:20])
    what = "release" if wanted.policy.strategy is Strategy.NEXT_RELEASE else "start"
    raise Held(
        f"{wanted.app}: {len(waiting)} machines wait for their next {what}: {ctx.notes['waiting']}",
        after_seconds=_pause(ctx).total_seconds(),
    )


async def _warn_once(ctx: StepContext, wanted: Wanted, plan: RolloutPlan) -> None:
    if _waited(ctx) < wanted.policy.max_wait or WARNED in ctx.step.detail:
        return
    ctx.notes[WARNED] = "yes"
    event = told(ctx, Action.ROLLOUT_WAITING, Outcome.WAITING, ctx.parts.clock.now())
    detail = {**event.detail, "machines": str(len(plan.waiting) + len(plan.at_next_start))}
    async with ctx.parts.store.unit() as unit:
        await unit.append(replace(event, detail=detail))


def _pause(ctx: StepContext) -> timedelta:
    """How long until the next look: a hundredth of the wait so far, within bounds; never past the
    deadline of `next-release`."""
    return min(max(_waited(ctx) * _SHARE, _SHORTEST), _LONGEST)


def _waited(ctx: StepContext) -> timedelta:
    """How long this step has been held or tried."""
    now = ctx.parts.clock.now()
    return now - min(held_since(ctx.step, now), since(ctx.step, now))
