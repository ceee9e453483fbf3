"""Looks at rotator itself for the posture: keys, files, own token, clock, log."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.errors import RotatorError
from rotator.domain.ports import LogCursor, Unit
from rotator.domain.posture.finding import Missing, Topic
from rotator.domain.posture.rotator_facts import (
    ClockOffset,
    FileMode,
    LogFacts,
    OwnFile,
    OwnTokenFacts,
    RotatorFacts,
    SendingPlace,
)
from rotator.engine.audit.marker import NAME as VERIFIED
from rotator.fly.client import FlyClient
from rotator.fly.needed import OWN
from rotator.fly.own_rights import read_own
from rotator.settings import Settings
from rotator.store.store import SqlStore

SQLITE_FILES: Final = ("", "-wal", "-shm")
"""Endings of the files that SQLite keeps a database in."""
ENVIRONMENT: Final = Path(".env")


class OwnPosture:
    """Implements `domain.posture.rotator_facts.RotatorReader`.

    `sinks` gives the names of the places that checkpoints are sent to.
    """

    def __init__(
        self,
        settings: Settings,
        store: SqlStore,
        client: FlyClient,
        sinks: Callable[[], Sequence[str]],
    ) -> None:
        self._settings, self._store, self._client = settings, store, client
        self._sinks = sinks

    async def read(self, now: datetime) -> RotatorFacts:
        """Look once."""
        missing: list[Missing] = []
        async with self._store.view() as unit:
            managed = await unit.credentials(status=CredentialStatus.MANAGED)
            log = await self._log(unit, missing)
        return RotatorFacts(
            key_ids=tuple(self._store.key_ids),
            sealed=await self._store.sealed_under(),
            files=tuple(self._files()),
            token=self._token(managed),
            clock=await self._tried(missing, self._clock(now)),
            log=log,
            missing=tuple(missing),
        )

    async def _tried(
        self, missing: list[Missing], read: Awaitable[ClockOffset | None]
    ) -> ClockOffset | None:
        try:
            return await read
        except RotatorError as error:
            missing.append(_missing(error.message))
            return None

    def _files(self) -> Iterator[FileMode]:
        url = self._store.url
        database = url.database if url.get_backend_name() == "sqlite" else None
        paths = [(OwnFile.MANIFEST, self._settings.manifest), (OwnFile.ENVIRONMENT, ENVIRONMENT)]
        if database:
            paths += [(OwnFile.DATABASE, Path(f"{database}{end}")) for end in SQLITE_FILES]
        for file, path in paths:
            try:
                found = path.stat()
            except OSError:
                continue  # it is not there, or not for us to see: no value of ours is in it
            if stat.S_ISREG(found.st_mode):
                yield FileMode(file, str(path), stat.S_IMODE(found.st_mode))

    def _token(self, managed: Sequence[Credential]) -> OwnTokenFacts:
        """The one that calls are made with."""
        own = [each for each in managed if each.spec.kind == OWN]
        tracked = own[0].name if own else None
        return read_own(self._client.token.value, [each.spec for each in managed], tracked)

    async def _clock(self, now: datetime) -> ClockOffset | None:
        """By the answers that came a short while ago, or by one more call."""
        known = self._client.clock_watch.offset(now)
        if known is None:
            await self._client.organizations.viewer()
            known = self._client.clock_watch.offset(now)
        return known

    async def _log(self, unit: Unit, missing: list[Missing]) -> LogFacts:
        head = await unit.log_head()
        verified = await unit.log_cursor(VERIFIED)
        newest = await unit.newest_checkpoint()
        try:
            names = self._sinks()
        except RotatorError as error:
            missing.append(_missing(error.message))
            names = ()
        places = []
        for name in names:
            cursor = await unit.log_cursor(f"checkpoints:{name}")
            places.append(await _place(unit, name, cursor))
        return LogFacts(
            size=head.size,
            verified=verified.position if verified is not None else 0,
            signed=newest.sequence if newest is not None else 0,
            signed_at=newest.signed_at if newest is not None else None,
            places=tuple(places),
        )


async def _place(unit: Unit, name: str, cursor: LogCursor | None) -> SendingPlace:
    if cursor is None:
        # Nothing was ever sent there: it begins with the newest one.
        newest = await unit.newest_checkpoint()
        return SendingPlace(name, newest.signed_at if newest is not None else None)
    waiting = await unit.checkpoints(after=cursor.position, limit=1)
    since = waiting[0].signed_at if waiting else None
    return SendingPlace(name, since, cursor.failures)


def _missing(why: str) -> Missing:
    return Missing(Topic.ROTATOR, "", "", why)
