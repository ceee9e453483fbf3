"""The plan of a rollout over the machines as they are, and its record in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from rotator.domain.events import Action, Outcome
from rotator.domain.machines import Machine
from rotator.domain.ports import AppLock, Unit
from rotator.domain.rollout import RolloutPlan, plan_rollout
from rotator.domain.rotation import MachineRestart, RestartState, Rollout, RolloutState
from rotator.engine.adoption import may_hold
from rotator.engine.rollouts.run import FleetView, Ledger, RolloutRun
from rotator.engine.rollouts.traffic import inherit
from rotator.engine.rollouts.wanted import Wanted
from rotator.engine.step import StepContext


def planned(
    machines: Sequence[Machine],
    wanted: Wanted,
    rollout_id: str | None = None,
    rows: Iterable[MachineRestart] = (),
) -> RolloutPlan:
    """Plan over these machines; a roll-back leaves out who never took the value up. `rows` are what
    the rollout has done already: a group whose canary has passed needs no other."""
    untouched: frozenset[str] = frozenset()
    if wanted.undoes is not None:
        number, begun = wanted.undoes
        untouched = frozenset(
            m.id for m in machines if not may_hold(m, floor=number, delivered_at=begun)
        )
    return plan_rollout(
        machines,
        wanted.policy,
        replace(wanted.aim, rollout_id=rollout_id, untouched=untouched),
        repairing=wanted.repairing,
        forced=wanted.emergency,
        past_canaries=frozenset(
            row.process_group for row in rows if row.state is RestartState.HEALTHY and row.wave
        ),
    )


async def begin(
    ctx: StepContext, wanted: Wanted, lock: AppLock, fleet: FleetView
) -> tuple[RolloutRun, RolloutPlan]:
    """Go on with the rollout that a crash or a pause left, or open a new one."""
    parts = ctx.parts
    async with parts.store.view() as unit:
        left = await unit.open_rollout(wanted.app)
        served = await unit.rotations_of(left.id) if left is not None else ()
        before = left or next(iter(await unit.rollouts(app=wanted.app, limit=1)), None)
        rows = await unit.machine_restarts(before.id) if before is not None else ()
    resumed = (
        left is not None
        and ctx.rotation.id in served
        and left.secrets_version == wanted.secrets_version
    )
    now = parts.clock.now()
    failed = tuple(r for r in rows if resumed and r.state is RestartState.FAILED)
    known_to_a_person = left is not None and left.error is not None
    rollout = (
        replace(left, state=RolloutState.RUNNING, error=None)
        if left is not None and resumed
        else _opened(wanted, parts.new_id(), now)
    )
    plan = planned(await fleet.recent(), wanted, rollout.id, rows if resumed else ())
    rollout = rollout if resumed else replace(rollout, waves=plan.waves)
    run = RolloutRun(
        parts=parts,
        rollout=rollout,
        lock=lock,
        credential=ctx.credential,
        rotation=ctx.rotation,
        aim=wanted.aim,
        repairing=wanted.repairing,
        fleet=fleet,
        ledger=Ledger(parts, lock),
        halted=ctx.halted,
        resumed=resumed,
        failed_before=() if known_to_a_person else failed,
        rows={row.machine_id: row for row in rows} if resumed else {},
    )
    async with parts.store.unit() as unit:
        if left is not None and not resumed:
            await _overtake(unit, left, rollout.id, lock, now)
        await unit.save_rollout(rollout, lock)
        await unit.link_rollout(rollout.id, ctx.rotation.id)
        if not resumed:
            run.rows.update(await inherit(unit, rows, rollout.id, lock))
            await unit.append(run.event(Action.ROLLOUT_STARTED, Outcome.INTENT))
    await record_plan(run, plan)
    if known_to_a_person:
        for row in [r for r in run.rows.values() if r.state is RestartState.FAILED]:
            await run.save(_tried_again(row))
    return run, plan


def _opened(wanted: Wanted, rollout_id: str, now: datetime) -> Rollout:
    return Rollout(
        id=rollout_id,
        app=wanted.app,
        secrets_version=wanted.secrets_version,
        policy=wanted.policy,
        state=RolloutState.RUNNING,
        waves=0,
        started_at=now,
        organization=wanted.organization,
    )


async def _overtake(
    unit: Unit, left: Rollout, rollout_id: str, lock: AppLock, now: datetime
) -> None:
    overtaken = replace(
        left,
        state=RolloutState.ABANDONED,
        ended_at=now,
        error=f"overtaken by rollout {rollout_id}",
    )
    await unit.save_rollout(overtaken, lock)


async def record_plan(run: RolloutRun, plan: RolloutPlan) -> None:
    """One row a machine from the start, so that progress shows what is still to come."""
    rows = [
        (machine, number, RestartState.PLANNED, "")
        for each in plan.chains
        for number, wave in enumerate(each.waves, start=1)
        for machine in wave
    ]
    rows += [(machine, 0, RestartState.PLANNED, "") for machine in plan.asleep]
    rows += [
        (m, 0, RestartState.AT_NEXT_START, f"it is {m.state}, and takes the value when it starts")
        for m in plan.at_next_start
    ]
    rows += [
        (m, 0, RestartState.AT_NEXT_START, "it is left running (policy)") for m in plan.waiting
    ]
    rows += [
        (m, 0, RestartState.UP_TO_DATE, "it already runs with the value") for m in plan.up_to_date
    ]
    rows += [
        (m, 0, RestartState.UNREACHABLE, f"its host is {m.host_status}") for m in plan.unreachable
    ]
    rows += [(left.machine, 0, RestartState.LEFT_OUT, left.reason) for left in plan.left_out]
    async with run.parts.store.unit() as unit:
        for machine, wave, state, note in rows:
            known = run.rows.get(machine.id)
            if known in run.failed_before and state is RestartState.PLANNED:
                continue  # after a crash in between, the next try must still see that it failed
            if known is None or state is RestartState.PLANNED:
                await run.save(run.row(machine, wave, state, note), unit=unit)
            elif known.state is RestartState.FAILED and state is RestartState.UP_TO_DATE:
                await run.save(_recovered(run, known), unit=unit)


def _tried_again(failed: MachineRestart) -> MachineRestart:
    """The record of a machine that a person has let the rollout go on with."""
    note = f"resumed after: {failed.note}"
    return replace(failed, state=RestartState.PLANNED, note=note, ended_at=None, replaced_by=None)


def _recovered(run: RolloutRun, failed: MachineRestart) -> MachineRestart:
    """The record of a machine that had failed and is healthy now; its times stay."""
    note = f"it has recovered since: {failed.note}"
    return replace(failed, state=RestartState.UP_TO_DATE, note=note, ended_at=run.now)
