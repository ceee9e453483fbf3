"""Findings, and when they were looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from rotator.domain.posture.record import FindingRecord, FindingState, PostureLook
from rotator.domain.risk import Risk
from rotator.redaction import kept
from rotator.store.memory.base import UnitBase


class PostureUnit(UnitBase):
    """The part of a unit that knows of findings."""

    async def posture_look(self, organization: str) -> PostureLook | None:
        """One by its organisation."""
        return await self._tx.locked(self._db.looks, organization)

    async def posture_looks(self) -> Sequence[PostureLook]:
        """All, by organisation."""
        return sorted(await self._tx.every(self._db.looks), key=lambda row: row.organization)

    async def begin_posture_look(self, look: PostureLook) -> PostureLook:
        """Insert, unless there is one."""
        found = await self._tx.locked(self._db.looks, look.organization)
        if found is not None:
            return found
        await self.save_posture_look(look)
        return look

    async def save_posture_look(self, look: PostureLook) -> None:
        """Insert or replace by organisation."""
        stored = replace(look, missing=tuple(kept(line) for line in look.missing))
        await self._tx.put(self._db.looks, look.organization, stored)

    async def finding_records(
        self,
        organization: str | None = None,
        *,
        states: frozenset[FindingState] | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[FindingRecord]:
        """By fingerprint, those that come after one."""
        found = [
            row
            for row in await self._tx.every(self._db.findings)
            if row.fingerprint > after
            and organization in (None, row.organization)
            and (states is None or row.state in states)
        ]
        return sorted(found, key=lambda row: row.fingerprint)[:limit]

    async def findings_by(self, fingerprints: Sequence[str]) -> Sequence[FindingRecord]:
        """Those of these fingerprints that are there."""
        wanted = frozenset(fingerprints)
        found = [r for r in await self._tx.every(self._db.findings) if r.fingerprint in wanted]
        return sorted(found, key=lambda row: row.fingerprint)

    async def save_finding(self, record: FindingRecord) -> None:
        """Insert or replace by fingerprint."""
        stored = replace(
            record,
            subject=kept(record.subject),
            message=kept(record.message),
            mend=kept(record.mend),
            note=kept(record.note),
        )
        await self._tx.put(self._db.findings, record.fingerprint, stored)

    async def count_findings(self, organization: str | None = None) -> Mapping[Risk, int]:
        """Open ones by how bad they are."""
        return Counter(
            row.severity
            for row in await self._tx.every(self._db.findings)
            if row.state is FindingState.OPEN and organization in (None, row.organization)
        )

    async def forget_findings(self, before: datetime, limit: int) -> int:
        """Delete up to so many that were resolved before this."""
        doomed = [
            row.fingerprint
            for row in await self._tx.every(self._db.findings)
            if row.state is FindingState.RESOLVED and row.resolved_at and row.resolved_at < before
        ][:limit]
        for fingerprint in doomed:
            await self._tx.delete(self._db.findings, fingerprint)
        return len(doomed)
