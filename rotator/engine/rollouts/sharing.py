"""One rollout for several rotations, and the limits on how often an app is rolled out."""

from __future__ import annotations

from datetime import timedelta

from rotator.domain.errors import Held
from rotator.domain.ports import Unit
from rotator.domain.protocol import latest_pass
from rotator.domain.reasons import ReasonCode
from rotator.domain.rollout import RolloutPlan
from rotator.domain.rotation import (
    Mode,
    RolloutState,
    Rotation,
    RotationState,
    StepName,
    StepState,
)
from rotator.domain.schedule import in_window, next_opening
from rotator.engine.rollouts.wanted import Wanted
from rotator.engine.step import StepContext

_DAY = timedelta(days=1)
_LOOK_SECONDS = 1.0
_FAR = timedelta(seconds=10)
"""A delivery that will be tried again later than this is not waited for."""
_COUNTED = frozenset(
    {RolloutState.SUCCEEDED, RolloutState.PARTIAL, RolloutState.FAILED, RolloutState.RUNNING}
)
_SERVED = frozenset({RolloutState.SUCCEEDED, RolloutState.PARTIAL})
_RECENT = 50
_SWEPT = 10_000
_AT_WORK = frozenset({RotationState.QUEUED, RotationState.RUNNING})


async def wait_for_companions(ctx: StepContext, wanted: Wanted) -> None:
    """Let rotations that are about to deliver to the same app do so first, so that one restart
    serves them all. Bounded; in an emergency only for what the same sweep replaces."""
    sweep = ctx.rotation.reason_code == ReasonCode.SWEEP.value
    if not sweep and (wanted.emergency or not wanted.policy.coalesce):
        return
    clock, limits = ctx.parts.clock, ctx.parts.limits
    deadline = clock.now() + (limits.sweep_companions_wait if sweep else limits.companions_wait)
    known: dict[str, frozenset[str]] = {}
    while clock.now() < deadline and not ctx.parts.stopping.is_set():
        async with ctx.parts.store.view() as unit:
            if not await _delivering(ctx, unit, wanted, known):
                return
        await clock.sleep(_LOOK_SECONDS)


async def _delivering(
    ctx: StepContext, unit: Unit, wanted: Wanted, known: dict[str, frozenset[str]]
) -> bool:
    """Whether another rotation, asked for at about the same time, has yet to deliver to the app."""
    sweep = ctx.rotation.reason_code == ReasonCode.SWEEP.value
    span = timedelta(0) if sweep else wanted.policy.coalesce
    for other in await unit.rotations(states=_AT_WORK, limit=_SWEPT if sweep else _RECENT):
        if other.id == ctx.rotation.id or other.abort_requested_at is not None:
            continue
        apart = abs(other.requested_at - ctx.rotation.requested_at)
        if apart > span:
            continue
        if other.credential_id not in known:
            known[other.credential_id] = await _targets_in(unit, other, wanted.app)
        keys = known[other.credential_id]
        if keys and await _will_deliver(ctx, unit, other, keys):
            return True
    return False


async def _targets_in(unit: Unit, other: Rotation, app: str) -> frozenset[str]:
    credential = await unit.credential_by_id(other.credential_id)
    return frozenset(target.key for target in credential.spec.targets if target.app == app)


async def _will_deliver(
    ctx: StepContext, unit: Unit, other: Rotation, keys: frozenset[str]
) -> bool:
    now = ctx.parts.clock.now()
    steps = latest_pass(await unit.steps(other.id))
    for step in steps:
        if step.state is StepState.FAILED:
            return False
        if step.state is StepState.WAITING and step.not_before and step.not_before > now + _FAR:
            return False
    return any(s.name is StepName.DELIVER and s.subject in keys and not s.ended for s in steps)


async def served_already(ctx: StepContext, wanted: Wanted, plan: RolloutPlan) -> bool:
    """Whether another rotation's rollout has brought the value everywhere: then it is recorded as
    serving this one too, and no machine is touched again."""
    if not plan.idle or plan.unreachable or plan.at_next_start:
        return False
    async with ctx.parts.store.unit() as unit:
        found = await unit.rollouts(app=wanted.app, limit=1)
        newest = found[0] if found else None
        if newest is None or newest.state not in _SERVED:
            return False
        if newest.secrets_version < wanted.aim.floor:
            return False
        await unit.link_rollout(newest.id, ctx.rotation.id)
    ctx.notes["rollout"] = newest.id
    ctx.notes["shared"] = f"rollout {newest.id} served this rotation too"
    return True


async def hold_to_limits(ctx: StepContext, wanted: Wanted, plan: RolloutPlan) -> None:
    """Hold a rollout that would be one too many today, or outside its window.

    Neither holds back an emergency, a roll-back, or one that has begun.
    """
    if wanted.emergency or wanted.repairing or not plan.restarts:
        return
    now = ctx.parts.clock.now()
    async with ctx.parts.store.view() as unit:
        left = await unit.open_rollout(wanted.app)
        recent = await unit.rollouts(app=wanted.app, limit=_RECENT)
    if left is not None:
        return
    limit = wanted.policy.max_rollouts_per_day
    today = sorted(r.started_at for r in recent if r.state in _COUNTED and r.waves)
    today = [at for at in today if at > now - _DAY]
    if limit is not None and len(today) >= limit:
        free_at = today[len(today) - limit] + _DAY
        raise Held(
            f"{wanted.app} has had {len(today)} rollouts within a day "
            f"(max_rollouts_per_day = {limit})",
            after_seconds=(free_at - now).total_seconds(),
        )
    _hold_to_window(ctx, wanted)


def _hold_to_window(ctx: StepContext, wanted: Wanted) -> None:
    """A scheduled rotation that began within its window doesn't restart machines after it."""
    policy, rotation = ctx.credential.spec.policy, ctx.rotation
    now = ctx.parts.clock.now()
    scheduled = rotation.actor.kind == "schedule" and rotation.mode is Mode.NORMAL
    if not scheduled or in_window(policy, now) or not in_window(policy, rotation.requested_at):
        return
    opening = next_opening(policy, now)
    if opening is not None:
        raise Held(
            f"the window of {ctx.credential.name} has closed before {wanted.app} was rolled out",
            after_seconds=(opening - now).total_seconds(),
        )
