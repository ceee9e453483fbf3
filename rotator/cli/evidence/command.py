"""`rotator report`: what was asked for, and where it goes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rotator.cli.event_filters import instant
from rotator.cli.evidence.gather import Report, gather
from rotator.cli.evidence.page import write_page
from rotator.cli.evidence.plain import write_csv, write_json
from rotator.cli.evidence.tables import Write
from rotator.cli.evidence.words import counted, period_words
from rotator.cli.failures import FAILED
from rotator.cli.session import opened
from rotator.cli.text import say
from rotator.cli.verifying import shown_progress, walker_for
from rotator.domain.courses import Period
from rotator.domain.errors import InputError

WRITERS: Final[Mapping[str, Callable[[Report, Write], None]]] = {
    "html": write_page,
    "json": write_json,
    "csv": write_csv,
}
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


async def write_report(since: str, until: str | None, form: str, output: Path | None) -> int:
    """Gather a period and write it."""
    _see_place(output)
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        period = asked_period(since, until, now)
        with shown_progress(shown=True) as progress:
            report = await gather(
                rotator.store,
                rotator.signer,
                period,
                now,
                walker=walker_for(rotator),
                progress=progress,
            )
    with _target(output) as write:
        WRITERS[form](report, write)
    if output is not None:
        say(
            f"{output} tells of {period_words(period)}: "
            f"{counted(len(report.inventory), 'credential')}, "
            f"{counted(report.tally.total, 'rotation')}"
        )
    fault = report.log.verification.fault
    if fault is None:
        return 0
    print(  # noqa: T201
        f"rotator: the audit log is damaged at event {fault.sequence}, and the report says so "
        "(see `rotator audit verify`)",
        file=sys.stderr,
    )
    return FAILED


def asked_period(since: str, until: str | None, now: datetime) -> Period:
    """The period of the options. A date as the end includes that day, as people write it; what
    lies ahead is left out.

    Raises:
        InputError: a time is not one, or the period is empty or lies ahead.
    """
    start = instant(since, now, "--from")
    end = now if until is None else instant(until, now, "--to")
    assert start is not None
    assert end is not None
    if until is not None and _DAY.fullmatch(until):
        end += timedelta(days=1)
    if start >= end:
        raise InputError("the period ends before it begins", where="--to")
    if start >= now:
        raise InputError("the period has not begun yet", where="--from")
    return Period(start, min(end, now))


def _see_place(output: Path | None) -> None:
    """Before a long log is read: see that the file has a place to be.

    Raises:
        InputError: it has none.
    """
    if output is not None and not output.absolute().parent.is_dir():
        raise InputError("its directory is not there", where=str(output))


@contextmanager
def _target(output: Path | None) -> Iterator[Write]:
    """Where the report goes. A file is written beside its place and renamed: it is whole or not
    there, and its owner's alone."""
    if output is None:
        # The page says that it is UTF-8, whatever this terminal's encoding is.
        yield lambda text: sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    part = output.with_name(f"{output.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file.write
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
