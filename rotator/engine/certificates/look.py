"""Look at hostnames as they are: what both of Fly's APIs say, and what a handshake shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rotator.domain.posture.certificate import CertificateSnapshot
from rotator.domain.posture.certificate_port import Certificates, TlsProber

HANDSHAKES_AT_ONCE: Final = 8
MOST_HANDSHAKES: Final = 500
"""Of one look. Those that end first go first."""


@dataclass(frozen=True)
class Unread:
    """A part that could not be read; `app` "" is the whole organisation."""

    organization: str
    app: str
    why: str


@dataclass(frozen=True)
class Looked:
    """What was found, and what could not be read."""

    snapshots: tuple[CertificateSnapshot, ...]
    unread: tuple[Unread, ...]


@dataclass(frozen=True)
class CertificateEyes:
    """Who reads and who shakes hands; without a prober nobody does."""

    reader: Certificates
    prober: TlsProber | None = None

    async def look(self, organizations: Sequence[str], app: str | None = None) -> Looked:
        """Look at organisations, or at one app of the first one.

        Raises:
            NotFound: there is no such app, or the token may not see it.
        """
        snapshots: list[CertificateSnapshot] = []
        unread: list[Unread] = []
        for slug in organizations:
            if app is not None:
                read = await self.reader.of_app(app, slug)
            else:
                read = await self.reader.of_organization(slug)
            snapshots += read.snapshots
            unread += [Unread(slug, name, why) for name, why in read.missing]
        unread += _half_read(snapshots)
        return Looked(await self._shaken(snapshots), tuple(unread))

    async def _shaken(
        self, snapshots: Sequence[CertificateSnapshot]
    ) -> tuple[CertificateSnapshot, ...]:
        if self.prober is None:
            return tuple(snapshots)
        prober, gate = self.prober, asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        found = list(snapshots)

        async def shake(place: int) -> None:
            async with gate:
                shaken = await prober.shake(found[place].hostname)
            found[place] = replace(found[place], handshake=shaken)

        first = sorted(range(len(found)), key=lambda place: _urgency(found[place]))
        async with asyncio.TaskGroup() as group:
            for place in first[:MOST_HANDSHAKES]:
                group.create_task(shake(place))
        return tuple(found)


def _urgency(snapshot: CertificateSnapshot) -> float:
    return snapshot.ends_at.timestamp() if snapshot.ends_at is not None else 0.0


def _half_read(snapshots: Sequence[CertificateSnapshot]) -> list[Unread]:
    """Apps of which an API did not tell all."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in snapshots:
        if each.unread:
            names = {str(api) for api in each.unread}
            found.setdefault((each.organization, each.app), set()).update(names)
    return [
        Unread(organization, app, f"{' and '.join(sorted(apis))} did not tell of its certificates")
        for (organization, app), apis in found.items()
    ]
