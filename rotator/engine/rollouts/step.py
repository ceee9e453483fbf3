"""The steps roll-out and roll-back: lock the app, plan, run, plan again until nothing is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from rotator.domain.errors import ClaimLost, Held, Refused
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import GONE_STATES
from rotator.domain.policy import OnFailure
from rotator.domain.ports import AppLock
from rotator.domain.rollout import RolloutPlan
from rotator.domain.rotation import (
    RESTART_DONE,
    RestartState,
    RolloutState,
)
from rotator.engine.keepalive import kept
from rotator.engine.parts import Parts
from rotator.engine.rollouts.disposable import destroy_leftovers
from rotator.engine.rollouts.gate import Gate
from rotator.engine.rollouts.record import begin, planned, record_plan
from rotator.engine.rollouts.release import overtaken_by, release_ended, released
from rotator.engine.rollouts.run import FleetView, RolloutRun
from rotator.engine.rollouts.sharing import (
    hold_to_limits,
    served_already,
    wait_for_companions,
)
from rotator.engine.rollouts.traffic import give_back_at_end, give_back_to_done
from rotator.engine.rollouts.waiting import by_waiting, hurried
from rotator.engine.rollouts.wanted import Wanted, wanted_of
from rotator.engine.rollouts.waves import run_plan
from rotator.engine.step import Result, StepContext

PAUSED_LOOK_SECONDS = 3600.0


async def roll_out(ctx: StepContext) -> Result:
    """Every machine that reads the value gets a fresh boot with it, as the policy says."""
    wanted = await wanted_of(ctx)
    await _refuse_while_paused(ctx, wanted)
    if not wanted.repairing:
        await wait_for_companions(ctx, wanted)
        wanted = replace(await wanted_of(ctx), policy=hurried(ctx, wanted.policy))
        if wanted.waits:
            return await by_waiting(ctx, wanted, _rolled)
    return await _rolled(ctx, wanted, FleetView(ctx.parts, wanted.app))


async def _rolled(ctx: StepContext, wanted: Wanted, fleet: FleetView) -> Result:
    """Hold the app's lock and restart until no machine is left without the value."""
    async with app_locked(ctx.parts, wanted.app, ctx.rotation.id) as lock:
        plan = planned(await fleet.fresh(), wanted)
        if await served_already(ctx, wanted, plan):
            return Result()
        _refuse_blocked(wanted, plan)
        await hold_to_limits(ctx, wanted, plan)
        run, plan = await begin(ctx, wanted, lock, fleet)
        ctx.notes["rollout"] = run.rollout.id
        run = await released(run) if plan.restarts else run
        gate = Gate(run, plan.restarts + len(plan.asleep))
        gate.note(run.failed_before)
        try:
            await _until_done(run, wanted, plan, gate)
        except Refused as error:
            return await _finish(ctx, run, gate, str(error))
        return await _finish(ctx, run, gate, gate.problem)


async def _until_done(run: RolloutRun, wanted: Wanted, plan: RolloutPlan, gate: Gate) -> None:
    """Machines that came or changed meanwhile are planned for again, within bounds."""
    noticed = False
    for _ in range(run.parts.limits.rollout_passes):
        present = await run.fleet.recent()
        if plan.leftovers:
            await destroy_leftovers(run, plan.leftovers, present)
            run.fleet.forget()
        await give_back_to_done(run, plan.up_to_date)
        await run_plan(run, plan, gate)
        if gate.problem and not gate.within_budget:
            return  # also where something else stops it for now: the failure must not be forgotten
        gate.raise_hold()
        if gate.shut:
            return
        machines = await run.fleet.fresh()
        version = overtaken_by(run, machines)
        if version is not None and not noticed:
            noticed = True
            await run.tell(Action.ROLLOUT_OVERTAKEN, Outcome.INFO, release=str(version))
        plan = planned(machines, wanted, run.rollout.id, run.rows.values())
        failed = {r.machine_id for r in run.rows.values() if r.state is RestartState.FAILED}
        plan = _without(plan, failed)
        if plan.idle:
            return
        await record_plan(run, plan)


def _without(plan: RolloutPlan, failed: set[str]) -> RolloutPlan:
    """The plan without machines that have failed already (within the failure budget)."""
    chains = tuple(
        replace(each, waves=waves)
        for each in plan.chains
        if (
            waves := tuple(
                kept_wave
                for wave in each.waves
                if (kept_wave := tuple(m for m in wave if m.id not in failed))
            )
        )
    )
    return replace(plan, chains=chains, asleep=tuple(m for m in plan.asleep if m.id not in failed))


@asynccontextmanager
async def app_locked(parts: Parts, app: str, holder: str) -> AsyncIterator[AppLock]:
    """Hold the app's lock while its rollout runs (P3)."""
    async with parts.store.unit() as unit:
        lock = await unit.lock_app(app, holder, parts.limits.lock_ttl)
    if lock is None:
        raise Held(f"another rollout of {app} is under way", after_seconds=5)

    async def renew() -> None:
        async with parts.store.unit() as unit:
            await unit.renew_app_lock(lock, parts.limits.lock_ttl)

    try:
        async with kept(
            renew, every_seconds=parts.limits.lock_ttl.total_seconds() / 3, clock=parts.clock
        ):
            yield lock
    finally:
        await _unlock(parts, lock)


async def _unlock(parts: Parts, lock: AppLock) -> None:
    try:
        async with parts.store.unit() as unit:
            await unit.unlock_app(lock)
    except ClaimLost:
        return


async def _refuse_while_paused(ctx: StepContext, wanted: Wanted) -> None:
    """A paused rollout waits for a person: its own rotation with it, others of its app too."""
    async with ctx.parts.store.view() as unit:
        left = await unit.open_rollout(wanted.app)
        served = await unit.rotations_of(left.id) if left is not None else ()
    if left is None or left.state is not RolloutState.PAUSED:
        return
    if ctx.rotation.id in served and wanted.repairing:
        return
    raise Held(
        f"rollout {left.id} of {left.app} is paused: {left.error or 'by hand'}",
        after_seconds=PAUSED_LOOK_SECONDS,
        next_step=f"`rotator rollout resume {left.id}` or `rotator rollout abort {left.id}`",
    )


def _refuse_blocked(wanted: Wanted, plan: RolloutPlan) -> None:
    if plan.blockers:
        raise Refused(f"the rollout of {wanted.app} can't start: {'; '.join(plan.blockers)}")


async def _finish(ctx: StepContext, run: RolloutRun, gate: Gate, problem: str | None) -> Result:
    """Close the rollout's record. What follows from a failure is the policy's choice."""
    policy = run.rollout.policy
    tolerated = problem is not None and problem == gate.problem and gate.within_budget
    failed = problem is not None and not tolerated
    pausing = gate.pause_wanted or (
        failed
        and policy.on_failure is OnFailure.PAUSE
        and not run.repairing
        and problem == gate.problem
    )
    await give_back_at_end(run, await run.fleet.recent(), failed=failed or pausing)
    if pausing:
        await _pause(ctx, run, problem)
    state = RolloutState.SUCCEEDED
    if problem is not None:
        state = RolloutState.PARTIAL if tolerated else RolloutState.FAILED
    await release_ended(run, succeeded=not failed)
    await _close_rows(run)
    now = ctx.parts.clock.now()
    async with ctx.parts.store.unit() as unit:
        rows = await unit.machine_restarts(run.rollout.id)
        done = sum(1 for row in rows if row.state in RESTART_DONE)
        ctx.notes["machines"] = f"{done} of {len(rows)}"
        ended = replace(run.rollout, state=state, ended_at=now, error=problem)
        await unit.save_rollout(ended, run.lock)
        outcome = Outcome.FAILED if failed else Outcome.OK
        await unit.append(run.event(Action.ROLLOUT_ENDED, outcome))
    if failed:
        raise Refused(f"the rollout of {run.rollout.app} stopped: {problem}")
    return Result()


async def _pause(ctx: StepContext, run: RolloutRun, problem: str | None) -> None:
    """The rollout waits for a person; nothing more is touched until then."""
    why = problem or "by hand"
    async with ctx.parts.store.unit() as unit:
        paused = replace(run.rollout, state=RolloutState.PAUSED, error=problem)
        await unit.save_rollout(paused, run.lock)
        await unit.wish_rollout(paused.id, None)
        outcome = Outcome.FAILED if problem else Outcome.WAITING
        await unit.append(run.event(Action.ROLLOUT_PAUSED, outcome, detail={"why": why}))
    raise Held(
        f"rollout {paused.id} of {paused.app} is paused: {why}",
        after_seconds=PAUSED_LOOK_SECONDS,
        next_step=f"`rotator rollout resume {paused.id}` or `rotator rollout abort {paused.id}`",
    )


async def _close_rows(run: RolloutRun) -> None:
    """Records of machines that vanished in the middle, and of steps that a crash cut."""
    present = {m.id: m for m in await run.fleet.recent() if m.state not in GONE_STATES}
    for row in list(run.rows.values()):
        if row.ended_at is not None or row.machine_id in present or row.state in RESTART_DONE:
            continue
        state = RestartState.REPLACED if row.replaced_by else RestartState.GONE
        note = f"replaced by {row.replaced_by}" if row.replaced_by else "it is gone"
        await run.save(replace(row, state=state, note=note, ended_at=run.now))
