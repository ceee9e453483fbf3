"""Credentials, versions and their sealed values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.lineage import LINEAGE
from rotator.domain.secret import Secret
from rotator.domain.store_port import ENDING
from rotator.store.memory.base import UnitBase


class InventoryUnit(UnitBase):
    """The part of a unit that knows what is tracked."""

    async def credential(self, name: str) -> Credential | None:
        """By name."""
        found = await self._tx.find(self._db.credentials, "credential_name", name)
        return found[0] if found else None

    async def credential_by_id(self, credential_id: str) -> Credential:
        """By id, which must exist."""
        found = await self._tx.get(self._db.credentials, credential_id)
        if found is None:
            raise LookupError(credential_id)
        return found

    async def credentials(
        self, *, status: CredentialStatus | None = None, kind: str | None = None
    ) -> Sequence[Credential]:
        """All, by name."""
        rows = await self._tx.every(self._db.credentials)
        fit = (
            row for row in rows if status in (None, row.status) and kind in (None, row.spec.kind)
        )
        return sorted(fit, key=lambda r: r.name)

    async def save_credential(self, credential: Credential) -> None:
        """Insert or replace by id."""
        await self._tx.put(self._db.credentials, credential.id, credential)

    async def due(self, now: datetime, limit: int) -> Sequence[Credential]:
        """Managed, due, and without an active rotation: first those whose value ends soon."""
        found: list[tuple[bool, datetime, datetime, Credential]] = []
        for credential in await self._tx.every(self._db.credentials):
            due_at = credential.due_at
            if credential.status is not CredentialStatus.MANAGED or due_at is None or due_at > now:
                continue
            if await self._tx.find(self._db.rotations, "uq_rotations_active", credential.id):
                continue
            ends = await self._ends_soon(credential.id, now)
            found.append((ends is None, ends or due_at, due_at, credential))
        return [each[3] for each in sorted(found, key=lambda each: each[:3])][:limit]

    async def _ends_soon(self, credential_id: str, now: datetime) -> datetime | None:
        rows = await self._tx.find(self._db.versions, "uq_versions_current", credential_id)
        ends = rows[0].issued.expires_at if rows and rows[0].issued else None
        return ends if ends is not None and ends < now + ENDING else None

    async def versions(self, credential_id: str) -> Sequence[Version]:
        """All, oldest first."""
        rows = await self._tx.find(self._db.versions, "credential", credential_id)
        return [await self._as_held(row) for row in sorted(rows, key=lambda r: r.id)]

    async def versions_in(self, states: frozenset[VersionState]) -> Sequence[Version]:
        """Of all credentials in these states, oldest first."""
        found: list[Version] = []
        for state in states:
            found += await self._tx.find(self._db.versions, "state", state)
        return [await self._as_held(row) for row in sorted(found, key=lambda r: r.id)]

    async def version(self, version_id: str) -> Version:
        """By id, which must exist."""
        row = await self._tx.get(self._db.versions, version_id)
        if row is None:
            raise LookupError(version_id)
        return await self._as_held(row)

    async def current_version(self, credential_id: str) -> Version | None:
        """The one that is in use."""
        rows = await self._tx.find(self._db.versions, "uq_versions_current", credential_id)
        return await self._as_held(rows[0]) if rows else None

    async def save_version(self, version: Version) -> None:
        """Insert or replace by id."""
        self._tx.require(self._db.credentials, version.credential_id)
        await self._tx.put(self._db.versions, version.id, replace(version, sealed=False))

    async def versions_of_lineage(self, lineage: str) -> Sequence[Version]:
        """Versions whose value has this lineage."""
        rows = [r for r in await self._tx.every(self._db.versions) if _lineage(r) == lineage]
        return [await self._as_held(row) for row in sorted(rows, key=lambda r: r.id)]

    async def untraced(self, kinds: Sequence[str], limit: int) -> Sequence[Version]:
        """Versions of these kinds whose value is held and whose lineage is not known."""
        found: list[Version] = []
        rows = await self._tx.every(self._db.versions)
        for row in sorted(rows, key=lambda r: r.id):
            if row.issued is None or _lineage(row) is not None:
                continue
            held = await self._as_held(row)
            credential = await self.credential_by_id(row.credential_id)
            if held.sealed and credential.spec.kind in kinds:
                found.append(held)
        return found[:limit]

    async def seal(self, version_id: str, value: Secret) -> None:
        """Keep the value, encrypted for this version alone."""
        await self.version(version_id)
        sealed = self._keys().seal(version_id, value)
        await self._tx.put(self._db.sealed, version_id, sealed)

    async def unseal(self, version_id: str) -> Secret | None:
        """The value, if it is held."""
        sealed = await self._tx.get(self._db.sealed, version_id)
        return self._keys().open(version_id, sealed) if sealed is not None else None

    async def erase(self, version_id: str) -> None:
        """Forget the value."""
        await self._tx.delete(self._db.sealed, version_id)

    async def _as_held(self, row: Version) -> Version:
        held = await self._tx.get(self._db.sealed, row.id) is not None
        return replace(row, sealed=True) if held else row


def _lineage(version: Version) -> str | None:
    return version.issued.facts.get(LINEAGE) if version.issued is not None else None
