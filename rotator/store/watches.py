"""What stands at targets and who wrote it; what is assumed to have leaked."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from rotator.domain.drift import TargetWatch, Writer
from rotator.domain.rotation import Actor
from rotator.domain.taint import Taint, TaintState
from rotator.store.base import UnitBase
from rotator.store.rows import AnyRow
from rotator.store.watch_tables import taints, target_watches

_WHO_MAX = 255


class WatchUnit(UnitBase):
    """The part of a unit that knows of drift and of taints."""

    async def target_watches(self, credential_id: str | None = None) -> Sequence[TargetWatch]:
        """Of one credential, or all."""
        query = select(target_watches).order_by(
            target_watches.c.credential_id, target_watches.c.target
        )
        if credential_id is not None:
            query = query.where(target_watches.c.credential_id == credential_id)
        return [_to_watch(row) for row in await self._rows(query)]

    async def save_target_watch(self, watch: TargetWatch) -> None:
        """Insert or replace by credential and target."""
        values = {
            "credential_id": watch.credential_id,
            "target": watch.target,
            "marker": watch.marker,
            "writer": watch.writer.value,
            "at": watch.at,
            "who": watch.who[:_WHO_MAX],
            "writes": watch.writes,
            "contested_at": watch.contested_at,
        }
        await self._upsert(target_watches, values, "credential_id", "target")

    async def save_taint(self, taint: Taint) -> None:
        """Insert or replace by id and credential."""
        values = {
            "id": taint.id,
            "credential_id": taint.credential_id,
            "position": taint.position,
            "wave": taint.wave,
            "because": taint.because,
            "state": taint.state.value,
            "rotation_id": taint.rotation_id,
            "actor_kind": taint.actor.kind,
            "actor_name": taint.actor.name,
            "reason": taint.reason,
            "asked_at": taint.asked_at,
            "ended_at": taint.ended_at,
        }
        await self._upsert(taints, values, "id", "credential_id")

    async def open_taints(self) -> Sequence[Taint]:
        """All rows of taints of which a credential is not replaced yet, oldest first."""
        states = [TaintState.WAITING.value, TaintState.ASKED.value]
        opened = select(taints.c.id).where(taints.c.state.in_(states))
        query = select(taints).where(taints.c.id.in_(opened))
        rows = await self._rows(query.order_by(taints.c.id, taints.c.position))
        return [_to_taint(row) for row in rows]


def _to_watch(row: AnyRow) -> TargetWatch:
    return TargetWatch(
        credential_id=row.credential_id,
        target=row.target,
        marker=row.marker,
        writer=Writer(row.writer),
        at=row.at,
        who=row.who,
        writes=row.writes,
        contested_at=row.contested_at,
    )


def _to_taint(row: AnyRow) -> Taint:
    return Taint(
        id=row.id,
        credential_id=row.credential_id,
        position=row.position,
        wave=row.wave,
        because=row.because,
        state=TaintState(row.state),
        rotation_id=row.rotation_id,
        actor=Actor(row.actor_kind, row.actor_name),
        reason=row.reason,
        asked_at=row.asked_at,
        ended_at=row.ended_at,
    )
