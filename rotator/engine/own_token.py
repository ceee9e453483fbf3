"""Which token rotator itself goes on with, out of the database: the newest that is not refused.

A rotation of rotator's own token is one like any other; all that is special is that each worker
takes the value up from the database, without a restart. It looks with every heartbeat, and at once
where Fly refuses what it has: a token that is revoked before its successor is promoted
(`--revoke-first`) leaves the pending one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from rotator.domain.credential import CredentialStatus, VersionState
from rotator.domain.ports import Store
from rotator.domain.secret import Secret

_ORDER: Final = (VersionState.CURRENT, VersionState.PENDING, VersionState.RETIRING)


class OwnToken:
    """The candidates, best first, and which of them were refused.

    Which credential it is, is looked for once: `forget` it when the manifest has changed.
    """

    def __init__(self, store: Store, kind: str, given: Secret | None) -> None:
        self._store, self._kind, self._given = store, kind, given
        self._refused: set[bytes] = set()
        self._ids: tuple[str, ...] | None = None

    def forget(self) -> None:
        """Look for the credential again."""
        self._ids = None

    async def best(self) -> Secret | None:
        """The value in use by the inventory, else what the environment gives, unless refused."""
        for candidate in await self._candidates():
            if _mark(candidate) not in self._refused:
                return candidate
        return None

    async def after(self, refused: Secret) -> Secret | None:
        """The next one, now that Fly does not accept this one."""
        self._refused.add(_mark(refused))
        return await self.best()

    async def _candidates(self) -> Sequence[Secret]:
        found: list[Secret] = []
        async with self._store.view() as unit:
            if self._ids is None:
                own = await unit.credentials(status=CredentialStatus.MANAGED, kind=self._kind)
                self._ids = tuple(credential.id for credential in own)
            versions = [v for each in self._ids for v in await unit.versions(each) if v.sealed]
            versions.sort(key=lambda v: v.created_at, reverse=True)
            for state in _ORDER:
                for version in versions:
                    value = await unit.unseal(version.id) if version.state is state else None
                    found += [value] if value is not None else []
        return [*found, *([self._given] if self._given is not None else [])]


def _mark(value: Secret) -> bytes:
    return hashlib.sha256(b"rotator own token\0" + value.reveal().encode()).digest()
