"""What hooks were told: requests that were seen, alerts, and leaked values until they are dead."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rotator.domain.alert import Alert, AlertState
from rotator.domain.hook import Delivery, Respond, Untracked
from rotator.domain.leak import Course
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.store.alert_tables import hook_deliveries, leak_alerts, leak_values
from rotator.store.base import UnitBase
from rotator.store.rows import AnyRow, Values

_NAME_MAX = 255


class AlertUnit(UnitBase):
    """The part of a unit that knows of hooks."""

    async def add_delivery(self, delivery: Delivery, digests: Sequence[str]) -> Sequence[Delivery]:
        """Keep it, unless one of its key or of these digests stands there: then those."""
        known = await self._deliveries_like(delivery, digests)
        if known:
            return known
        dialect: Any = postgresql if self._postgres else sqlite
        values = {
            "hook": delivery.hook,
            "key": delivery.key,
            "digest": delivery.digest,
            "seen_at": delivery.seen_at,
            "status": delivery.status,
            "answer": delivery.answer,
        }
        added = dialect.insert(hook_deliveries).values(values).on_conflict_do_nothing()
        returning = added.returning(hook_deliveries.c.key)
        if (await self._connection.execute(returning)).first() is not None:
            return []
        return await self._deliveries_like(delivery, digests)

    async def _deliveries_like(
        self, delivery: Delivery, digests: Sequence[str]
    ) -> Sequence[Delivery]:
        table = hook_deliveries.c
        same = (table.key == delivery.key) | table.digest.in_([delivery.digest, *digests])
        query = select(hook_deliveries).where(table.hook == delivery.hook).where(same)
        return [_to_delivery(row) for row in await self._rows(query.order_by(table.key))]

    async def answer_delivery(self, hook: str, key: str, status: int, answer: str) -> None:
        """Keep what was answered."""
        table = hook_deliveries.c
        change = update(hook_deliveries).where(table.hook == hook).where(table.key == key)
        await self._connection.execute(change.values(status=status, answer=answer))

    async def forget_deliveries(self, before: datetime, limit: int) -> int:
        """Delete up to so many that are older."""
        table = hook_deliveries.c
        query = select(table.hook, table.key).where(table.seen_at < before).limit(limit)
        rows = await self._rows(query)
        for row in rows:
            gone = delete(hook_deliveries).where(table.hook == row.hook).where(table.key == row.key)
            await self._connection.execute(gone)
        return len(rows)

    async def alert(self, alert_id: str) -> Alert | None:
        """One by id; transactions that write take turns at it."""
        query = select(leak_alerts).where(leak_alerts.c.id == alert_id)
        row = await (self._locked_row(query) if self._writes else self._row(query))
        return _to_alert(row) if row else None

    async def alerts(self, states: frozenset[AlertState], limit: int) -> Sequence[Alert]:
        """In these states, the newest first."""
        query = select(leak_alerts).where(leak_alerts.c.state.in_([s.value for s in states]))
        rows = await self._rows(query.order_by(leak_alerts.c.id.desc()).limit(limit))
        return [_to_alert(row) for row in rows]

    async def save_alert(self, alert: Alert) -> None:
        """Insert or replace by id."""
        await self._upsert(leak_alerts, _alert_values(alert), "id")

    async def take_alerts(self, now: datetime, lease: timedelta, limit: int) -> Sequence[Alert]:
        """Those that want a worker now, the oldest wish first. Nobody else gets them within the
        lease."""
        query = (
            select(leak_alerts)
            .where(leak_alerts.c.resume_at <= now)
            .order_by(leak_alerts.c.resume_at, leak_alerts.c.id)
            .limit(limit)
        )
        if self._postgres:
            query = query.with_for_update(skip_locked=True)
        rows = await self._rows(query)
        ids = [row.id for row in rows]
        if ids:
            change = update(leak_alerts).where(leak_alerts.c.id.in_(ids))
            await self._connection.execute(change.values(resume_at=now + lease))
        return [_to_alert(row) for row in rows]

    async def next_alert_at(self) -> datetime | None:
        """When the next one wants a worker."""
        table = leak_alerts.c
        query = select(table.resume_at).where(table.resume_at.is_not(None))
        row = await self._row(query.order_by(table.resume_at).limit(1))
        return row.resume_at if row else None

    async def seal_leaked(self, alert_id: str, value: Secret) -> None:
        """Keep the value of an alert, encrypted."""
        sealed = self._keys().seal(alert_id, value)
        await self._upsert(leak_values, {"alert_id": alert_id, "sealed": sealed}, "alert_id")

    async def unseal_leaked(self, alert_id: str) -> Secret | None:
        """The value, or None where none is held."""
        row = await self._row(
            select(leak_values.c.sealed).where(leak_values.c.alert_id == alert_id)
        )
        return self._keys().open(alert_id, bytes(row.sealed)) if row else None

    async def erase_leaked(self, alert_id: str) -> None:
        """Forget the value for good."""
        await self._connection.execute(
            delete(leak_values).where(leak_values.c.alert_id == alert_id)
        )


def _to_delivery(row: AnyRow) -> Delivery:
    return Delivery(
        hook=row.hook,
        key=row.key,
        digest=row.digest,
        seen_at=row.seen_at,
        status=row.status,
        answer=row.answer,
    )


def _alert_values(alert: Alert) -> Values:
    actor = alert.decided_by
    return {
        "id": alert.id,
        "hook": alert.hook,
        "state": alert.state.value,
        "respond": alert.respond.value,
        "untracked": alert.untracked.value,
        "approve_seconds": int(alert.approve_within.total_seconds()),
        "place": alert.place,
        "sort": alert.sort,
        "source": alert.source,
        "received_at": alert.received_at,
        "resume_at": alert.resume_at,
        "credential_id": alert.credential_id,
        "version_id": alert.version_id,
        "course": alert.course.value if alert.course else None,
        "rotation_id": alert.rotation_id,
        "began_at": alert.began_at,
        "expires_at": alert.expires_at,
        "attempts": alert.attempts,
        "note": alert.note,
        "decided_by_kind": actor.kind if actor else None,
        "decided_by_name": actor.name[:_NAME_MAX] if actor else None,
        "decided_at": alert.decided_at,
        "reason": alert.reason,
    }


def _to_alert(row: AnyRow) -> Alert:
    decided = row.decided_by_kind is not None
    return Alert(
        id=row.id,
        hook=row.hook,
        state=AlertState(row.state),
        respond=Respond(row.respond),
        untracked=Untracked(row.untracked),
        approve_within=timedelta(seconds=row.approve_seconds),
        place=row.place,
        sort=row.sort,
        received_at=row.received_at,
        resume_at=row.resume_at,
        source=row.source,
        credential_id=row.credential_id,
        version_id=row.version_id,
        course=Course(row.course) if row.course else None,
        rotation_id=row.rotation_id,
        began_at=row.began_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        note=row.note,
        decided_by=Actor(row.decided_by_kind, row.decided_by_name) if decided else None,
        decided_at=row.decided_at,
        reason=row.reason,
    )
