"""Findings, and when they were looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, func, select

from rotator.domain.posture.finding import Topic
from rotator.domain.posture.record import FindingRecord, FindingState, PostureLook
from rotator.domain.risk import Risk
from rotator.redaction import kept
from rotator.store.base import UnitBase
from rotator.store.posture_tables import findings, posture_looks
from rotator.store.rows import AnyRow, Values


class PostureUnit(UnitBase):
    """The part of a unit that knows of findings."""

    async def posture_look(self, organization: str) -> PostureLook | None:
        """One by its organisation."""
        query = select(posture_looks).where(posture_looks.c.organization == organization)
        row = await (self._locked_row(query) if self._writes else self._row(query))
        return None if row is None else _to_look(row)

    async def posture_looks(self) -> Sequence[PostureLook]:
        """All, by organisation."""
        query = select(posture_looks).order_by(posture_looks.c.organization)
        return [_to_look(row) for row in await self._rows(query)]

    async def begin_posture_look(self, look: PostureLook) -> PostureLook:
        """Insert, unless there is one."""
        await self._ensure(posture_looks, _look_values(look), "organization")
        found = await self.posture_look(look.organization)
        assert found is not None
        return found

    async def save_posture_look(self, look: PostureLook) -> None:
        """Insert or replace by organisation."""
        await self._upsert(posture_looks, _look_values(look), "organization")

    async def finding_records(
        self,
        organization: str | None = None,
        *,
        states: frozenset[FindingState] | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[FindingRecord]:
        """By fingerprint, those that come after one."""
        query = select(findings).where(findings.c.fingerprint > after)
        if organization is not None:
            query = query.where(findings.c.organization == organization)
        if states is not None:
            query = query.where(findings.c.state.in_([state.value for state in states]))
        rows = await self._rows(query.order_by(findings.c.fingerprint).limit(limit))
        return [_to_record(row) for row in rows]

    async def findings_by(self, fingerprints: Sequence[str]) -> Sequence[FindingRecord]:
        """Those of these fingerprints that are there."""
        query = select(findings).where(findings.c.fingerprint.in_(fingerprints))
        return [_to_record(r) for r in await self._rows(query.order_by(findings.c.fingerprint))]

    async def save_finding(self, record: FindingRecord) -> None:
        """Insert or replace by fingerprint."""
        await self._upsert(findings, _record_values(record), "fingerprint")

    async def count_findings(self, organization: str | None = None) -> Mapping[Risk, int]:
        """Open ones by how bad they are."""
        query = (
            select(findings.c.severity, func.count().label("number"))
            .where(findings.c.state == FindingState.OPEN.value)
            .group_by(findings.c.severity)
        )
        if organization is not None:
            query = query.where(findings.c.organization == organization)
        return {Risk(row.severity): row.number for row in await self._rows(query)}

    async def forget_findings(self, before: datetime, limit: int) -> int:
        """Delete up to so many that were resolved before this."""
        old = (
            select(findings.c.fingerprint)
            .where(findings.c.state == FindingState.RESOLVED.value)
            .where(findings.c.resolved_at < before)
            .limit(limit)
        )
        doomed = [row.fingerprint for row in await self._rows(old)]
        if doomed:
            statement = delete(findings).where(findings.c.fingerprint.in_(doomed))
            await self._connection.execute(statement)
        return len(doomed)


def _look_values(look: PostureLook) -> Values:
    return {
        "organization": look.organization,
        "due_at": look.due_at,
        "holder": look.holder,
        "held_until": look.held_until,
        "looked_at": look.looked_at,
        "missing": "\n".join(kept(line) for line in look.missing),
    }


def _to_look(row: AnyRow) -> PostureLook:
    return PostureLook(
        organization=row.organization,
        due_at=row.due_at,
        holder=row.holder,
        held_until=row.held_until,
        looked_at=row.looked_at,
        missing=tuple(row.missing.splitlines()),
    )


def _record_values(record: FindingRecord) -> Values:
    """Texts come from Fly and from files: redacted and bounded as the log has them."""
    return {
        "fingerprint": record.fingerprint,
        "organization": record.organization,
        "app": record.app,
        "rule": record.rule,
        "topic": record.topic.value,
        "subject": kept(record.subject),
        "severity": int(record.severity),
        "message": kept(record.message),
        "mend": kept(record.mend),
        "state": record.state.value,
        "opened_at": record.opened_at,
        "seen_at": record.seen_at,
        "resolved_at": record.resolved_at,
        "times": record.times,
        "note": kept(record.note),
    }


def _to_record(row: AnyRow) -> FindingRecord:
    return FindingRecord(
        fingerprint=row.fingerprint,
        organization=row.organization,
        app=row.app,
        rule=row.rule,
        topic=Topic(row.topic),
        subject=row.subject,
        severity=Risk(row.severity),
        message=row.message,
        mend=row.mend,
        state=FindingState(row.state),
        opened_at=row.opened_at,
        seen_at=row.seen_at,
        resolved_at=row.resolved_at,
        times=row.times,
        note=row.note,
    )
