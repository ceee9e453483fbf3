"""Rehearse: a disposable machine of the group boots with the new value before any other does."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.errors import Refused, RetryLater
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import MARK_REHEARSAL, Machine
from rotator.domain.policy import Rehearsal
from rotator.domain.rollout import Chain
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.engine.rollouts.disposable import destroy, destroy_quietly, made
from rotator.engine.rollouts.gate import Gate
from rotator.engine.rollouts.health import see_healthy, wait_started
from rotator.engine.rollouts.machine import end
from rotator.engine.rollouts.run import RolloutRun


async def rehearse(run: RolloutRun, planned: Chain, gate: Gate) -> None:
    """Boot one machine like those of the group, out of the proxy, and see whether it can live with
    the new value. Where it can't, no machine in production was touched."""
    wanted = run.rollout.policy.rehearsal
    like = next((m for wave in planned.waves for m in wave if not m.has_volume), None)
    if wanted is None or like is None or _passed(run, planned.group):
        return
    # Its record needs its id, so it is written after the call: an earlier try may have made one.
    asked_at = run.rollout.started_at if run.resumed else None
    await run.tell(Action.REHEARSAL_STARTED, Outcome.INTENT, group=planned.group, like=like.id)
    machine = await made(run, like, {MARK_REHEARSAL: planned.group}, asked_at)
    row = run.row(machine, 0, RestartState.CHECKING, _note(planned.group))
    row = await run.save(replace(row, process_group=planned.group, updated_at=run.now))
    try:
        problem = await _problem(run, machine, wanted)
    except RetryLater:
        await destroy_quietly(run, machine.id)
        raise
    # Where all is well no later rollout would find it: then this one may not end before it is gone.
    await (destroy if problem is None else destroy_quietly)(run, machine.id)
    state = RestartState.REHEARSED if problem is None else RestartState.FAILED
    note = _note(planned.group) if problem is None else f"the rehearsal failed: {problem}"
    gate.note([await end(run, row, state, note, Action.REHEARSAL_ENDED)])


async def _problem(run: RolloutRun, machine: Machine, wanted: Rehearsal) -> str | None:
    asked_at = run.now
    started = await wait_started(run, machine)
    verdict = await see_healthy(run, started, asked_at=asked_at)
    if verdict.problem is not None:
        return verdict.problem
    if verdict.asleep or verdict.gone:
        return f"it is {verdict.machine.state}"
    if not wanted.command:
        return None
    seconds = max(1, int(wanted.timeout.total_seconds()))
    try:
        code = await run.parts.fleet.run_command(
            run.rollout.app, machine.id, wanted.command, timeout_seconds=seconds
        )
    except Refused as error:
        return str(error)
    return None if code == 0 else f"{wanted.command[0]} ended with exit code {code}"


def _note(group: str) -> str:
    return f"rehearsal for {group}"


def _is_rehearsal(row: MachineRestart, group: str) -> bool:
    return row.note == _note(group)


def _passed(run: RolloutRun, group: str) -> bool:
    return any(
        _is_rehearsal(row, group) and row.state is RestartState.REHEARSED
        for row in run.rows.values()
    )
