"""Rotations, their claims and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.errors import Busy, ClaimLost
from rotator.domain.rotation import ACTIVE, ENDED, Claim, Rotation, RotationState, Step
from rotator.store.memory.base import RotationRow, UnitBase, own_copy, with_claim_freed


class JournalUnit(UnitBase):
    """The part of a unit that keeps the protocol's journal."""

    async def rotation(self, rotation_id: str) -> Rotation | None:
        """By id."""
        row = await self._tx.get(self._db.rotations, rotation_id)
        return row.rotation if row else None

    async def rotations(
        self,
        *,
        credential_id: str | None = None,
        states: frozenset[RotationState] | None = None,
        limit: int = 100,
    ) -> Sequence[Rotation]:
        """Newest first."""
        found = [
            row.rotation
            for row in await self._candidates(credential_id, states)
            if states is None or row.rotation.state in states
        ]
        return sorted(found, key=lambda r: r.id, reverse=True)[:limit]

    async def _candidates(
        self, credential_id: str | None, states: frozenset[RotationState] | None
    ) -> Sequence[RotationRow]:
        table = self._db.rotations
        if credential_id is not None:
            return await self._tx.find(table, "credential", credential_id)
        if states is None:
            return await self._tx.every(table)
        return [
            row for state in sorted(states) for row in await self._tx.find(table, "state", state)
        ]

    async def active_rotation(self, credential_id: str) -> Rotation | None:
        """The one that is not over, overlap aside."""
        found = await self.rotations(credential_id=credential_id, states=ACTIVE, limit=1)
        return found[0] if found else None

    async def add_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """Insert with all steps; a unique index keeps P3."""
        self._tx.require(self._db.credentials, rotation.credential_id)
        active = await self.active_rotation(rotation.credential_id)
        if active is not None:
            raise Busy(f"rotation {active.id} of {rotation.credential_name} is under way")
        fresh = RotationRow(replace(rotation, abort_requested_at=None))
        await self._tx.insert(self._db.rotations, rotation.id, fresh)
        await self._save_steps(steps)

    async def save_rotation(self, rotation: Rotation, claim: Claim | None) -> None:
        """Replace by id; an abort that was asked for meanwhile brings the next try forward."""
        if claim is None:
            row = await self._unclaimed(rotation.id)
        else:
            row = await self._held(claim, rotation.id)
        asked, resume_at = row.rotation.abort_requested_at, rotation.resume_at
        if asked is not None and resume_at is not None and rotation.state not in ENDED:
            resume_at = min(resume_at, asked)
        saved = replace(rotation, abort_requested_at=asked, resume_at=resume_at)
        await self._tx.put(self._db.rotations, rotation.id, replace(row, rotation=saved))

    async def reopen_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """A person's change."""
        row = await self._unclaimed(rotation.id)
        await self._tx.put(self._db.rotations, rotation.id, replace(row, rotation=rotation))
        await self._save_steps(steps)

    async def request_abort(self, rotation_id: str, at: datetime | None) -> None:
        """Set or take back the request."""
        row = await self._tx.locked(self._db.rotations, rotation_id)
        if row is None:
            raise LookupError(f"rotation {rotation_id}")
        changed = replace(row.rotation, abort_requested_at=at)
        if at is not None:
            changed = replace(changed, resume_at=at)
        await self._tx.put(self._db.rotations, rotation_id, replace(row, rotation=changed))

    async def runnable(self, now: datetime, limit: int) -> Sequence[Rotation]:
        """Those that want a worker and have none."""
        at = await self.database_now()
        found = [
            (row.rotation.resume_at, row.rotation.id, row.rotation)
            for row in await self._tx.find(self._db.rotations, "wanting", True)
            if row.rotation.resume_at is not None
            and row.rotation.resume_at <= now
            and (row.claim_expires_at is None or row.claim_expires_at <= at)
        ]
        return [rotation for _, _, rotation in sorted(found, key=lambda f: f[:2])[:limit]]

    async def claim(self, rotation_id: str, worker_id: str, ttl: timedelta) -> Claim | None:
        """Take the rotation under a new fence. The credential's row is locked first, so that two
        rotations of one credential are never claimed at the same time."""
        wanted = await self._tx.get(self._db.rotations, rotation_id)
        if wanted is None:
            raise LookupError(rotation_id)
        credential_id = wanted.rotation.credential_id
        await self._tx.locked(self._db.credentials, credential_id)
        row = await self._tx.locked(self._db.rotations, rotation_id)
        now = await self.database_now()
        siblings = await self._tx.find(self._db.rotations, "credential", credential_id)
        if row is None or any(r.claim_expires_at and r.claim_expires_at > now for r in siblings):
            return None
        claim = Claim(rotation_id, worker_id, row.fence + 1, now + ttl)
        await self._write_claim(row, claim)
        return claim

    async def renew(self, claim: Claim, ttl: timedelta) -> Claim:
        """Prolong it."""
        row = await self._held(claim, claim.rotation_id)
        renewed = replace(claim, expires_at=await self.database_now() + ttl)
        await self._write_claim(row, renewed)
        return renewed

    async def release(self, claim: Claim) -> None:
        """Give it up; one that is lost is left to its new owner."""
        row = await self._tx.locked(self._db.rotations, claim.rotation_id)
        if row is not None and (row.fence, row.worker_id) == (claim.fence, claim.worker_id):
            await self._tx.put(self._db.rotations, claim.rotation_id, with_claim_freed(row))

    async def steps(self, rotation_id: str) -> Sequence[Step]:
        """In order of position."""
        rows = await self._tx.find(self._db.steps, "rotation", rotation_id)
        return sorted(rows, key=lambda s: s.position)

    async def add_steps(self, steps: Sequence[Step], claim: Claim) -> None:
        """Insert."""
        for step in steps:
            await self._held(claim, step.rotation_id)
        await self._save_steps(steps)

    async def save_step(self, step: Step, claim: Claim) -> None:
        """Replace by id."""
        await self._held(claim, step.rotation_id)
        if await self._tx.get(self._db.steps, step.id) is None:
            raise LookupError(f"step {step.id}")
        await self._save_steps([step])

    async def _save_steps(self, many: Sequence[Step]) -> None:
        for step in many:
            self._tx.require(self._db.rotations, step.rotation_id)
            kept = replace(step, detail=own_copy(step.detail))
            await self._tx.put(self._db.steps, step.id, kept)

    async def _write_claim(self, row: RotationRow, claim: Claim) -> None:
        claimed = replace(
            row, fence=claim.fence, worker_id=claim.worker_id, claim_expires_at=claim.expires_at
        )
        await self._tx.put(self._db.rotations, claim.rotation_id, claimed)

    async def _held(self, claim: Claim, rotation_id: str) -> RotationRow:
        """The rotation's row, if the claim is on it and still the present one."""
        if claim.rotation_id != rotation_id:
            raise ClaimLost(f"a claim on rotation {claim.rotation_id} is none on {rotation_id}")
        row = await self._tx.locked(self._db.rotations, rotation_id)
        if row is None or (row.fence, row.worker_id) != (claim.fence, claim.worker_id):
            raise ClaimLost(f"rotation {rotation_id} is in other hands now")
        return row

    async def _unclaimed(self, rotation_id: str) -> RotationRow:
        """The rotation's row, if nobody works on it."""
        row = await self._tx.locked(self._db.rotations, rotation_id)
        if row is None:
            raise LookupError(rotation_id)
        if row.claim_expires_at is not None and row.claim_expires_at > await self.database_now():
            raise Busy(
                f"rotation {rotation_id} is being worked on by {row.worker_id}",
                next_step="try again in a minute",
            )
        return row
