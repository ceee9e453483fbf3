"""Credentials, versions and their sealed values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Exists, Select, case, delete, exists, select

from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.rotation import ACTIVE
from rotator.domain.secret import Secret
from rotator.domain.store_port import ENDING
from rotator.store.base import UnitBase
from rotator.store.rows import credential_values, to_credential, to_version, version_values
from rotator.store.tables import credentials, rotations, sealed_values, versions


class InventoryUnit(UnitBase):
    """The part of a unit that knows what is tracked."""

    async def credential(self, name: str) -> Credential | None:
        """By name."""
        row = await self._row(select(credentials).where(credentials.c.name == name))
        return to_credential(row) if row else None

    async def credential_by_id(self, credential_id: str) -> Credential:
        """By id, which must exist."""
        row = await self._row(select(credentials).where(credentials.c.id == credential_id))
        if row is None:
            raise LookupError(credential_id)
        return to_credential(row)

    async def credentials(
        self, *, status: CredentialStatus | None = None, kind: str | None = None
    ) -> Sequence[Credential]:
        """All, by name."""
        query = select(credentials).order_by(credentials.c.name)
        if status is not None:
            query = query.where(credentials.c.status == status.value)
        if kind is not None:
            query = query.where(credentials.c.kind == kind)
        return [to_credential(row) for row in await self._rows(query)]

    async def save_credential(self, credential: Credential) -> None:
        """Insert or replace by id."""
        await self._upsert(credentials, credential_values(credential), "id")

    async def due(self, now: datetime, limit: int) -> Sequence[Credential]:
        """By the index on (status, due_at), so the cost is that of what is due."""
        active = exists().where(
            rotations.c.credential_id == credentials.c.id,
            rotations.c.state.in_([state.value for state in sorted(ACTIVE)]),
        )
        in_use = (versions.c.credential_id == credentials.c.id) & (
            versions.c.state == VersionState.CURRENT.value
        )
        ends = case((versions.c.expires_at < now + ENDING, versions.c.expires_at))
        query = (
            select(credentials)
            .select_from(credentials.outerjoin(versions, in_use))
            .where(credentials.c.status == CredentialStatus.MANAGED.value)
            .where(credentials.c.due_at <= now)
            .where(~active)
            .order_by(ends.is_(None), ends, credentials.c.due_at)
            .limit(limit)
        )
        return [to_credential(row) for row in await self._rows(query)]

    async def versions(self, credential_id: str) -> Sequence[Version]:
        """All, oldest first."""
        query = _versions().where(versions.c.credential_id == credential_id)
        return [to_version(row) for row in await self._rows(query.order_by(versions.c.id))]

    async def versions_in(self, states: frozenset[VersionState]) -> Sequence[Version]:
        """Versions of all credentials in these states, oldest first."""
        query = _versions().where(versions.c.state.in_([state.value for state in sorted(states)]))
        return [to_version(row) for row in await self._rows(query.order_by(versions.c.id))]

    async def version(self, version_id: str) -> Version:
        """By id, which must exist."""
        row = await self._row(_versions().where(versions.c.id == version_id))
        if row is None:
            raise LookupError(version_id)
        return to_version(row)

    async def current_version(self, credential_id: str) -> Version | None:
        """The one that is in use."""
        row = await self._row(
            _versions()
            .where(versions.c.credential_id == credential_id)
            .where(versions.c.state == VersionState.CURRENT.value)
        )
        return to_version(row) if row else None

    async def save_version(self, version: Version) -> None:
        """Insert or replace by id."""
        await self._upsert(versions, version_values(version), "id")

    async def versions_of_lineage(self, lineage: str) -> Sequence[Version]:
        """Versions whose value has this lineage."""
        query = _versions().where(versions.c.lineage == lineage).order_by(versions.c.id)
        return [to_version(row) for row in await self._rows(query)]

    async def untraced(self, kinds: Sequence[str], limit: int) -> Sequence[Version]:
        """Versions of these kinds whose value is held and whose lineage is not known."""
        query = (
            _versions()
            .join(credentials, credentials.c.id == versions.c.credential_id)
            .where(_held())
            .where(credentials.c.kind.in_(list(kinds)))
            .where(versions.c.lineage.is_(None))
            .where(versions.c.issued.is_not(None))
            .order_by(versions.c.id)
            .limit(limit)
        )
        return [to_version(row) for row in await self._rows(query)]

    async def seal(self, version_id: str, value: Secret) -> None:
        """Keep the value, encrypted for this version alone."""
        await self.version(version_id)
        sealed = self._keys().seal(version_id, value)
        values = {"version_id": version_id, "sealed": sealed}
        await self._upsert(sealed_values, values, "version_id")

    async def unseal(self, version_id: str) -> Secret | None:
        """The value, if it is held."""
        query = select(sealed_values.c.sealed).where(sealed_values.c.version_id == version_id)
        row = await self._row(query)
        return self._keys().open(version_id, bytes(row.sealed)) if row else None

    async def erase(self, version_id: str) -> None:
        """Forget the value."""
        await self._connection.execute(
            delete(sealed_values).where(sealed_values.c.version_id == version_id)
        )


def _held() -> Exists:
    return exists().where(sealed_values.c.version_id == versions.c.id)


def _versions() -> Select[Any]:
    return select(versions, _held().label("is_sealed"))
