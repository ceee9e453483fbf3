"""What the posture needs of the database. The conventions of `domain.ports` hold here too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from rotator.domain.posture.record import FindingRecord, FindingState, PostureLook
from rotator.domain.risk import Risk


class PostureUnit(Protocol):
    """The part of a transaction that keeps findings, and when they were looked for."""

    async def posture_look(self, organization: str) -> PostureLook | None:
        """One by its organisation. Transactions that write take turns at it."""
        ...

    async def posture_looks(self) -> Sequence[PostureLook]:
        """All, by organisation."""
        ...

    async def begin_posture_look(self, look: PostureLook) -> PostureLook:
        """Insert, unless there is one; gives the one that is there then, held as above."""
        ...

    async def save_posture_look(self, look: PostureLook) -> None:
        """Insert or replace by organisation."""
        ...

    async def finding_records(
        self,
        organization: str | None = None,
        *,
        states: frozenset[FindingState] | None = None,
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[FindingRecord]:
        """Of one organisation or all, by fingerprint, those that come after one."""
        ...

    async def findings_by(self, fingerprints: Sequence[str]) -> Sequence[FindingRecord]:
        """Those of these fingerprints that are there, by fingerprint; at most a page is wanted."""
        ...

    async def save_finding(self, record: FindingRecord) -> None:
        """Insert or replace by fingerprint."""
        ...

    async def count_findings(self, organization: str | None = None) -> Mapping[Risk, int]:
        """Open ones of one organisation or all by how bad they are; absent where there is none."""
        ...

    async def forget_findings(self, before: datetime, limit: int) -> int:
        """Delete up to so many that were resolved before this; gives how many."""
        ...
