"""Run a plan: groups side by side, wave by wave, never more out of service than allowed (P4)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from rotator.domain.errors import Held, NotAllowed, NotYet, Refused, RetryLater
from rotator.domain.machines import GONE_STATES, Machine
from rotator.domain.policy import Strategy
from rotator.domain.rollout import Chain, Method, RolloutPlan
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.engine.concurrency import together
from rotator.engine.rollouts.bluegreen import replace_machines
from rotator.engine.rollouts.gate import Gate
from rotator.engine.rollouts.health import flapped, read
from rotator.engine.rollouts.machine import restart_machine
from rotator.engine.rollouts.rehearsal import rehearse
from rotator.engine.rollouts.run import RolloutRun
from rotator.engine.rollouts.traffic import give_back_to_done

_CROWDED_PAUSE = 5.0
_HOST_AWAY_SECONDS = (30.0, 3600.0)
_HOST_AWAY_SHARE = 0.1
"""How often to look for a host that is away: the longer the rollout has lasted, the rarer."""


async def run_plan(run: RolloutRun, plan: RolloutPlan, gate: Gate) -> None:
    """Restart what the plan says: rehearsals, then the groups, then what sleeps.

    What went wrong is in the gate. Machines that sleep come last, so that a bad value is found
    before they are touched.
    """
    if run.rollout.policy.rehearsal is not None and not run.repairing:
        await _guarded(gate, [rehearse(run, each, gate) for each in plan.chains])
    # No group goes on before the canaries of all have shown that the value can be lived with.
    await _guarded(gate, [_canaries(run, each, gate) for each in plan.chains])
    await _guarded(gate, [_the_rest(run, each, gate) for each in plan.chains])
    if plan.asleep and await gate.may_go_on():
        rows = [run.row(m, 0, RestartState.PLANNED, "") for m in plan.asleep]
        await _guarded(gate, [_restart_all(run, rows, gate, None)])


async def _guarded(gate: Gate, jobs: Iterable[Coroutine[object, object, object]]) -> None:
    """Run side by side. What stops one, an abort by hand too, shuts the gate; the others end their
    wave: one that is cut short leaves a drained machine behind."""

    async def one(job: Coroutine[object, object, object]) -> None:
        try:
            await job
        except (RetryLater, NotAllowed, Refused) as error:
            gate.hold(error)

    await together([one(job) for job in jobs])


async def _canaries(run: RolloutRun, planned: Chain, gate: Gate) -> None:
    if planned.canary_waves:
        await _run_waves(run, planned, range(1, planned.canary_waves + 1), gate)


async def _the_rest(run: RolloutRun, planned: Chain, gate: Gate) -> None:
    if planned.method is Method.BLUE_GREEN:
        if await gate.may_go_on():
            await replace_machines(run, planned, gate)
        return
    await _run_waves(run, planned, range(planned.canary_waves + 1, len(planned.waves) + 1), gate)


async def _run_waves(run: RolloutRun, planned: Chain, numbers: range, gate: Gate) -> None:
    policy = run.rollout.policy
    hurried = policy.strategy is Strategy.IMMEDIATE
    for number in numbers:
        wave = planned.waves[number - 1]
        if number > 1 and not hurried:
            await run.parts.clock.sleep(policy.stagger.total_seconds())
        if not await gate.may_go_on():
            return
        done = await _run_wave(run, planned, wave, number, gate)
        canary = number <= planned.canary_waves
        soak = policy.canary_soak if canary else policy.soak
        if soak and not hurried and not run.repairing and not gate.shut:
            await _soak(run, done, soak, gate)


async def _run_wave(
    run: RolloutRun, planned: Chain, wave: Sequence[Machine], number: int, gate: Gate
) -> list[MachineRestart]:
    """Restart a wave, in smaller portions while other machines of the group are out of service."""
    done: list[MachineRestart] = []
    left = list(wave)
    # Nothing of the group was touched before its first wave: the list of the plan still holds.
    begun = run.now if number > 1 else None
    hurried = run.rollout.policy.strategy is Strategy.IMMEDIATE
    while left and not gate.shut:
        if hurried:
            portion: Sequence[Machine] = left
        else:
            portion = await _affordable(run, planned, left, begun)
        rows = [run.row(machine, number, RestartState.PLANNED, "") for machine in portion]
        done += await _restart_all(run, rows, gate, None if hurried else planned)
        taken = {machine.id for machine in portion}
        left = [machine for machine in left if machine.id not in taken]
        begun = run.now
    return done


async def _affordable(
    run: RolloutRun, planned: Chain, wave: Sequence[Machine], begun: datetime | None
) -> Sequence[Machine]:
    """The machines of the wave that may go now, given who is out of service already (P4)."""
    clock = run.parts.clock
    deadline = clock.now() + run.rollout.policy.health_timeout
    present = await (run.fleet.recent() if begun is None else run.fleet.since(begun))
    while True:
        await give_back_to_done(run, _back_again(run, planned, present))
        portion = within_budget(planned, wave, present)
        if portion:
            return portion
        if _unreachable(planned, present) or clock.now() >= deadline:
            raise _crowded(run, planned, present)
        await clock.sleep(_CROWDED_PAUSE)
        present = await run.fleet.fresh()


def _back_again(run: RolloutRun, planned: Chain, present: Iterable[Machine]) -> list[Machine]:
    """Machines of the group that have the value and are well, as far as we can tell: their hosts
    did not answer when they were to get their traffic back."""
    return [
        machine
        for machine in present
        if machine.process_group == planned.group
        and machine.healthy
        and machine.marked_secrets_version >= run.rollout.secrets_version
    ]


def _crowded(run: RolloutRun, planned: Chain, present: Sequence[Machine]) -> RetryLater:
    """A sick app has limited patience; a host that is away is waited for as long as it takes."""
    away = _unreachable(planned, present)
    if away:
        return Held(
            f"{run.rollout.app}: unreachable {', '.join(away)}; restarting one more would leave "
            "fewer than the policy allows",
            after_seconds=_host_pause(run),
        )
    return NotYet(
        f"other machines of {run.rollout.app} are out of service: restarting one more would leave "
        "fewer than the policy allows",
        after_seconds=60,
    )


def _host_pause(run: RolloutRun) -> float:
    shortest, longest = _HOST_AWAY_SECONDS
    lasted = (run.now - run.rollout.started_at).total_seconds()
    return min(max(lasted * _HOST_AWAY_SHARE, shortest), longest)


def _unreachable(planned: Chain, present: Sequence[Machine]) -> list[str]:
    """The machines of the group on hosts that do not answer: that takes its time."""
    return [
        machine.id
        for machine in present
        if machine.process_group == planned.group
        and not machine.reachable
        and machine.state not in GONE_STATES
    ]


def within_budget(
    planned: Chain, wave: Sequence[Machine], present: Iterable[Machine]
) -> list[Machine]:
    """Cut a wave down so that, with those that are unhealthy now, its group keeps its budget. The
    wave's own that are out of service already cost nothing."""
    away = {
        machine.id
        for machine in present
        if machine.process_group == planned.group
        and (not machine.down or not machine.reachable)
        and machine.state not in GONE_STATES
        and not machine.healthy
    }
    room = max(0, planned.budget - len(away))
    out = [machine for machine in wave if machine.id in away][: planned.budget]
    return [*out, *[machine for machine in wave if machine.id not in away][:room]]


def _away(planned: Chain, present: Iterable[Machine]) -> set[str]:
    """The machines of the group that should be in service and are not."""
    return {
        machine.id
        for machine in present
        if machine.process_group == planned.group
        and (not machine.down or not machine.reachable)
        and machine.state not in GONE_STATES
        and not machine.healthy
    }


async def _restart_all(
    run: RolloutRun, rows: Sequence[MachineRestart], gate: Gate, planned: Chain | None
) -> list[MachineRestart]:
    """Restart these side by side, within the budget of their chain where there is one. One that
    could not be finished now must not cut its neighbours short: its error is raised when all of
    them have ended."""

    places = asyncio.Semaphore(run.parts.limits.machines_at_once)
    ours = {row.machine_id for row in rows}

    async def affordable(row: MachineRestart) -> None:
        if planned is None:
            return
        present = await run.fleet.fresh()
        away = _away(planned, present)
        if row.machine_id not in away and len(away | ours) > planned.budget:
            raise _crowded(run, planned, present)

    async def one(row: MachineRestart) -> MachineRestart | RetryLater | NotAllowed:
        async with places:
            try:
                ended = await restart_machine(run, row, partial(affordable, row))
            except (RetryLater, NotAllowed) as error:
                return error
        gate.note([ended])  # at once: other groups must not go on until this wave has ended
        return ended

    results = await together([one(row) for row in rows])
    ended = [each for each in results if isinstance(each, MachineRestart)]
    errors = [each for each in results if isinstance(each, RetryLater | NotAllowed)]
    if errors:
        raise next((each for each in errors if not isinstance(each, Held)), errors[0])
    return ended


async def _soak(
    run: RolloutRun, done: Sequence[MachineRestart], soak: timedelta, gate: Gate
) -> None:
    """Give the machines time to show that they last: one look at the end tells of every exit."""
    fresh = [each for each in done if each.state is RestartState.HEALTHY and each.healthy_at]
    if not fresh:
        return
    await run.parts.clock.sleep(soak.total_seconds())

    async def look(row: MachineRestart) -> MachineRestart:
        assert row.healthy_at is not None
        machine = await read(run, row.machine_id)
        problem = flapped(machine, instance_id=row.new_instance_id, since=row.healthy_at)
        if problem is None:
            return row
        return await run.save(replace(row, state=RestartState.FAILED, note=problem))

    gate.note(await together([look(row) for row in fresh]))
