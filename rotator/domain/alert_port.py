"""What the engine needs of the database for hooks: a transaction's part in it.

The conventions of `domain.ports` hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from rotator.domain.alert import Alert, AlertState
from rotator.domain.hook import Delivery
from rotator.domain.secret import Secret


class AlertStore(Protocol):
    """The part of a transaction that keeps what hooks were told."""

    async def add_delivery(self, delivery: Delivery, digests: Sequence[str]) -> Sequence[Delivery]:
        """Insert, unless the hook has seen its key, its digest or one of these digests before: then
        nothing is changed, and those are given. Who comes second waits for who came first."""
        ...

    async def answer_delivery(self, hook: str, key: str, status: int, answer: str) -> None:
        """Keep what was answered."""
        ...

    async def forget_deliveries(self, before: datetime, limit: int) -> int:
        """Delete up to this many that were seen before; gives how many."""
        ...

    async def alert(self, alert_id: str) -> Alert | None:
        """One by id. Transactions that write take turns at one that is there."""
        ...

    async def alerts(self, states: frozenset[AlertState], limit: int) -> Sequence[Alert]:
        """Newest first."""
        ...

    async def save_alert(self, alert: Alert) -> None:
        """Insert or replace by id."""
        ...

    async def take_alerts(self, now: datetime, lease: timedelta, limit: int) -> Sequence[Alert]:
        """Alerts with `resume_at <= now`, the oldest wish first, as they stood; each resumes at
        `now + lease` from then on, so that nobody else takes it meanwhile."""
        ...

    async def next_alert_at(self) -> datetime | None:
        """The soonest `resume_at`."""
        ...

    async def seal_leaked(self, alert_id: str, value: Secret) -> None:
        """Keep the value of an alert, encrypted. Replaces an earlier one."""
        ...

    async def unseal_leaked(self, alert_id: str) -> Secret | None:
        """The value, or None where none is held."""
        ...

    async def erase_leaked(self, alert_id: str) -> None:
        """Forget the value for good."""
        ...
