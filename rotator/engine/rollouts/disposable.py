"""Machines that rotator makes: clones that take over, and rehearsals. Found again after a crash by
their marks, because Fly has no idempotency key for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from rotator.domain.errors import NotYet, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import GONE_STATES, MARK_ROLLOUT, Machine
from rotator.engine.rollouts.run import RolloutRun


async def made(
    run: RolloutRun, like: Machine, mark: Mapping[str, str], asked_at: datetime | None
) -> Machine:
    """The machine with these marks: the one that an earlier try made, or a new one.

    `asked_at` is when an earlier try asked for it: until lists can't hide that one any more, no
    second one is made.
    """
    marks = {**run.marks_for(like), **mark}
    if asked_at is not None:
        for machine in await run.fleet.fresh():
            ours = machine.metadata.get(MARK_ROLLOUT) == run.rollout.id
            same = all(machine.metadata.get(key) == value for key, value in mark.items())
            if ours and same and machine.state not in GONE_STATES:
                return machine
        missing = (asked_at + run.parts.limits.list_lag - run.now).total_seconds()
        if missing > 0:
            raise NotYet(
                "a machine made for this rollout may not be listed yet", after_seconds=missing
            )
    return await run.parts.fleet.create(
        like, marks=marks, min_secrets_version=run.rollout.secrets_version
    )


async def destroy_leftovers(
    run: RolloutRun, leftovers: Iterable[Machine], present: Iterable[Machine]
) -> None:
    """Destroy what an earlier rollout made and left. A machine that a clone had begun to take over
    from gets its traffic back first."""
    by_id = {machine.id: machine for machine in present}
    for machine in leftovers:
        original = by_id.get(machine.stand_in_for or "")
        if original is not None and original.cordoned and not machine.cordoned:
            await run.parts.fleet.uncordon(run.rollout.app, original.id, None)
        await destroy(run, machine.id)


async def destroy(run: RolloutRun, machine_id: str) -> None:
    """Destroy a machine of ours, with an event before and after (P7)."""
    await run.tell(Action.MACHINE_DESTROYING, Outcome.INTENT, machine_id=machine_id)
    await run.parts.fleet.destroy(run.rollout.app, machine_id, None)
    await run.tell(Action.MACHINE_DESTROYED, Outcome.OK, machine_id=machine_id)


async def destroy_quietly(run: RolloutRun, machine_id: str) -> None:
    """The same where the rollout has failed already: what stays is a leftover for the next one."""
    try:
        await destroy(run, machine_id)
    except RotatorError:
        return
