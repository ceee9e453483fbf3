"""Restart one machine so that it takes up new secrets: lease, read, update, wait, check, release.

Everything that a machine passes through is written to its `MachineRestart` as it happens; a
restart that is repeated after a crash finds its own marks on the machine and only waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.credential import Credential
from rotator.domain.errors import (
    Busy,
    Drift,
    NotFound,
    NotYet,
    OutcomeUnknown,
    Refused,
    RetryLater,
    RotatorError,
)
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.machines import (
    DOWN_STATES,
    FAILED_STATES,
    GONE_STATES,
    MARK_ROLLOUT,
    MARK_SECRETS_VERSION,
    Lease,
    Machine,
)
from rotator.domain.ports import AppLock
from rotator.domain.rotation import MachineRestart, RestartState, Rollout, Rotation
from rotator.engine.keepalive import kept
from rotator.engine.parts import Parts

_RELEASE_SECONDS = 15


@dataclass(frozen=True)
class RolloutRun:
    """What every restart of one rollout shares."""

    parts: Parts
    rollout: Rollout
    lock: AppLock
    credential: Credential
    rotation: Rotation

    @property
    def marks(self) -> Mapping[str, str]:
        """What an updated machine carries in its metadata."""
        return {
            MARK_ROLLOUT: self.rollout.id,
            MARK_SECRETS_VERSION: str(self.rollout.secrets_version),
        }

    def event(
        self, action: Action, outcome: Outcome, at: datetime, restart: MachineRestart | None = None
    ) -> Event:
        """An event about this rollout, or about one of its machines."""
        detail = {"secrets_version": str(self.rollout.secrets_version)}
        if restart is not None:
            detail |= {
                "wave": str(restart.wave),
                "region": restart.region,
                "state": restart.state.value,
            }
            if restart.note:
                detail["note"] = restart.note
        return Event(
            action=action,
            outcome=outcome,
            actor=self.parts.actor,
            at=at,
            reason=self.rotation.reason,
            credential=self.credential.name,
            kind=self.credential.spec.kind,
            organization=self.credential.spec.organization,
            app=self.rollout.app,
            machine=restart.machine_id if restart else None,
            rotation_id=self.rotation.id,
            rollout_id=self.rollout.id,
            detail=detail,
        )


async def restart_machine(run: RolloutRun, restart: MachineRestart) -> MachineRestart:
    """Bring one machine to the wanted secrets version and see it healthy.

    Gives the record with its final state; raises only what stops the whole rollout
    (`ClaimLost`, a database that is gone, an API that stays away).
    """
    try:
        return await _restart(run, restart)
    except NotFound:
        return await _end(run, restart, RestartState.GONE, "it was destroyed meanwhile")
    except (Refused, Drift) as error:
        return await _end(run, restart, RestartState.FAILED, str(error))


async def _restart(run: RolloutRun, restart: MachineRestart) -> MachineRestart:
    restart = await _save(run, replace(restart, state=RestartState.LEASING))
    async with _leased(run, restart.machine_id) as lease:
        machine = await _read(run, restart.machine_id)
        now = run.parts.clock.now()
        restart = replace(restart, leased_at=now, old_instance_id=machine.instance_id)
        if machine.state in GONE_STATES:
            return await _end(run, restart, RestartState.GONE, f"it is {machine.state}")
        if not machine.reachable:
            return await _end(
                run, restart, RestartState.UNREACHABLE, f"its host is {machine.host_status}"
            )
        asleep = machine.state in DOWN_STATES
        restart, machine = await _bring_up_to(run, restart, machine, lease, asleep=asleep)
        if asleep:
            return await _settle_asleep(run, restart, machine, lease)
        return await _see_healthy(run, restart, machine)


async def _bring_up_to(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease, *, asleep: bool
) -> tuple[MachineRestart, Machine]:
    """Update unless the machine already has the wanted secrets version."""
    wanted = run.rollout.secrets_version
    if machine.marked_secrets_version < wanted:
        restart = await _save(
            run,
            replace(restart, state=RestartState.UPDATING),
            (Action.MACHINE_UPDATING, Outcome.INTENT),
        )
        machine = await _update(run, machine, lease, asleep=asleep)
    restart = replace(
        restart,
        state=RestartState.STARTING,
        new_instance_id=machine.instance_id,
        secrets_version=wanted,
        updated_at=run.parts.clock.now(),
    )
    return await _save(run, restart), machine


async def _update(run: RolloutRun, machine: Machine, lease: Lease, *, asleep: bool) -> Machine:
    """Update, reading again when the machine changed under us (P8) or an answer was lost."""
    wanted = run.rollout.secrets_version
    problem: RotatorError | None = None
    for attempt in range(run.parts.limits.reread_attempts):
        if attempt:
            await run.parts.clock.sleep(2 ** (attempt - 1))
            machine = await _read(run, machine.id)
            if machine.marked_secrets_version >= wanted:
                return machine
            if not machine.reachable:
                raise Refused(f"the host of {machine.id} went away ({machine.host_status})")
        try:
            return await run.parts.fleet.update(
                machine,
                marks=run.marks,
                min_secrets_version=wanted,
                skip_launch=asleep,
                lease=lease,
            )
        except (Drift, RetryLater) as error:
            problem = error
    assert problem is not None
    raise problem


async def _read(run: RolloutRun, machine_id: str) -> Machine:
    return await run.parts.fleet.machine(run.rollout.app, machine_id)


async def _settle_asleep(
    run: RolloutRun, restart: MachineRestart, machine: Machine, lease: Lease
) -> MachineRestart:
    """A machine that was down stays down; a snapshot with the old environment must go."""
    machine = await _wait_started(run, machine, run.rollout.policy.start_timeout.total_seconds())
    if machine.state in ("suspended", "suspending"):
        await run.parts.fleet.stop(run.rollout.app, machine.id, lease)
        return await _end(run, restart, RestartState.ASLEEP, "its old snapshot was dropped")
    if machine.running:
        return await _see_healthy(run, replace(restart, note="it was started meanwhile"), machine)
    return await _end(run, restart, RestartState.ASLEEP, "it takes the value at its next start")


async def _see_healthy(
    run: RolloutRun, restart: MachineRestart, machine: Machine
) -> MachineRestart:
    """Wait for this version to start, by Fly's wait endpoint, then for its checks."""
    policy = run.rollout.policy
    started = await _wait_started(run, machine, policy.start_timeout.total_seconds())
    if started.state in GONE_STATES:
        return await _end(run, restart, RestartState.GONE, f"it is {started.state}")
    if started.state in FAILED_STATES:
        return await _end(run, restart, RestartState.FAILED, f"its state is {started.state}")
    if started.state in DOWN_STATES:
        return await _end(run, restart, RestartState.ASLEEP, "the proxy put it to sleep")
    if started.state != "started":
        within = f"{policy.start_timeout.total_seconds():.0f} s"
        return await _end(
            run, restart, RestartState.FAILED, f"not started within {within}: {started.state}"
        )
    now = run.parts.clock.now()
    restart = await _save(
        run,
        replace(
            restart,
            state=RestartState.CHECKING,
            started_at=now,
            new_instance_id=started.instance_id,
        ),
    )
    return await _watch_checks(run, restart, started)


async def _wait_started(run: RolloutRun, machine: Machine, seconds: float) -> Machine:
    """Wait in slices of what the API allows, until the deadline; gives the machine as it is then.

    A version that somebody else replaced meanwhile is read again and waited for instead: it
    started after the secrets were set, so it holds them (P8).
    """
    clock = run.parts.clock
    deadline = clock.now().timestamp() + seconds
    current = machine
    while True:
        left = deadline - clock.now().timestamp()
        if left <= 0:
            return current
        slice_seconds = max(1, min(run.parts.limits.wait_slice_seconds, int(left)))
        try:
            await run.parts.fleet.wait(
                run.rollout.app,
                machine.id,
                instance_id=current.instance_id,
                timeout_seconds=slice_seconds,
            )
        except NotYet:
            current = await _read(run, machine.id)
            if current.state in DOWN_STATES | FAILED_STATES | GONE_STATES:
                return current
            continue
        except (Drift, RetryLater) as error:
            await clock.sleep(error.after_seconds or 1 if isinstance(error, RetryLater) else 1)
            current = await _read(run, machine.id)
            continue
        current = await _read(run, machine.id)
        if current.state not in ("starting", "restarting", "updating", "replacing"):
            return current


async def _watch_checks(
    run: RolloutRun, restart: MachineRestart, machine: Machine
) -> MachineRestart:
    """Read until every check passes. Fly has no wait for checks, so this is the one poll."""
    clock = run.parts.clock
    deadline = clock.now() + run.rollout.policy.health_timeout
    while True:
        if machine.crash_looping:
            return await _end(run, restart, RestartState.FAILED, "it starts and dies again")
        if machine.state in DOWN_STATES:
            return await _end(run, restart, RestartState.ASLEEP, "the proxy put it to sleep")
        if machine.state in GONE_STATES:
            return await _end(run, restart, RestartState.GONE, f"it is {machine.state}")
        if machine.healthy:
            return await _end(
                run, replace(restart, healthy_at=clock.now()), RestartState.HEALTHY, restart.note
            )
        if clock.now() >= deadline:
            bad = [f"{c.name} is {c.status}" for c in machine.checks if c.status != "passing"]
            why = ", ".join(bad) or "no check has reported"
            within = f"{run.rollout.policy.health_timeout.total_seconds():.0f} s"
            return await _end(
                run, restart, RestartState.FAILED, f"not healthy within {within}: {why}"
            )
        await clock.sleep(run.parts.limits.health_poll.total_seconds())
        try:
            machine = await _read(run, machine.id)
        except (NotYet, Busy, OutcomeUnknown):
            continue


@asynccontextmanager
async def _leased(run: RolloutRun, machine_id: str) -> AsyncIterator[Lease]:
    """Hold the machine's lease, refreshed in the background, released in every outcome."""
    parts, app = run.parts, run.rollout.app
    ttl = parts.limits.lease_ttl_seconds
    lease = await _acquire(run, machine_id)
    held = [lease]

    async def refresh() -> None:
        held[0] = await parts.fleet.refresh_lease(app, machine_id, held[0], ttl_seconds=ttl)

    try:
        async with kept(refresh, every_seconds=ttl / 3, clock=parts.clock):
            yield lease
    finally:
        await _release(run, machine_id, held[0])


async def _acquire(run: RolloutRun, machine_id: str) -> Lease:
    """Take the lease; while a deploy holds it, wait and try again, never fight (P8)."""
    parts = run.parts
    deadline = parts.clock.now() + run.rollout.policy.start_timeout
    while True:
        try:
            return await parts.fleet.acquire_lease(
                run.rollout.app,
                machine_id,
                ttl_seconds=parts.limits.lease_ttl_seconds,
                description=f"rotator rollout {run.rollout.id}",
            )
        except Busy as error:
            if parts.clock.now() >= deadline:
                raise Refused(
                    f"somebody else has held the lease of {machine_id} for "
                    f"{run.rollout.policy.start_timeout}: {error}",
                    next_step="see who with `fly machine leases view`, then `rotator rotate retry`",
                ) from error
            await parts.clock.sleep(min(error.after_seconds or 3.0, 15.0))


async def _release(run: RolloutRun, machine_id: str, lease: Lease) -> None:
    """Give the lease back; if that fails it runs out by itself within its short time to live."""
    try:
        async with asyncio.timeout(_RELEASE_SECONDS):
            await run.parts.fleet.release_lease(run.rollout.app, machine_id, lease)
    except (RotatorError, TimeoutError):
        return


_OUTCOMES: Mapping[RestartState, Outcome] = {
    RestartState.HEALTHY: Outcome.OK,
    RestartState.ASLEEP: Outcome.OK,
    RestartState.UP_TO_DATE: Outcome.OK,
    RestartState.GONE: Outcome.INFO,
    RestartState.UNREACHABLE: Outcome.WAITING,
    RestartState.FAILED: Outcome.FAILED,
}


async def _end(
    run: RolloutRun, restart: MachineRestart, state: RestartState, note: str
) -> MachineRestart:
    ended = replace(restart, state=state, note=note, ended_at=run.parts.clock.now())
    return await _save(run, ended, (Action.MACHINE_RESTARTED, _OUTCOMES[state]))


async def _save(
    run: RolloutRun, restart: MachineRestart, tell: tuple[Action, Outcome] | None = None
) -> MachineRestart:
    async with run.parts.store.unit() as unit:
        await unit.save_machine_restart(restart, run.lock)
        if tell is not None:
            action, outcome = tell
            await unit.append(run.event(action, outcome, run.parts.clock.now(), restart))
    return restart
