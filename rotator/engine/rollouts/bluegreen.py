"""Replace a group's machines by clones: start before stop, for groups that can't spare one.

All clones are made and healthy before the first machine gives up its traffic. Until then a failure
costs nothing but the clones; from then on the only way is forward, and every step of it can be
repeated.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta

from rotator.domain.errors import NotFound
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import MARK_CLONE_OF, Machine
from rotator.domain.rollout import Chain
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.engine.concurrency import each_to_its_end
from rotator.engine.rollouts.disposable import destroy_quietly, made
from rotator.engine.rollouts.gate import Gate
from rotator.engine.rollouts.health import flapped, read, see_healthy, wait_started
from rotator.engine.rollouts.lease import leased
from rotator.engine.rollouts.machine import end
from rotator.engine.rollouts.run import RolloutRun

_SWITCH_PAUSE = timedelta(seconds=2)
"""How long the proxy is given to learn of a new machine before the old one gives up its traffic."""


async def replace_machines(run: RolloutRun, planned: Chain, gate: Gate) -> None:
    """Clone every machine of the group, see the clones healthy, then let them take over."""
    machines = [machine for wave in planned.waves for machine in wave]
    cloned = await each_to_its_end([_clone(run, machine) for machine in machines])
    checked = await each_to_its_end([_told(gate, _checked(run, *each)) for each in cloned])
    ready = [row for row in checked if row.state is not RestartState.FAILED]
    if len(ready) == len(checked) and run.rollout.policy.soak:
        await run.parts.clock.sleep(run.rollout.policy.soak.total_seconds())
        checked = await each_to_its_end([_told(gate, _lasting(run, row)) for row in ready])
        ready = [row for row in checked if row.state is not RestartState.FAILED]
    if len(ready) < len(checked):
        await each_to_its_end([_given_up(run, row) for row in checked])
        return
    gate.note(await each_to_its_end([_switch(run, row) for row in ready]))


async def _given_up(run: RolloutRun, row: MachineRestart) -> None:
    """Destroy a clone, so that the next try makes another one."""
    await destroy_quietly(run, row.replaced_by or "")
    await run.save(replace(row, replaced_by=None))


async def _told(gate: Gate, work: Coroutine[object, object, MachineRestart]) -> MachineRestart:
    """Let other groups know of a failure at once, not when the rest of this one has ended."""
    row = await work
    gate.note([row])
    return row


async def _clone(run: RolloutRun, machine: Machine) -> tuple[MachineRestart, Machine | None]:
    """One clone; None where an earlier try made it. The intent is committed first, so that a crash
    doesn't make a second one."""
    row = run.row(machine, 1, RestartState.CLONING, "")
    if row.replaced_by is not None:
        return row, None
    asked_at = row.admitted_at
    row = await run.save(
        replace(row, admitted_at=asked_at or run.now), (Action.MACHINE_CLONING, Outcome.INTENT)
    )
    clone = await made(run, machine, {MARK_CLONE_OF: machine.id}, asked_at)
    row = await run.save(
        replace(
            row,
            replaced_by=clone.id,
            updated_at=run.now,
            new_instance_id=clone.instance_id,
            secrets_version=run.rollout.secrets_version,
        )
    )
    return row, clone


async def _checked(run: RolloutRun, row: MachineRestart, clone: Machine | None) -> MachineRestart:
    """The clone started and healthy, or what is wrong with it."""
    assert row.replaced_by is not None
    asked_at = row.updated_at or run.now
    try:
        started = await wait_started(run, clone or await read(run, row.replaced_by))
        row = await run.save(replace(row, state=RestartState.CHECKING, started_at=run.now))
        verdict = await see_healthy(run, started, asked_at=asked_at)
    except NotFound:
        return await end(run, row, RestartState.FAILED, "its clone was destroyed meanwhile")
    problem = verdict.problem
    if problem is None and (verdict.asleep or verdict.gone):
        problem = f"its clone is {verdict.machine.state}"
    if problem is not None:
        return await end(run, row, RestartState.FAILED, f"its clone {row.replaced_by}: {problem}")
    return await run.save(
        replace(row, healthy_at=run.now, new_instance_id=verdict.machine.instance_id)
    )


async def _lasting(run: RolloutRun, row: MachineRestart) -> MachineRestart:
    assert row.replaced_by is not None
    assert row.healthy_at is not None
    clone = await read(run, row.replaced_by)
    problem = flapped(clone, instance_id=row.new_instance_id, since=row.healthy_at)
    if problem is None:
        return row
    return await end(run, row, RestartState.FAILED, f"its clone {row.replaced_by}: {problem}")


async def _switch(run: RolloutRun, row: MachineRestart) -> MachineRestart:
    """Traffic to the clone, away from the machine, then destroy the machine."""
    assert row.replaced_by is not None
    app, fleet, clone_id = run.rollout.app, run.parts.fleet, row.replaced_by
    row = await run.save(
        replace(row, state=RestartState.SWITCHING),
        (Action.MACHINE_DESTROYING, Outcome.INTENT),
    )
    await fleet.uncordon(app, clone_id, None)
    try:
        async with leased(run, row.machine_id, to_destroy=True) as lease:
            row = replace(row, leased_at=run.now)
            await run.parts.clock.sleep(_SWITCH_PAUSE.total_seconds())
            await fleet.cordon(app, row.machine_id, lease)
            await run.parts.clock.sleep(run.rollout.policy.drain.total_seconds())
            await fleet.destroy(app, row.machine_id, lease)
    except NotFound:
        row = replace(row, note="it was gone already")
    row = replace(row, stopped_at=run.now, released_at=run.now)
    note = f"replaced by {clone_id}"
    return await end(run, row, RestartState.REPLACED, note, Action.MACHINE_REPLACED)
