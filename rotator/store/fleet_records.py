"""Rollouts, machine restarts, app locks, and the ledger of secrets versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from rotator.domain.errors import ClaimLost
from rotator.domain.ports import AppLock
from rotator.domain.rotation import (
    OPEN_ROLLOUTS,
    OUT_OF_SERVICE,
    RESTART_DONE,
    MachineRestart,
    Rollout,
    RolloutState,
    RolloutWish,
)
from rotator.domain.store_port import Disrupted
from rotator.store.base import UnitBase
from rotator.store.rows import restart_values, rollout_values, to_restart, to_rollout
from rotator.store.tables import (
    app_locks,
    app_secrets_versions,
    disruption_gates,
    machine_restarts,
    rollout_rotations,
    rollouts,
    rotations,
)


class FleetUnit(UnitBase):
    """The part of a unit that records what happens to machines."""

    async def rollout(self, rollout_id: str) -> Rollout | None:
        """By id."""
        row = await self._row(select(rollouts).where(rollouts.c.id == rollout_id))
        return to_rollout(row) if row else None

    async def rollouts(
        self,
        *,
        app: str | None = None,
        states: frozenset[RolloutState] | None = None,
        limit: int = 50,
    ) -> Sequence[Rollout]:
        """Newest first."""
        query = select(rollouts).order_by(rollouts.c.id.desc()).limit(limit)
        if app is not None:
            query = query.where(rollouts.c.app == app)
        if states is not None:
            query = query.where(rollouts.c.state.in_([state.value for state in sorted(states)]))
        return [to_rollout(row) for row in await self._rows(query)]

    async def rollouts_of(self, rotation_id: str) -> Sequence[Rollout]:
        """Those that served a rotation, oldest first."""
        query = (
            select(rollouts)
            .join(rollout_rotations, rollout_rotations.c.rollout_id == rollouts.c.id)
            .where(rollout_rotations.c.rotation_id == rotation_id)
            .order_by(rollouts.c.id)
        )
        return [to_rollout(row) for row in await self._rows(query)]

    async def rotations_of(self, rollout_id: str) -> Sequence[str]:
        """Ids of the rotations that a rollout served."""
        query = (
            select(rollout_rotations.c.rotation_id)
            .where(rollout_rotations.c.rollout_id == rollout_id)
            .order_by(rollout_rotations.c.rotation_id)
        )
        return [row.rotation_id for row in await self._rows(query)]

    async def open_rollout(self, app: str) -> Rollout | None:
        """The running or paused one."""
        query = (
            select(rollouts)
            .where(rollouts.c.app == app)
            .where(rollouts.c.state.in_([state.value for state in sorted(OPEN_ROLLOUTS)]))
        )
        row = await self._row(query)
        return to_rollout(row) if row else None

    async def save_rollout(self, rollout: Rollout, lock: AppLock) -> None:
        """Insert or replace by id."""
        await self._locked(lock)
        await self._upsert(rollouts, rollout_values(rollout), "id")

    async def wish_rollout(self, rollout_id: str, wish: RolloutWish | None) -> None:
        """Set or take back."""
        await self._change_rollout(rollout_id, wish=wish.value if wish else None)

    async def resume_rollout(self, rollout_id: str) -> None:
        """PAUSED becomes RUNNING; the failure that it was paused for stays told until a worker
        takes it up."""
        await self._change_rollout(rollout_id, wish=None)
        await self._connection.execute(
            update(rollouts)
            .where(rollouts.c.id == rollout_id)
            .where(rollouts.c.state == RolloutState.PAUSED.value)
            .values(state=RolloutState.RUNNING.value)
        )

    async def _change_rollout(self, rollout_id: str, **values: object) -> None:
        result = await self._connection.execute(
            update(rollouts).where(rollouts.c.id == rollout_id).values(**values)
        )
        if result.rowcount == 0:
            raise LookupError(f"rollout {rollout_id}")

    async def link_rollout(self, rollout_id: str, rotation_id: str) -> None:
        """Idempotent."""
        if await self.rollout(rollout_id) is None:
            raise LookupError(f"rollout {rollout_id}")
        if await self._row(select(rotations.c.id).where(rotations.c.id == rotation_id)) is None:
            raise LookupError(f"rotation {rotation_id}")
        values = {"rollout_id": rollout_id, "rotation_id": rotation_id}
        await self._ensure(rollout_rotations, values, "rollout_id", "rotation_id")

    async def machine_restarts(self, rollout_id: str) -> Sequence[MachineRestart]:
        """By wave, region and machine."""
        query = (
            select(machine_restarts)
            .where(machine_restarts.c.rollout_id == rollout_id)
            .order_by(
                machine_restarts.c.wave, machine_restarts.c.region, machine_restarts.c.machine_id
            )
        )
        return [to_restart(row) for row in await self._rows(query)]

    async def save_machine_restart(self, restart: MachineRestart, lock: AppLock) -> None:
        """Insert or replace by rollout and machine."""
        await self._locked(lock)
        values = restart_values(restart, lock.app)
        await self._upsert(machine_restarts, values, "rollout_id", "machine_id")

    async def confirmed_instance(self, app: str, machine_id: str) -> MachineRestart | None:
        """The newest restart that went well."""
        query = (
            select(machine_restarts)
            .where(machine_restarts.c.app == app)
            .where(machine_restarts.c.machine_id == machine_id)
            .where(machine_restarts.c.state.in_([s.value for s in sorted(RESTART_DONE)]))
            .order_by(machine_restarts.c.rollout_id.desc())
            .limit(1)
        )
        row = await self._row(query)
        return to_restart(row) if row else None

    async def lock_disruption(self, organization: str) -> None:
        """By a row of the organisation's own."""
        await self._ensure(disruption_gates, {"organization": organization}, "organization")
        query = select(disruption_gates).where(disruption_gates.c.organization == organization)
        await self._locked_row(query)

    async def disrupted(self, organization: str) -> Sequence[Disrupted]:
        """By the states of the machines of open rollouts."""
        query = (
            select(machine_restarts)
            .join(rollouts, rollouts.c.id == machine_restarts.c.rollout_id)
            .where(rollouts.c.organization == organization)
            .where(rollouts.c.state.in_([state.value for state in sorted(OPEN_ROLLOUTS)]))
            .where(machine_restarts.c.state.in_([s.value for s in sorted(OUT_OF_SERVICE)]))
        )
        return [
            Disrupted(row.app, row.region, row.rollout_id, row.machine_id)
            for row in await self._rows(query)
        ]

    async def admitted_since(self, organization: str, at: datetime) -> int:
        """By the index on admitted_at."""
        query = (
            select(func.count())
            .select_from(machine_restarts)
            .join(rollouts, rollouts.c.id == machine_restarts.c.rollout_id)
            .where(machine_restarts.c.admitted_at > at)
            .where(rollouts.c.organization == organization)
        )
        return int((await self._connection.execute(query)).scalar_one())

    async def lock_app(self, app: str, holder: str, ttl: timedelta) -> AppLock | None:
        """Take it under a new fence unless somebody else's is live. A holder that comes back after
        a crash retakes its own."""
        await self._ensure(app_locks, {"app": app, "fence": 0}, "app")
        row = await self._locked_row(select(app_locks).where(app_locks.c.app == app))
        assert row is not None
        now = await self.database_now()
        taken = row.expires_at is not None and row.expires_at > now
        if taken and row.holder != holder:
            return None
        lock = AppLock(app, holder, row.fence + 1, now + ttl)
        await self._write_lock(lock)
        return lock

    async def renew_app_lock(self, lock: AppLock, ttl: timedelta) -> AppLock:
        """Prolong it."""
        await self._locked(lock)
        renewed = AppLock(lock.app, lock.holder, lock.fence, await self.database_now() + ttl)
        await self._write_lock(renewed)
        return renewed

    async def unlock_app(self, lock: AppLock) -> None:
        """Give it up; one that has passed on is left alone."""
        await self._connection.execute(
            update(app_locks)
            .where(app_locks.c.app == lock.app)
            .where(app_locks.c.fence == lock.fence)
            .where(app_locks.c.holder == lock.holder)
            .values(holder=None, expires_at=None)
        )

    async def note_secrets_version(self, app: str, secrets_version: int) -> int:
        """Keep the highest."""
        await self._ensure(app_secrets_versions, {"app": app, "secrets_version": 0}, "app")
        query = select(app_secrets_versions).where(app_secrets_versions.c.app == app)
        row = await self._locked_row(query)
        assert row is not None
        highest = max(secrets_version, int(row.secrets_version))
        await self._upsert(app_secrets_versions, {"app": app, "secrets_version": highest}, "app")
        return highest

    async def secrets_version(self, app: str) -> int:
        """The ledger's number."""
        query = select(app_secrets_versions).where(app_secrets_versions.c.app == app)
        row = await self._row(query)
        return int(row.secrets_version) if row else 0

    async def _write_lock(self, lock: AppLock) -> None:
        values = {
            "app": lock.app,
            "holder": lock.holder,
            "fence": lock.fence,
            "expires_at": lock.expires_at,
        }
        await self._upsert(app_locks, values, "app")

    async def _locked(self, lock: AppLock) -> None:
        if lock in self._locks_held:
            return
        row = await self._locked_row(select(app_locks).where(app_locks.c.app == lock.app))
        if row is None or row.fence != lock.fence or row.holder != lock.holder:
            raise ClaimLost(f"the rollout lock of {lock.app} is in other hands now")
        self._locks_held.add(lock)
