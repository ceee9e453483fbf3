"""`rotator audit verify`: segments on all processors, a progress bar, and what was found."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from rotator.cli.archiving import check_archive_file
from rotator.cli.auditing import verification_lines
from rotator.cli.failures import FAILED
from rotator.cli.segments import walk as walk_one
from rotator.cli.session import opened
from rotator.cli.text import print_json, say
from rotator.domain.errors import InputError
from rotator.domain.note import VerifierKey, parse_checkpoint, split_notes
from rotator.engine.audit.checkpoints import Outside
from rotator.engine.audit.marker import save_marker
from rotator.engine.audit.segment import Segment, Walked, walk_segment
from rotator.engine.audit.verify import Progress, Walker, verify_log
from rotator.wiring import Rotator

ALONE_BELOW: Final = 4
"""Segments: fewer are walked sooner by this process than others need to start."""
MOST_PROCESSES: Final = 8
MOST_BYTES: Final = 50_000_000


async def verify_events(
    checkpoints: Sequence[Path],
    archives: Sequence[Path],
    keys: Sequence[str],
    *,
    incremental: bool,
    as_json: bool,
) -> int:
    """`rotator audit verify`."""
    outside = [each for path in checkpoints for each in kept_checkpoints(path)]
    more_keys = [VerifierKey.parse(text) for text in keys]
    async with opened() as rotator:
        with shown_progress(shown=not as_json) as progress:
            found = await verify_log(
                rotator.store,
                rotator.signer,
                walker=walker_for(rotator),
                progress=progress,
                outside=outside,
                more_keys=more_keys,
                incremental=incremental,
            )
        checked = {str(path): await check_archive_file(rotator.store, path) for path in archives}
        if found.marker is not None and rotator.signer is not None:
            await save_marker(rotator.store, rotator.signer, found.marker)
    if as_json:
        print_json(replace(found, marker=None))
    else:
        for line in verification_lines(found):
            say(line)
        for path, count in checked.items():
            say(f"{path}: {count} archived events, each the one that the log had")
    return 0 if found.fault is None else FAILED


def kept_checkpoints(path: Path) -> Sequence[Outside]:
    """The checkpoints of a file that was kept elsewhere.

    Raises:
        InputError: there is none in it, or one that can't be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise InputError("that is too large for a file of checkpoints", where=str(path))
    found = []
    for note in split_notes(path.read_text(encoding="utf-8", errors="replace")):
        try:
            found.append(Outside(str(path), *parse_checkpoint(note)))
        except ValueError as error:
            raise InputError(f"that is no checkpoint: {error}", where=str(path)) from None
    if not found:
        raise InputError("there is no checkpoint in it", where=str(path))
    return found


def walker_for(rotator: Rotator) -> Walker:
    """Walks segments by several processes, this one among them, where there are enough of them."""
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)

    async def walk(segments: Sequence[Segment]) -> AsyncIterator[Walked]:
        if processes == 1 or len(segments) < ALONE_BELOW:
            for segment in segments:
                yield await walk_segment(rotator.store, segment)
            return
        shared = _Shared(rotator, segments, processes - 1)
        try:
            for found in shared.found:
                yield await found
        finally:
            shared.stop()

    return walk


class _Shared:
    """Segments that are worked off from the front by other processes, and from the back by this
    one, which need not wait for any of them to start. `found` are in the segments' order."""

    def __init__(self, rotator: Rotator, segments: Sequence[Segment], others: int) -> None:
        loop = asyncio.get_running_loop()
        self._store, self._url = rotator.store, rotator.settings.database_url
        self._segments = segments
        self._left = deque(range(len(segments)))
        self._pool = ProcessPoolExecutor(others, mp_context=get_context("spawn"))
        self.found: Sequence[asyncio.Future[Walked]] = [loop.create_future() for _ in segments]
        workers = [self._elsewhere() for _ in range(others)]
        self._tasks = [loop.create_task(work) for work in (*workers, self._here())]

    async def _elsewhere(self) -> None:
        loop = asyncio.get_running_loop()
        while self._left:
            number = self._left.popleft()
            segment = self._segments[number]
            work = loop.run_in_executor(self._pool, walk_one, self._url, segment)
            await self._settle(number, work)

    async def _here(self) -> None:
        while self._left:
            number = self._left.pop()
            await self._settle(number, walk_segment(self._store, self._segments[number]))

    async def _settle(self, number: int, work: Awaitable[Walked]) -> None:
        """What goes wrong is raised where the segment is waited for."""
        try:
            self.found[number].set_result(await work)
        except Exception as error:
            self.found[number].set_exception(error)

    def stop(self) -> None:
        """Leave what is not done."""
        self._left.clear()
        for task in self._tasks:
            task.cancel()
        for each in self.found:
            if each.done() and not each.cancelled():
                each.exception()
        self._pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def shown_progress(*, shown: bool) -> Iterator[Progress | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not (shown and sys.stderr.isatty()):
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from rotator.cli.text import console

    columns = (
        TextColumn("verifying"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events,"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console(err=True), transient=True) as bar:
        task = bar.add_task("events", total=None)

        async def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield told
