"""`rotator audit archive`: the file that old events are moved to."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rotator.cli.event_filters import instant
from rotator.cli.session import opened
from rotator.cli.text import say
from rotator.domain.audit_archive import LONGEST_LINE, ArchiveHeader, archived_rows
from rotator.domain.errors import InputError
from rotator.domain.events import LogRow
from rotator.domain.ports import Store
from rotator.engine.audit.archive import (
    archivable,
    check_archive,
    delete_archived,
    lines_of,
    record_archive,
)
from rotator.engine.audit.stream import sent_to_all
from rotator.engine.checkpoint import sign_checkpoint
from rotator.wiring import Rotator

_CHUNK: Final = 1 << 20


async def archive_events(before: str, out: Path, *, confirm: bool) -> int:
    """`rotator audit archive`."""
    async with opened() as rotator:
        at = instant(before, rotator.parts.clock.now(), "--before")
        assert at is not None
        if confirm and (left := await delete_archived(rotator.store)):
            say(f"deleted {left} events that an earlier archive holds")
        if rotator.signer is not None:
            await sign_checkpoint(rotator.parts, rotator.signer)
        sent = await sent_to_all(rotator.store, rotator.event_sinks())
        found = await archivable(rotator.store, at, sent=sent)
        if found is None:
            say("nothing to archive: no event that a checkpoint covers, and was sent, is older")
            return 0
        header = found.header
        if await asyncio.to_thread(out.exists):
            header = await _same_file(rotator.store, out, found.header)
        else:
            await _write(rotator.store, out, header)
        count = await check_archive_file(rotator.store, out)
        say(f"{out} holds events {header.first} to {header.last} ({count}), checked")
        if not confirm:
            say("nothing was deleted; the same command with --confirm deletes them")
            return 0
        return await _delete(rotator, out, header)


async def _delete(rotator: Rotator, out: Path, header: ArchiveHeader) -> int:
    await record_archive(
        rotator.store,
        header,
        sha256=_digest(out),
        file=out.name,
        actor=rotator.parts.actor,
        now=rotator.parts.clock.now(),
    )
    gone = await delete_archived(rotator.store)
    say(f"deleted {gone} events from the database; keep {out} for as long as you answer for them")
    return 0


async def _same_file(store: Store, out: Path, wanted: ArchiveHeader) -> ArchiveHeader:
    """The header of a file that was written before, if it holds the beginning of what is wanted."""
    with _opened(out) as (header, _):
        fits = (header.origin, header.first) == (wanted.origin, wanted.first)
    if not fits or header.last > wanted.last:
        raise InputError("that file exists, and holds something else", where=str(out))
    async with store.view() as unit:
        if await unit.event_at(header.last) is None:
            raise InputError("what that file holds was archived already", where=str(out))
    return header


async def _write(store: Store, out: Path, header: ArchiveHeader) -> None:
    """Write beside the file and rename: it is whole or not there."""
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as raw:
            os.fchmod(raw.fileno(), 0o600)
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                async for line in lines_of(store, header):
                    file.write(line.encode())
            raw.flush()
            os.fsync(raw.fileno())
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)


async def check_archive_file(store: Store, path: Path) -> int:
    """Hold a file against the tree, and against the record of it; gives how many events."""
    async with store.view() as unit:
        archives = await unit.archives()
    with _opened(path) as (header, lines):
        known = next((a for a in archives if a.first == header.first), None)
        if known is not None and (known.last, known.sha256) != (header.last, _digest(path)):
            raise InputError(
                f"that is not the file that events {known.first} to {known.last} were archived in",
                where=str(path),
            )
        return await check_archive(store, header, lines, str(path))


async def row_of_archive(store: Store, path: Path, sequence: int) -> LogRow:
    """One event of a file, once the whole file is seen to hold."""
    await check_archive_file(store, path)
    with _opened(path) as (header, lines):
        for each in archived_rows(lines, header, str(path)):
            if each.row[0] == sequence:
                return each.row
    raise InputError(f"event {sequence} is not in it", where=str(path))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ArchiveHeader, Iterator[str]]]:
    """The header of an archive and the lines behind it."""
    try:
        with gzip.open(path, "rb") as file:
            first = file.readline(LONGEST_LINE).decode("utf-8", "replace")
            yield ArchiveHeader.parse(first, str(path)), _lines(file)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError("the file is cut off or damaged", where=str(path)) from None


def _lines(file: gzip.GzipFile) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        yield line.decode("utf-8", "replace")


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
