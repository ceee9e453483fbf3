"""Who wrote what stands at a target: rotator, or somebody behind its back. Pure.

Two writers that undo each other are recognised by their turns: what somebody wrote over rotator's
value is the first write of a dispute, rotator's next one the second, theirs over it the third.
Then rotator stops writing and asks, because the next write would be undone like the others. A value
of rotator's that stood until its own next rotation ends a dispute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from rotator.domain.credential import TargetSpec
from rotator.domain.protocol import ABSENT

if TYPE_CHECKING:
    from rotator.domain.ports import TargetState

CONTEST_WRITES: Final = 3
STALE: Final = timedelta(minutes=1)
"""A list may show what stood before our write; its date is older than the write by more."""


class Writer(StrEnum):
    """Who wrote last."""

    ROTATOR = "rotator"
    OTHER = "other"


@dataclass(frozen=True)
class TargetWatch:
    """What stands at a target as far as rotator knows, since when, and who wrote it.

    `marker` changes with the value. `writes` counts the turns of a dispute; 0 without one. `who` is
    the other writer, "" where nobody tells. `contested_at` is when rotator stopped writing.
    """

    credential_id: str
    target: str
    marker: str
    writer: Writer
    at: datetime
    who: str = ""
    writes: int = 0
    contested_at: datetime | None = None

    @property
    def drifted(self) -> bool:
        """Whether somebody else's value stands where rotator's stood."""
        return self.writer is Writer.OTHER and self.writes > 0

    @property
    def other(self) -> str:
        """The other writer, for people."""
        return self.who or "somebody whom Fly does not name"


class Witness(Protocol):
    """Who changed what stands at a target, where the other side tells."""

    async def author(self, target: TargetSpec, state: TargetState) -> str:
        """The writer of this state, or "". Reads only."""
        ...


def written(known: TargetWatch | None, new: TargetWatch, *, restored: bool = False) -> TargetWatch:
    """The watch after a write of rotator's own, `new` with its marker and time. A rotation that
    puts the old value back takes no turn of its own."""
    if known is None or not (known.drifted or restored):
        return replace(new, writer=Writer.ROTATOR, writes=0)
    turn = 1 if known.drifted else 0
    return replace(
        new,
        writer=Writer.ROTATOR,
        who=known.who,
        writes=known.writes + turn,
        contested_at=known.contested_at,
    )


def changed_behind(
    known: TargetWatch, state: TargetState | None, now: datetime, settled: timedelta
) -> bool:
    """Whether what a target shows is neither what rotator knows nor an old list.

    `settled` is how long after our write a list may hide it.
    """
    if (state.marker if state is not None else ABSENT) == known.marker:
        return False
    if known.writer is Writer.ROTATOR and now - known.at < settled:
        return False
    changed_at = state.changed_at if state is not None else None
    return changed_at is None or changed_at > known.at - STALE


def overwritten(
    known: TargetWatch, state: TargetState | None, who: str, now: datetime
) -> TargetWatch:
    """The watch after somebody else's write."""
    writes = known.writes
    if known.writer is Writer.ROTATOR:
        writes += 1
    contested_at = known.contested_at
    if writes >= CONTEST_WRITES and contested_at is None:
        contested_at = now
    return TargetWatch(
        credential_id=known.credential_id,
        target=known.target,
        marker=state.marker if state is not None else ABSENT,
        writer=Writer.OTHER,
        at=(state.changed_at if state is not None else None) or now,
        who=who or (known.who if state is None else ""),
        writes=writes,
        contested_at=contested_at,
    )


def settled(known: TargetWatch) -> TargetWatch:
    """The watch after a person has said that rotator may write again."""
    return replace(known, writes=0, contested_at=None)
