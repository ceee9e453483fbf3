"""Machines that a rollout took out of the proxy get their traffic back, whatever happens.

A machine's record says that it was drained (`drained_at`) until that is undone (`ended_at`). A
rollout that can't undo it, because it failed elsewhere meanwhile or was overtaken, leaves the
duty to the next rollout of the app.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rotator.domain.errors import Held, RetryLater
from rotator.domain.machines import GONE_STATES, Machine
from rotator.domain.ports import AppLock, Unit
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.engine.rollouts.run import RolloutRun

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 60.0


def drained_by_us(row: MachineRestart) -> bool:
    """Whether this rollout took the machine out of the proxy and has not put it back."""
    return row.drained_at is not None and row.ended_at is None


async def inherit(
    unit: Unit, rows: Iterable[MachineRestart], rollout_id: str, lock: AppLock
) -> dict[str, MachineRestart]:
    """Let a new rollout take over what the one before left drained. Gives its first records."""
    taken: dict[str, MachineRestart] = {}
    now = await unit.database_now()
    for row in rows:
        if not drained_by_us(row):
            continue
        heir = replace(
            row,
            rollout_id=rollout_id,
            state=RestartState.PLANNED,
            old_instance_id=row.new_instance_id or row.old_instance_id,
            new_instance_id=None,
            note="it was left drained",
        )
        note = f"{row.note}; drained until rollout {rollout_id}".removeprefix("; ")
        await unit.save_machine_restart(replace(row, note=note, ended_at=now), lock)
        await unit.save_machine_restart(heir, lock)
        taken[row.machine_id] = heir
    return taken


async def give_back_to_done(run: RolloutRun, machines: Iterable[Machine]) -> None:
    """Machines that a crash left drained by us, and that have nothing else to wait for."""
    for machine in machines:
        row = run.rows.get(machine.id)
        if row is not None and drained_by_us(row) and machine.cordoned:
            await run.parts.fleet.uncordon(run.rollout.app, machine.id, None)
            note = "it was given its traffic back"
            await run.save(replace(row, state=RestartState.UP_TO_DATE, note=note, ended_at=run.now))


async def give_back_at_end(run: RolloutRun, machines: Sequence[Machine], *, failed: bool) -> None:
    """The last thing of a rollout: nothing that it drained stays out of the proxy.

    Raises:
        Held: a machine's host does not answer. After a failure there are more urgent things than
            to wait for it: the rollout that undoes this one inherits the duty.
    """
    present = {m.id: m for m in machines if m.state not in GONE_STATES}
    for row in list(run.rows.values()):
        machine = present.get(row.machine_id)
        if machine is None or not drained_by_us(row):
            continue
        try:
            if machine.cordoned:
                await run.parts.fleet.uncordon(run.rollout.app, machine.id, None)
        except RetryLater as error:
            if failed:
                _log.warning("%s stays drained for now: %s", machine.id, error.message)
                continue
            raise Held(
                f"{machine.id} is drained and can't be put back into the proxy: {error.message}",
                after_seconds=_AGAIN_SECONDS,
            ) from error
        await run.save(replace(row, ended_at=run.now))
