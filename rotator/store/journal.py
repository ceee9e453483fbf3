"""Rotations, their claims and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, insert, or_, select, update

from rotator.domain.errors import Busy, ClaimLost
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    Claim,
    Mode,
    Rotation,
    RotationState,
    Step,
)
from rotator.store.base import UnitBase
from rotator.store.rows import rotation_values, step_values, to_rotation, to_step
from rotator.store.tables import credentials, rotations, steps


class JournalUnit(UnitBase):
    """The part of a unit that keeps the protocol's journal."""

    async def rotation(self, rotation_id: str) -> Rotation | None:
        """By id."""
        row = await self._row(select(rotations).where(rotations.c.id == rotation_id))
        return to_rotation(row) if row else None

    async def rotations(
        self,
        *,
        credential_id: str | None = None,
        states: frozenset[RotationState] | None = None,
        limit: int = 100,
    ) -> Sequence[Rotation]:
        """Newest first."""
        query = select(rotations).order_by(rotations.c.id.desc()).limit(limit)
        if credential_id is not None:
            query = query.where(rotations.c.credential_id == credential_id)
        if states is not None:
            query = query.where(rotations.c.state.in_([s.value for s in sorted(states)]))
        return [to_rotation(row) for row in await self._rows(query)]

    async def active_rotation(self, credential_id: str) -> Rotation | None:
        """The one that is not over, overlap aside."""
        found = await self.rotations(credential_id=credential_id, states=ACTIVE, limit=1)
        return found[0] if found else None

    async def add_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """Insert with all steps; a partial unique index keeps P3."""
        active = await self.active_rotation(rotation.credential_id)
        if active is not None:
            raise Busy(f"rotation {active.id} of {rotation.credential_name} is under way")
        await self._connection.execute(insert(rotations).values(dict(rotation_values(rotation))))
        await self._save_steps(steps)

    async def save_rotation(self, rotation: Rotation, claim: Claim | None) -> None:
        """Replace by id; an abort that was asked for meanwhile brings the next try forward."""
        if claim is None:
            row = await self._unclaimed(rotation.id)
        else:
            row = await self._held(claim, rotation.id)
        values = dict(rotation_values(rotation))
        asked = row.abort_requested_at
        if asked is not None and rotation.resume_at is not None and rotation.state not in ENDED:
            values["resume_at"] = min(rotation.resume_at, asked)
        await self._connection.execute(
            update(rotations).where(rotations.c.id == rotation.id).values(values)
        )

    async def reopen_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """A person's change."""
        await self._unclaimed(rotation.id)
        values = dict(rotation_values(rotation))
        values["abort_requested_at"] = rotation.abort_requested_at
        await self._connection.execute(
            update(rotations).where(rotations.c.id == rotation.id).values(values)
        )
        await self._save_steps(steps)

    async def request_abort(self, rotation_id: str, at: datetime | None) -> None:
        """Set or take back the request."""
        values: dict[str, object] = {"abort_requested_at": at}
        if at is not None:
            values["resume_at"] = at
        result = await self._connection.execute(
            update(rotations).where(rotations.c.id == rotation_id).values(values)
        )
        if result.rowcount == 0:
            raise LookupError(f"rotation {rotation_id}")

    async def runnable(self, now: datetime, limit: int) -> Sequence[Rotation]:
        """By the index on resume_at; what is urgent comes first among those that are ready."""
        at = await self.database_now()
        free = or_(rotations.c.claim_expires_at.is_(None), rotations.c.claim_expires_at <= at)
        query = (
            select(rotations)
            .where(and_(rotations.c.resume_at <= now, free))
            .order_by(rotations.c.mode == Mode.NORMAL.value, rotations.c.resume_at, rotations.c.id)
            .limit(limit)
        )
        return [to_rotation(row) for row in await self._rows(query)]

    async def claim(self, rotation_id: str, worker_id: str, ttl: timedelta) -> Claim | None:
        """Take the rotation under a new fence. The credential's row is locked first, so that two
        rotations of one credential are never claimed at the same time."""
        wanted = select(rotations).where(rotations.c.id == rotation_id)
        row = await self._row(wanted)
        if row is None:
            raise LookupError(rotation_id)
        await self._locked_row(
            select(credentials.c.id).where(credentials.c.id == row.credential_id)
        )
        row = await self._locked_row(wanted)
        now = await self.database_now()
        live = (
            select(rotations.c.id)
            .where(rotations.c.credential_id == (row.credential_id if row else ""))
            .where(rotations.c.claim_expires_at > now)
        )
        if row is None or await self._row(live) is not None:
            return None
        claim = Claim(rotation_id, worker_id, row.fence + 1, now + ttl)
        await self._write_claim(claim)
        return claim

    async def renew(self, claim: Claim, ttl: timedelta) -> Claim:
        """Prolong it."""
        await self._held(claim, claim.rotation_id)
        renewed = Claim(
            claim.rotation_id, claim.worker_id, claim.fence, await self.database_now() + ttl
        )
        await self._write_claim(renewed)
        return renewed

    async def release(self, claim: Claim) -> None:
        """Give it up; one that is lost is left to its new owner."""
        await self._connection.execute(
            update(rotations)
            .where(rotations.c.id == claim.rotation_id)
            .where(rotations.c.fence == claim.fence)
            .where(rotations.c.worker_id == claim.worker_id)
            .values(worker_id=None, claim_expires_at=None)
        )

    async def steps(self, rotation_id: str) -> Sequence[Step]:
        """In order of position."""
        query = select(steps).where(steps.c.rotation_id == rotation_id).order_by(steps.c.position)
        return [to_step(row) for row in await self._rows(query)]

    async def add_steps(self, steps: Sequence[Step], claim: Claim) -> None:
        """Insert."""
        for step in steps:
            await self._held(claim, step.rotation_id)
        await self._save_steps(steps)

    async def save_step(self, step: Step, claim: Claim) -> None:
        """Replace by id."""
        await self._held(claim, step.rotation_id)
        values = dict(step_values(step))
        result = await self._connection.execute(
            update(steps).where(steps.c.id == step.id).values(values)
        )
        if result.rowcount == 0:
            raise LookupError(f"step {step.id}")

    async def _save_steps(self, many: Sequence[Step]) -> None:
        for step in many:
            await self._upsert(steps, step_values(step), "id")

    async def _write_claim(self, claim: Claim) -> None:
        await self._connection.execute(
            update(rotations)
            .where(rotations.c.id == claim.rotation_id)
            .values(worker_id=claim.worker_id, fence=claim.fence, claim_expires_at=claim.expires_at)
        )

    async def _held(self, claim: Claim, rotation_id: str) -> Row[Any]:
        """The rotation's row, if the claim is on it and still the present one."""
        if claim.rotation_id != rotation_id:
            raise ClaimLost(f"a claim on rotation {claim.rotation_id} is none on {rotation_id}")
        row = await self._locked_row(select(rotations).where(rotations.c.id == claim.rotation_id))
        if row is None or row.fence != claim.fence or row.worker_id != claim.worker_id:
            raise ClaimLost(f"rotation {claim.rotation_id} is in other hands now")
        return row

    async def _unclaimed(self, rotation_id: str) -> Row[Any]:
        """The rotation's row, if nobody works on it."""
        row = await self._locked_row(select(rotations).where(rotations.c.id == rotation_id))
        if row is None:
            raise LookupError(rotation_id)
        expires = row.claim_expires_at
        if expires is not None and expires > await self.database_now():
            raise Busy(
                f"rotation {rotation_id} is being worked on by {row.worker_id}",
                next_step="try again in a minute",
            )
        return row
