"""Run a rollout: lock the app, plan, restart wave by wave, stop at the first failure (P4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.errors import Busy, ClaimLost, NotYet, Refused, RetryLater
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import Machine
from rotator.domain.policy import OnFailure, RolloutPolicy
from rotator.domain.ports import AppLock, Unit
from rotator.domain.rollout import LeftOut, RolloutPlan, plan_rollout
from rotator.domain.rotation import (
    RESTART_DONE,
    MachineRestart,
    RestartState,
    Rollout,
    RolloutState,
    StepName,
)
from rotator.engine.adoption import all_machines, took_up
from rotator.engine.concurrency import together
from rotator.engine.deliver import SECRETS_VERSION
from rotator.engine.journal import since
from rotator.engine.keepalive import kept
from rotator.engine.machine_restart import RolloutRun, restart_machine
from rotator.engine.parts import Parts
from rotator.engine.step import Result, StepContext

AppLease = Callable[[], AppLock]


@dataclass(frozen=True)
class Wanted:
    """What a rollout is for: the app, the secrets version, the secrets' names, the policy.

    `undoes` is the delivery that a roll-back takes back: only machines that took it up restart.
    """

    app: str
    secrets_version: int
    names: frozenset[str]
    policy: RolloutPolicy
    undoes: tuple[int, datetime] | None = None


async def roll_out(ctx: StepContext) -> Result:
    """The steps roll-out and roll-back: every machine that reads the value gets a fresh boot."""
    delivered = StepName.DELIVER if ctx.step.name is StepName.ROLL_OUT else StepName.RESTORE
    wanted = await _wanted(ctx, delivered)
    async with _app_locked(ctx.parts, wanted.app, ctx.rotation.id) as lock:
        run, plan = await _begin(ctx, wanted, lock)
        ctx.notes["rollout"] = run.rollout.id
        problem = await _run_plan(run, plan)
        return await _finish(ctx, run, problem)


async def _wanted(ctx: StepContext, delivered: StepName) -> Wanted:
    """The floor is the newest version that any delivery to this app has given us, so that
    rotations which run at the same time are served by one restart."""
    app = ctx.step.subject
    targets = [t for t in ctx.credential.spec.targets if t.app == app]
    names = [ctx.parts.targets[t.type].secret_name(t.params) for t in targets]
    numbers = [
        int(step.detail.get(SECRETS_VERSION, "0"))
        for step in ctx.done_steps(delivered)
        if step.subject in {t.key for t in targets}
    ]
    async with ctx.parts.store.view() as unit:
        ledger = await unit.secrets_version(app)
    return Wanted(
        app=app,
        secrets_version=max([ledger, *numbers]),
        names=frozenset(n for n in names if n is not None),
        policy=targets[0].rollout,
        undoes=_undone_delivery(ctx, app) if ctx.step.name is StepName.ROLL_BACK else None,
    )


def _undone_delivery(ctx: StepContext, app: str) -> tuple[int, datetime]:
    """The lowest secrets version that held the new value, and when it was first written."""
    keys = {t.key for t in ctx.credential.spec.targets if t.app == app}
    steps = [s for s in ctx.steps if s.name is StepName.DELIVER and s.subject in keys and s.attempt]
    numbers = [int(s.detail[SECRETS_VERSION]) for s in steps if SECRETS_VERSION in s.detail]
    begun = min(since(step, ctx.parts.clock.now()) for step in steps)
    return (min(numbers, default=0), begun)


@asynccontextmanager
async def _app_locked(parts: Parts, app: str, holder: str) -> AsyncIterator[AppLock]:
    """Hold the app's lock while its rollout runs (P3)."""
    async with parts.store.unit() as unit:
        lock = await unit.lock_app(app, holder, parts.limits.lock_ttl)
    if lock is None:
        raise Busy(f"another rollout of {app} is under way", after_seconds=5)

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


async def _begin(ctx: StepContext, wanted: Wanted, lock: AppLock) -> tuple[RolloutRun, RolloutPlan]:
    """Go on with the rollout that a crash left, or open a new one."""
    parts = ctx.parts
    async with parts.store.view() as unit:
        left = await unit.open_rollout(wanted.app)
    resumed = left is not None and left.secrets_version == wanted.secrets_version
    rollout_id = left.id if left is not None and resumed else parts.new_id()
    plan = await _plan(parts, wanted, rollout_id)
    now = parts.clock.now()
    rollout = (
        left
        if left is not None and resumed
        else Rollout(
            id=rollout_id,
            app=wanted.app,
            secrets_version=wanted.secrets_version,
            policy=wanted.policy,
            state=RolloutState.RUNNING,
            waves=len(plan.waves),
            started_at=now,
        )
    )
    run = RolloutRun(parts, rollout, lock, ctx.credential, ctx.rotation)
    async with parts.store.unit() as unit:
        if left is not None and not resumed:
            overtaken = replace(
                left,
                state=RolloutState.ABANDONED,
                ended_at=now,
                error=f"overtaken by rollout {rollout_id}",
            )
            await unit.save_rollout(overtaken, lock)
        await unit.save_rollout(rollout, lock)
        await unit.link_rollout(rollout.id, ctx.rotation.id)
        await _record_plan(run, plan, unit)
        if not resumed:
            await unit.append(run.event(Action.ROLLOUT_STARTED, Outcome.INTENT, now))
    return run, plan


async def _plan(parts: Parts, wanted: Wanted, rollout_id: str) -> RolloutPlan:
    """Plan over the machines as they are; a roll-back leaves out who never took the value up."""
    machines = await all_machines(parts.fleet, wanted.app)
    spared: list[LeftOut] = []
    if wanted.undoes is not None:
        number, since_when = wanted.undoes
        spared = [
            LeftOut(m, "it never took up the new value")
            for m in machines
            if not took_up(m, floor=number, delivered_at=since_when)
        ]
    untouched = {left.machine.id for left in spared}
    plan = plan_rollout(
        [m for m in machines if m.id not in untouched],
        wanted.policy,
        secrets_version=wanted.secrets_version,
        names=wanted.names,
        rollout_id=rollout_id,
        repairing=wanted.undoes is not None,
    )
    return replace(plan, left_out=(*plan.left_out, *spared))


async def _record_plan(run: RolloutRun, plan: RolloutPlan, unit: Unit) -> None:
    """One row a machine from the start, so that progress shows what is still to come."""
    known = {r.machine_id for r in await unit.machine_restarts(run.rollout.id)}
    rows = [
        (machine, number, RestartState.PLANNED, "")
        for number, wave in enumerate(plan.waves, start=1)
        for machine in wave
    ]
    rows += [(machine, 0, RestartState.PLANNED, "") for machine in plan.asleep]
    rows += [
        (m, 0, RestartState.UP_TO_DATE, "it already runs with the value") for m in plan.up_to_date
    ]
    rows += [
        (m, 0, RestartState.UNREACHABLE, f"its host is {m.host_status}") for m in plan.unreachable
    ]
    rows += [(left.machine, 0, RestartState.LEFT_OUT, left.reason) for left in plan.left_out]
    for machine, wave, state, note in rows:
        if machine.id in known and state is not RestartState.PLANNED:
            continue
        await unit.save_machine_restart(_row(run.rollout, machine, wave, state, note), run.lock)


def _row(
    rollout: Rollout, machine: Machine, wave: int, state: RestartState, note: str
) -> MachineRestart:
    return MachineRestart(
        rollout_id=rollout.id,
        machine_id=machine.id,
        machine_name=machine.name,
        region=machine.region,
        process_group=machine.process_group,
        wave=wave,
        state=state,
        old_instance_id=machine.instance_id,
        note=note,
    )


async def _run_plan(run: RolloutRun, plan: RolloutPlan) -> str | None:
    """Restart everything; give what went wrong, or None."""
    problems = await _restart_all(run, [(machine, 0) for machine in plan.asleep])
    policy = run.rollout.policy
    for number, wave in enumerate(plan.waves, start=1):
        if problems and policy.on_failure is not OnFailure.CONTINUE:
            break
        await _stop_if_asked(run)
        if number > 1:
            soak = policy.soak if number <= plan.canary_waves + 1 and plan.canary_waves else None
            await run.parts.clock.sleep((soak or policy.stagger).total_seconds())
        problems += await _restart_wave(run, plan, wave, number)
    return "; ".join(problems) or None


async def _restart_wave(
    run: RolloutRun, plan: RolloutPlan, wave: Sequence[Machine], number: int
) -> list[str]:
    """Restart a wave, in smaller portions while other machines of a group are out of service."""
    problems: list[str] = []
    left = list(wave)
    while left and not problems:
        portion = await _affordable(run, plan, left)
        problems += await _restart_all(run, [(machine, number) for machine in portion])
        taken = {machine.id for machine in portion}
        left = [machine for machine in left if machine.id not in taken]
    return problems


async def _affordable(
    run: RolloutRun, plan: RolloutPlan, wave: Sequence[Machine]
) -> Sequence[Machine]:
    """The machines of the wave that may go now, given who is out of service already (P4)."""
    clock = run.parts.clock
    deadline = clock.now() + run.rollout.policy.health_timeout
    while True:
        present = await all_machines(run.parts.fleet, run.rollout.app)
        portion = within_budget(plan, wave, present)
        if portion:
            return portion
        if clock.now() >= deadline:
            raise NotYet(
                f"other machines of {run.rollout.app} are out of service: restarting one more "
                "would leave fewer than the policy allows",
                after_seconds=60,
            )
        await clock.sleep(5)


def within_budget(
    plan: RolloutPlan, wave: Sequence[Machine], present: Iterable[Machine]
) -> list[Machine]:
    """Cut a wave down so that, with those that are unhealthy now, no group exceeds its budget."""
    in_wave = {machine.id for machine in wave}
    asleep = {machine.id for machine in plan.asleep}
    away: dict[str, int] = {}
    for machine in present:
        counts = machine.running or not machine.reachable or machine.state == "failed"
        if counts and not machine.healthy and machine.id not in in_wave | asleep:
            away[machine.process_group] = away.get(machine.process_group, 0) + 1
    portion: list[Machine] = []
    for machine in wave:
        group = machine.process_group
        if away.get(group, 0) < plan.budgets.get(group, 1):
            away[group] = away.get(group, 0) + 1
            portion.append(machine)
    return portion


async def _restart_all(run: RolloutRun, machines: Sequence[tuple[Machine, int]]) -> list[str]:
    """Restart these side by side; gives a sentence for each that failed."""
    gate = asyncio.Semaphore(run.parts.limits.concurrency)

    async def one(machine: Machine, wave: int) -> MachineRestart | RetryLater:
        """A machine that could not be finished now must not cut its neighbours short."""
        async with gate:
            row = _row(run.rollout, machine, wave, RestartState.PLANNED, "")
            try:
                return await restart_machine(run, row)
            except RetryLater as error:
                return error

    results = await together([one(machine, wave) for machine, wave in machines])
    for result in results:
        if isinstance(result, RetryLater):
            raise result
    return [
        f"machine {r.machine_id} in {r.region}: {r.note}"
        for r in results
        if isinstance(r, MachineRestart) and r.state is RestartState.FAILED
    ]


async def _stop_if_asked(run: RolloutRun) -> None:
    """Between waves: turn back on an abort, pause on a graceful stop."""
    async with run.parts.store.view() as unit:
        rotation = await unit.rotation(run.rotation.id)
    if rotation is not None and rotation.abort_requested_at is not None and not _going_back(run):
        raise Refused("the rotation was aborted by hand")
    if run.parts.stopping.is_set():
        raise NotYet("this worker is stopping; another one goes on", after_seconds=1)


def _going_back(run: RolloutRun) -> bool:
    return run.rotation.state.value == "undoing"


async def _finish(ctx: StepContext, run: RolloutRun, problem: str | None) -> Result:
    """Close the rollout's record. A failure is raised so that the walk turns where policy says."""
    now = ctx.parts.clock.now()
    async with ctx.parts.store.unit() as unit:
        rows = await unit.machine_restarts(run.rollout.id)
        done = sum(1 for row in rows if row.state in RESTART_DONE)
        ctx.notes["machines"] = f"{done} of {len(rows)}"
        state = RolloutState.FAILED if problem else RolloutState.SUCCEEDED
        ended = replace(run.rollout, state=state, ended_at=now, error=problem)
        await unit.save_rollout(ended, run.lock)
        outcome = Outcome.FAILED if problem else Outcome.OK
        await unit.append(run.event(Action.ROLLOUT_ENDED, outcome, now))
    if problem:
        raise Refused(f"the rollout of {run.rollout.app} stopped: {problem}")
    return Result()
