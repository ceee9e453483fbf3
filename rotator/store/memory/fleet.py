"""Rollouts, machine restarts, app locks, and the ledger of secrets versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

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
from rotator.store.memory.base import LockRow, RestartRow, UnitBase


class FleetUnit(UnitBase):
    """The part of a unit that records what happens to machines."""

    async def rollout(self, rollout_id: str) -> Rollout | None:
        """By id."""
        return await self._tx.get(self._db.rollouts, rollout_id)

    async def rollouts(
        self,
        *,
        app: str | None = None,
        states: frozenset[RolloutState] | None = None,
        limit: int = 50,
    ) -> Sequence[Rollout]:
        """Newest first."""
        table = self._db.rollouts
        if app is None:
            found = await self._tx.every(table)
        else:
            found = await self._tx.find(table, "app", app)
        if states is not None:
            found = [r for r in found if r.state in states]
        return sorted(found, key=lambda r: r.id, reverse=True)[:limit]

    async def rollouts_of(self, rotation_id: str) -> Sequence[Rollout]:
        """Those that served a rotation, oldest first."""
        links = await self._tx.find(self._db.links, "rotation", rotation_id)
        found = [await self.rollout(rollout_id) for rollout_id, _ in links]
        return sorted((r for r in found if r is not None), key=lambda r: r.id)

    async def rotations_of(self, rollout_id: str) -> Sequence[str]:
        """Ids of the rotations that a rollout served."""
        links = await self._tx.find(self._db.links, "rollout", rollout_id)
        return sorted(rotation_id for _, rotation_id in links)

    async def open_rollout(self, app: str) -> Rollout | None:
        """The running or paused one."""
        found = await self._tx.find(self._db.rollouts, "uq_rollouts_open", app)
        return found[0] if found else None

    async def save_rollout(self, rollout: Rollout, lock: AppLock) -> None:
        """Insert or replace by id; a person's wish stays."""
        await self._locked(lock)
        known = await self._tx.locked(self._db.rollouts, rollout.id)
        kept = replace(rollout, wish=known.wish if known else None)
        await self._tx.put(self._db.rollouts, rollout.id, kept)

    async def wish_rollout(self, rollout_id: str, wish: RolloutWish | None) -> None:
        """Set or take back."""
        rollout = await self._known_rollout(rollout_id)
        await self._tx.put(self._db.rollouts, rollout_id, replace(rollout, wish=wish))

    async def resume_rollout(self, rollout_id: str) -> None:
        """PAUSED becomes RUNNING."""
        rollout = replace(await self._known_rollout(rollout_id), wish=None)
        if rollout.state is RolloutState.PAUSED:
            rollout = replace(rollout, state=RolloutState.RUNNING)
        await self._tx.put(self._db.rollouts, rollout_id, rollout)

    async def _known_rollout(self, rollout_id: str) -> Rollout:
        found = await self._tx.locked(self._db.rollouts, rollout_id)
        if found is None:
            raise LookupError(f"rollout {rollout_id}")
        return found

    async def link_rollout(self, rollout_id: str, rotation_id: str) -> None:
        """Idempotent."""
        if await self.rollout(rollout_id) is None:
            raise LookupError(f"rollout {rollout_id}")
        if await self._tx.get(self._db.rotations, rotation_id) is None:
            raise LookupError(f"rotation {rotation_id}")
        link = (rollout_id, rotation_id)
        await self._tx.put(self._db.links, link, link)

    async def machine_restarts(self, rollout_id: str) -> Sequence[MachineRestart]:
        """By wave, region and machine."""
        rows = await self._tx.find(self._db.restarts, "rollout", rollout_id)
        return sorted((row.restart for row in rows), key=lambda r: (r.wave, r.region, r.machine_id))

    async def save_machine_restart(self, restart: MachineRestart, lock: AppLock) -> None:
        """Insert or replace by rollout and machine."""
        await self._locked(lock)
        self._tx.require(self._db.rollouts, restart.rollout_id)
        key = (restart.rollout_id, restart.machine_id)
        await self._tx.put(self._db.restarts, key, RestartRow(restart, lock.app))

    async def confirmed_instance(self, app: str, machine_id: str) -> MachineRestart | None:
        """The newest restart that went well."""
        rows = await self._tx.find(self._db.restarts, "machine", (app, machine_id))
        done = [row.restart for row in rows if row.restart.state in RESTART_DONE]
        return max(done, key=lambda r: r.rollout_id, default=None)

    async def lock_disruption(self, organization: str) -> None:
        """By a row of the organisation's own."""
        await self._tx.locked(self._db.gates, organization)

    async def disrupted(self, organization: str) -> Sequence[Disrupted]:
        """By the states of the machines of open rollouts."""
        return [
            Disrupted(row.app, row.restart.region, rollout.id, row.restart.machine_id)
            for state in sorted(OPEN_ROLLOUTS)
            for rollout in await self._tx.find(self._db.rollouts, "state", state)
            if rollout.organization == organization
            for row in await self._tx.find(self._db.restarts, "rollout", rollout.id)
            if row.restart.state in OUT_OF_SERVICE
        ]

    async def admitted_since(self, organization: str, at: datetime) -> int:
        """By the time of each admission."""
        found = 0
        for row in await self._tx.every(self._db.restarts):
            if row.restart.admitted_at is None or row.restart.admitted_at <= at:
                continue
            rollout = await self.rollout(row.restart.rollout_id)
            found += rollout is not None and rollout.organization == organization
        return found

    async def lock_app(self, app: str, holder: str, ttl: timedelta) -> AppLock | None:
        """Take it under a new fence unless somebody else's is live. A holder that comes back after
        a crash retakes its own."""
        row = await self._tx.locked(self._db.locks, app) or LockRow(0)
        now = await self.database_now()
        taken = row.expires_at is not None and row.expires_at > now
        if taken and row.holder != holder:
            return None
        lock = AppLock(app, holder, row.fence + 1, now + ttl)
        await self._tx.put(self._db.locks, app, LockRow.of(lock))
        return lock

    async def renew_app_lock(self, lock: AppLock, ttl: timedelta) -> AppLock:
        """Prolong it."""
        await self._locked(lock)
        renewed = replace(lock, expires_at=await self.database_now() + ttl)
        await self._tx.put(self._db.locks, lock.app, LockRow.of(renewed))
        return renewed

    async def unlock_app(self, lock: AppLock) -> None:
        """Give it up; one that has passed on is left alone."""
        row = await self._tx.locked(self._db.locks, lock.app)
        if row is not None and (row.fence, row.holder) == (lock.fence, lock.holder):
            await self._tx.put(self._db.locks, lock.app, LockRow(row.fence))

    async def note_secrets_version(self, app: str, secrets_version: int) -> int:
        """Keep the highest."""
        known = await self._tx.locked(self._db.ledger, app) or 0
        highest = max(secrets_version, known)
        await self._tx.put(self._db.ledger, app, highest)
        return highest

    async def secrets_version(self, app: str) -> int:
        """The ledger's number."""
        return await self._tx.get(self._db.ledger, app) or 0

    async def _locked(self, lock: AppLock) -> None:
        row = await self._tx.locked(self._db.locks, lock.app)
        if row is None or (row.fence, row.holder) != (lock.fence, lock.holder):
            raise ClaimLost(f"the rollout lock of {lock.app} is in other hands now")
