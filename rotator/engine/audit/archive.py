"""Move old events to a file: what may go, what the file holds, and the deletion itself.

The tree keeps the leaves of archived events, so that no proof breaks and the file can be held
against it for ever. The archive is on record, and an event tells of it, before anything is deleted;
a deletion that is interrupted goes on with the next `rotator audit archive --confirm`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.domain.audit_archive import ArchivedRow, ArchiveHeader, archived_rows, row_line
from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.events import GENESIS, Action, Event, Outcome, leaf_of, row_problem
from rotator.domain.ports import Archive, Store, Unit
from rotator.domain.rotation import Actor

PAGE: Final = 4096
DELETED_AT_ONCE: Final = 5000


@dataclass(frozen=True)
class Range:
    """Events that may be archived, and the checkpoint that covers them."""

    header: ArchiveHeader
    events: int


async def archivable(store: Store, before: datetime, *, sent: int | None = None) -> Range | None:
    """The events that are older, from the first that is still in the database. None without any.

    The newest event always stays, and so does what no checkpoint covers, and what comes after the
    last event that was `sent` to every place that wants them all.
    """
    async with store.view() as unit:
        head = await unit.log_head()
        first = await unit.next_row(0)
        newer = await unit.first_since(before)
        newest = await unit.newest_checkpoint()
        archives = await unit.archives()
        if archives and first is not None and first <= archives[-1].last:
            first = await unit.next_row(archives[-1].last)
        if first is None or newest is None or newest.note is None:
            return None
        last = min(newest.sequence, head.size - 1, head.size if newer is None else newer - 1)
        last = last if sent is None else min(last, sent)
        if last < first:
            return None
        end = await unit.log_rows(last, last)
        previous = archives[-1].hash if archives else GENESIS
        header = ArchiveHeader(
            head.origin, first, last, previous, str(end[0][2]) if end else "", newest.note
        )
    return Range(header, last - first + 1)


async def lines_of(store: Store, header: ArchiveHeader) -> AsyncIterator[str]:
    """The lines of the file, a page in memory at a time.

    Raises:
        NeedsHuman: an event is not what was written; a damaged log is not archived.
    """
    yield header.line()
    previous = header.previous
    for first in range(header.first, header.last + 1, PAGE):
        last = min(first + PAGE - 1, header.last)
        async with store.view() as unit:
            rows = await unit.log_rows(first, last)
            leaves = [leaf for _, leaf in await unit.tree_hashes(0, first - 1, last - 1)]
        if len(rows) != last - first + 1 or len(leaves) != len(rows):
            raise _damaged(first)
        for number, (row, leaf) in enumerate(zip(rows, leaves, strict=True), start=first):
            if row_problem(row, number, previous) is not None or leaf_of(row) != leaf:
                raise _damaged(number)
            previous = str(row[2])
            yield row_line(row)


def _damaged(number: int) -> NeedsHuman:
    return NeedsHuman(
        f"event {number} is not what was written: a damaged log is not archived",
        next_step="`rotator audit verify` names the damage",
    )


async def check_archive(
    store: Store, header: ArchiveHeader, lines: Iterable[str], where: str
) -> int:
    """Hold every event of a file against the tree; gives how many there are.

    Raises:
        InputError: the file is not whole, or holds what was never in this log.
    """
    checked = 0
    rows = archived_rows(lines, header, where)
    async with store.view() as unit:
        head = await unit.log_head()
        if header.origin != head.origin:
            raise InputError(
                f"the archive is of the log {header.origin}, this one is {head.origin}",
                where=where,
            )
        while page := _page(rows):
            await _check_page(unit, page, where)
            checked += len(page)
    return checked


def _page(rows: Iterator[ArchivedRow]) -> list[ArchivedRow]:
    return [row for row, _ in zip(rows, range(PAGE), strict=False)]


async def _check_page(unit: Unit, page: list[ArchivedRow], where: str) -> None:
    first = int(page[0].row[0] or 0)
    kept = await unit.tree_hashes(0, first - 1, first - 2 + len(page))
    leaves = dict(kept)
    for number, each in enumerate(page, start=first):
        if leaves.get(number - 1) != each.leaf:
            raise InputError(
                f"event {number} of the archive is not the one that the log had", where=where
            )


async def record_archive(
    store: Store, header: ArchiveHeader, *, sha256: str, file: str, actor: Actor, now: datetime
) -> Archive:
    """Put the archive on record, and tell of it. From here on its events may be deleted."""
    archive = Archive(header.first, header.last, header.hash, sha256, file, now)
    async with store.unit() as unit:
        await unit.save_archive(archive)
        await unit.append(archive_event(archive, actor))
    return archive


def archive_event(archive: Archive, actor: Actor) -> Event:
    """The event that tells of an archive."""
    return Event(
        action=Action.AUDIT_ARCHIVED,
        outcome=Outcome.OK,
        actor=actor,
        at=archive.archived_at,
        detail={
            "first": str(archive.first),
            "last": str(archive.last),
            "hash": archive.hash,
            "sha256": archive.sha256,
            "file": archive.file,
        },
    )


def is_told_by(archive: Archive, event: Event) -> bool:
    """Whether this is the event that tells of an archive."""
    detail = event.detail
    told = (detail.get("first"), detail.get("last"), detail.get("sha256"))
    return told == (str(archive.first), str(archive.last), archive.sha256)


async def delete_archived(store: Store) -> int:
    """Delete what stands in an archive, in parts; gives how many events."""
    gone = 0
    while True:
        async with store.unit() as unit:
            count = await unit.drop_archived(DELETED_AT_ONCE)
        if not count:
            return gone
        gone += count
