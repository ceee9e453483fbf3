"""What hooks were told: requests that were seen, alerts, and leaked values until they are dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.alert import Alert, AlertState
from rotator.domain.hook import Delivery
from rotator.domain.secret import Secret
from rotator.store.memory.base import UnitBase


class AlertUnit(UnitBase):
    """The part of a unit that knows of hooks."""

    async def add_delivery(self, delivery: Delivery, digests: Sequence[str]) -> Sequence[Delivery]:
        """Keep it, unless one of its key or of these digests stands there: then those."""
        # One lock for each hook: who comes second sees what the first one has kept.
        await self._tx.locked(self._db.deliveries, delivery.hook)
        same = {delivery.digest, *digests}
        rows = await self._tx.every(self._db.deliveries)
        known = [
            row
            for row in rows
            if row.hook == delivery.hook and (row.key == delivery.key or row.digest in same)
        ]
        if not known:
            await self._tx.put(self._db.deliveries, (delivery.hook, delivery.key), delivery)
        return sorted(known, key=lambda row: row.key)

    async def answer_delivery(self, hook: str, key: str, status: int, answer: str) -> None:
        """Keep what was answered."""
        row = await self._tx.locked(self._db.deliveries, (hook, key))
        if row is not None:
            answered = replace(row, status=status, answer=answer)
            await self._tx.put(self._db.deliveries, (hook, key), answered)

    async def forget_deliveries(self, before: datetime, limit: int) -> int:
        """Delete up to so many that are older."""
        rows = await self._tx.every(self._db.deliveries)
        old = [row for row in rows if row.seen_at < before][:limit]
        for row in old:
            await self._tx.delete(self._db.deliveries, (row.hook, row.key))
        return len(old)

    async def alert(self, alert_id: str) -> Alert | None:
        """One by id."""
        return await self._tx.locked(self._db.alerts, alert_id)

    async def alerts(self, states: frozenset[AlertState], limit: int) -> Sequence[Alert]:
        """In these states, the newest first."""
        rows = await self._tx.every(self._db.alerts)
        found = [row for row in rows if row.state in states]
        return sorted(found, key=lambda row: row.id, reverse=True)[:limit]

    async def save_alert(self, alert: Alert) -> None:
        """Insert or replace by id."""
        if alert.credential_id is not None:
            self._tx.require(self._db.credentials, alert.credential_id)
        await self._tx.put(self._db.alerts, alert.id, alert)

    async def take_alerts(self, now: datetime, lease: timedelta, limit: int) -> Sequence[Alert]:
        """Those that want a worker now, the oldest wish first."""
        rows = await self._tx.every(self._db.alerts)
        due = [row for row in rows if row.resume_at is not None and row.resume_at <= now]
        taken: list[Alert] = []
        for row in sorted(due, key=lambda row: (row.resume_at or now, row.id))[:limit]:
            standing = await self._tx.locked(self._db.alerts, row.id)
            if standing is None or standing.resume_at is None or standing.resume_at > now:
                continue
            await self._tx.put(self._db.alerts, row.id, replace(standing, resume_at=now + lease))
            taken.append(standing)
        return taken

    async def next_alert_at(self) -> datetime | None:
        """When the next one wants a worker."""
        rows = await self._tx.every(self._db.alerts)
        return min((row.resume_at for row in rows if row.resume_at is not None), default=None)

    async def seal_leaked(self, alert_id: str, value: Secret) -> None:
        """Keep the value of an alert, encrypted."""
        self._tx.require(self._db.alerts, alert_id)
        await self._tx.put(self._db.leaked, alert_id, self._keys().seal(alert_id, value))

    async def unseal_leaked(self, alert_id: str) -> Secret | None:
        """The value, or None where none is held."""
        sealed = await self._tx.get(self._db.leaked, alert_id)
        return self._keys().open(alert_id, sealed) if sealed is not None else None

    async def erase_leaked(self, alert_id: str) -> None:
        """Forget the value for good."""
        await self._tx.delete(self._db.leaked, alert_id)
