"""What stands at targets and who wrote it; what is assumed to have leaked."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.domain.drift import TargetWatch
from rotator.domain.taint import Taint, TaintState
from rotator.store.memory.base import UnitBase

_OPEN = frozenset({TaintState.WAITING, TaintState.ASKED})


class WatchUnit(UnitBase):
    """The part of a unit that knows of drift and of taints."""

    async def target_watches(self, credential_id: str | None = None) -> Sequence[TargetWatch]:
        """Of one credential, or all."""
        rows = await self._tx.every(self._db.watches)
        found = [row for row in rows if credential_id in (None, row.credential_id)]
        return sorted(found, key=lambda row: (row.credential_id, row.target))

    async def save_target_watch(self, watch: TargetWatch) -> None:
        """Insert or replace by credential and target."""
        await self._tx.put(self._db.watches, (watch.credential_id, watch.target), watch)

    async def save_taint(self, taint: Taint) -> None:
        """Insert or replace by id and credential."""
        await self._tx.put(self._db.taints, (taint.id, taint.credential_id), taint)

    async def open_taints(self) -> Sequence[Taint]:
        """All rows of taints of which a credential is not replaced yet, oldest first."""
        rows = await self._tx.every(self._db.taints)
        opened = {row.id for row in rows if row.state in _OPEN}
        found = [row for row in rows if row.id in opened]
        return sorted(found, key=lambda row: (row.id, row.position))
