"""The disruption budget: how much of the organisation rotator may have out of service.

It is counted in the database, over all rollouts of all workers. A machine is admitted in the same
transaction that counts, so that two workers never take the last place both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from rotator.domain.errors import Held
from rotator.domain.policy import DisruptionBudget
from rotator.domain.ports import Unit
from rotator.domain.rotation import MachineRestart, RestartState
from rotator.domain.store_port import Disrupted
from rotator.engine.rollouts.run import RolloutRun

PATIENCE = timedelta(minutes=5)
"""How long a machine queues for a place before the rollout lets go of its app and comes back."""
_PAUSE_SECONDS = 2.0
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Room:
    """Whether one more machine may go out of service; if not, the limit that forbids it."""

    limit: str | None = None

    @property
    def free(self) -> bool:
        """Whether it may."""
        return self.limit is None


def room(
    budget: DisruptionBudget,
    out: Iterable[Disrupted],
    *,
    within_hour: int,
    app: str,
    region: str,
) -> Room:
    """Hold one more machine of this app in this region against the budget. Pure."""
    known = list(out)
    counts = (
        ("at_once", budget.at_once, len(known)),
        ("per_app", budget.per_app, sum(each.app == app for each in known)),
        ("per_region", budget.per_region, sum(each.region == region for each in known)),
        ("per_hour", budget.per_hour, within_hour),
    )
    for name, limit, count in counts:
        if limit is not None and count >= limit:
            return Room(f"{name} = {limit}")
    return Room()


async def admitted(run: RolloutRun, restart: MachineRestart) -> MachineRestart:
    """Wait until the budget has room for this machine, and take it."""
    budget = run.rollout.policy.disruption
    if not budget.limited:
        return await run.save(replace(restart, state=RestartState.LEASING, admitted_at=run.now))
    deadline = run.now + PATIENCE
    while True:
        async with run.parts.store.unit() as unit:
            found = await _room(run, unit, restart)
            if found.free:
                taken = replace(restart, state=RestartState.LEASING, admitted_at=run.now)
                return await run.save(taken, unit=unit)
        if run.now >= deadline:
            raise Held(
                f"the disruption budget ({found.limit}) of {run.rollout.organization} has no room "
                f"for {restart.machine_id}",
                after_seconds=30,
            )
        await run.parts.clock.sleep(_PAUSE_SECONDS)


async def _room(run: RolloutRun, unit: Unit, restart: MachineRestart) -> Room:
    organization = run.rollout.organization
    await unit.lock_disruption(organization)
    out = await unit.disrupted(organization)
    others = [
        each
        for each in out
        if (each.rollout_id, each.machine_id) != (restart.rollout_id, restart.machine_id)
    ]
    return room(
        run.rollout.policy.disruption,
        others,
        within_hour=await unit.admitted_since(organization, run.now - _HOUR),
        app=run.rollout.app,
        region=restart.region,
    )
