"""Restart one machine so that it takes up new secrets: admit, lease, read, drain, update, wait,
check, release.

Everything that a machine passes through is written to its `MachineRestart` as it happens; a
restart that is repeated after a crash finds its own marks on the machine and only waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime

from rotator.domain.errors import Drift, NotFound, NotYet, Refused, RetryLater, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import GONE_STATES, MARK_ROLLOUT, Lease, Machine
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.engine.rollouts.disruption import admitted
from rotator.engine.rollouts.health import Verdict, read, see_healthy, wait_started
from rotator.engine.rollouts.lease import leased
from rotator.engine.rollouts.run import RolloutRun


async def restart_machine(
    run: RolloutRun, restart: MachineRestart, affordable: Callable[[], Awaitable[None]]
) -> MachineRestart:
    """Bring one machine to the wanted secrets version and see it healthy.

    `affordable` raises where its group can't do without it any more; it is asked once somebody
    else's lease was waited for.

    Gives the record with its final state; raises only what stops the whole rollout
    (`ClaimLost`, a database that is gone, an API that stays away, a lease that stays held).
    """
    try:
        restart = await _restart(run, await admitted(run, restart), affordable)
    except NotFound:
        restart = await end(run, restart, RestartState.GONE, "it was destroyed meanwhile")
    except (Refused, Drift) as error:
        restart = await end(run, restart, RestartState.FAILED, str(error))
    return await run.save(replace(restart, released_at=run.now))


async def _restart(
    run: RolloutRun, restart: MachineRestart, affordable: Callable[[], Awaitable[None]]
) -> MachineRestart:
    async with leased(run, restart.machine_id, waited=affordable) as lease:
        machine = await read(run, restart.machine_id)
        restart = replace(restart, leased_at=run.now, old_instance_id=machine.instance_id)
        early = await _nothing_to_do(run, restart, machine)
        if early is not None:
            return early
        asleep = machine.down
        if not asleep:
            restart = _with_earlier_health(run, restart, machine)
            restart = await _drain(run, restart, machine, lease)
        try:
            restart, machine = await _bring_up_to(run, restart, machine, lease, asleep=asleep)
            if asleep:
                return await _settle_asleep(run, restart, machine, lease)
            return await _see_it_through(run, restart, machine, lease)
        except RotatorError:
            await _back_in_service(run, restart, lease)
            raise


async def _nothing_to_do(
    run: RolloutRun, restart: MachineRestart, machine: Machine
) -> MachineRestart | None:
    """What the fresh look shows: gone, out of reach, or renewed by somebody's deploy meanwhile."""
    if machine.state in GONE_STATES:
        return await end(run, restart, RestartState.GONE, f"it is {machine.state}")
    if not machine.reachable:
        return await end(
            run, restart, RestartState.UNREACHABLE, f"its host is {machine.host_status}"
        )
    aim = run.aim
    renewed = aim.delivered_at is not None and machine.renewed_since(aim.delivered_at)
    ours = machine.metadata.get(MARK_ROLLOUT) == run.rollout.id
    if renewed and not ours:
        return await end(
            run, restart, RestartState.UP_TO_DATE, "somebody else's deploy brought it the value"
        )
    return None


def _with_earlier_health(
    run: RolloutRun, restart: MachineRestart, machine: Machine
) -> MachineRestart:
    """Say of a machine that was out of service before we touched it that it was."""
    touched = machine.marked_secrets_version >= run.rollout.secrets_version
    if machine.healthy or touched:
        return restart
    return replace(restart, note="it was not healthy before")


async def _drain(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease
) -> MachineRestart:
    """Take the machine out of the proxy and let its requests end. One that somebody else has
    cordoned stays theirs; one that we have (the intent is in its record) is uncordoned after."""
    policy = run.rollout.policy
    if not policy.drain or not machine.has_services or not machine.running:
        return restart
    if machine.cordoned and restart.drained_at is None:
        return restart
    if restart.drained_at is None:
        restart = await run.save(
            replace(restart, state=RestartState.DRAINING, drained_at=run.now),
            (Action.MACHINE_DRAINING, Outcome.INTENT),
        )
    await run.parts.fleet.cordon(run.rollout.app, machine.id, lease)
    await run.parts.clock.sleep(policy.drain.total_seconds())
    return restart


async def _back_in_service(run: RolloutRun, restart: MachineRestart, lease: Lease) -> None:
    """After a failure in between: give the machine its traffic back. Where that fails too, its
    error counts: a record that ended now would leave the machine out of the proxy."""
    if restart.drained_at is not None:
        await run.parts.fleet.uncordon(run.rollout.app, restart.machine_id, lease)


async def _bring_up_to(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease, *, asleep: bool
) -> tuple[MachineRestart, Machine]:
    """Update unless the machine already has the wanted secrets version."""
    wanted = run.rollout.secrets_version
    if machine.marked_secrets_version < wanted:
        restart = await run.save(
            replace(restart, state=RestartState.UPDATING),
            (Action.MACHINE_UPDATING, Outcome.INTENT),
        )
        machine = await _update(run, machine, lease, asleep=asleep)
    restart = replace(
        restart,
        state=RestartState.STARTING,
        new_instance_id=machine.instance_id,
        secrets_version=wanted,
        updated_at=run.now,
    )
    return await run.save(restart), machine


async def _update(run: RolloutRun, machine: Machine, lease: Lease, *, asleep: bool) -> Machine:
    """Update, reading again when the machine changed under us (P8) or an answer was lost."""
    wanted = run.rollout.secrets_version
    problem: RotatorError | None = None
    for attempt in range(run.parts.limits.reread_attempts):
        if attempt:
            await run.parts.clock.sleep(2 ** (attempt - 1))
            machine = await read(run, machine.id)
            if machine.marked_secrets_version >= wanted:
                return machine
            if not machine.reachable:
                raise Refused(f"the host of {machine.id} went away ({machine.host_status})")
            if machine.down is not asleep:
                # An update may start what is down, and must not stop what runs: planned anew.
                raise NotYet(f"{machine.id} is {machine.state} by now", after_seconds=1)
        try:
            return await run.parts.fleet.update(
                machine,
                marks=run.marks_for(machine),
                min_secrets_version=wanted,
                skip_launch=asleep,
                lease=lease,
            )
        except (Drift, RetryLater) as error:
            problem = error
    assert problem is not None
    raise problem


async def _settle_asleep(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease
) -> MachineRestart:
    """A machine that was down stays down; a snapshot with the old environment must go."""
    machine = await wait_started(run, machine)
    if machine.state in ("suspended", "suspending"):
        await run.parts.fleet.stop(run.rollout.app, machine.id, lease)
        machine = await wait_started(run, machine)
        if machine.state in ("suspended", "suspending"):
            raise NotYet(f"{machine.id} still keeps its snapshot with the old value")
        return await end(run, restart, RestartState.ASLEEP, "its old snapshot was dropped")
    if machine.running:
        woken = replace(restart, note="it was started meanwhile")
        return await _judged(run, woken, await _seen_healthy(run, restart, machine))
    return await end(run, restart, RestartState.ASLEEP, "it takes the value at its next start")


async def _see_it_through(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease
) -> MachineRestart:
    """Wait for this version to start, then for its health; then give it its traffic back."""
    started = await wait_started(run, machine)
    restart = await run.save(
        replace(
            restart,
            state=RestartState.CHECKING,
            started_at=run.now if started.state == "started" else None,
            new_instance_id=started.instance_id,
        )
    )
    verdict = await _seen_healthy(run, restart, started)
    restart = replace(restart, stopped_at=_stopped_at(restart, verdict.machine))
    if restart.drained_at is not None and not verdict.gone:
        await run.parts.fleet.uncordon(run.rollout.app, machine.id, lease)
    return await _judged(run, restart, verdict)


async def _seen_healthy(run: RolloutRun, restart: MachineRestart, machine: Machine) -> Verdict:
    return await see_healthy(run, machine, asked_at=restart.updated_at or run.now)


def _stopped_at(restart: MachineRestart, machine: Machine) -> datetime | None:
    """When the old version went down, by the machine's own history."""
    begun = restart.leased_at
    exits = [e.at for e in machine.events if e.type == "exit" and begun and e.at >= begun]
    return min(exits, default=None)


async def _judged(run: RolloutRun, restart: MachineRestart, verdict: Verdict) -> MachineRestart:
    if verdict.problem is not None:
        told = "; ".join(each for each in (verdict.problem, restart.note) if each)
        return await end(run, restart, RestartState.FAILED, told)
    if verdict.gone:
        return await end(run, restart, RestartState.GONE, f"it is {verdict.machine.state}")
    if verdict.asleep:
        return await end(run, restart, RestartState.ASLEEP, "the proxy put it to sleep")
    healthy = replace(
        restart, healthy_at=verdict.healthy_at, new_instance_id=verdict.machine.instance_id
    )
    return await end(run, healthy, RestartState.HEALTHY, restart.note)


_OUTCOMES: Mapping[RestartState, Outcome] = {
    RestartState.HEALTHY: Outcome.OK,
    RestartState.REPLACED: Outcome.OK,
    RestartState.REHEARSED: Outcome.OK,
    RestartState.ASLEEP: Outcome.OK,
    RestartState.UP_TO_DATE: Outcome.OK,
    RestartState.GONE: Outcome.INFO,
    RestartState.UNREACHABLE: Outcome.WAITING,
    RestartState.FAILED: Outcome.FAILED,
}


async def end(
    run: RolloutRun,
    restart: MachineRestart,
    state: RestartState,
    note: str,
    action: Action = Action.MACHINE_RESTARTED,
) -> MachineRestart:
    """The machine's record takes its last state, with the event that tells it."""
    ended = replace(restart, state=state, note=note, ended_at=run.now)
    return await run.save(ended, (action, _OUTCOMES[state]))
