"""Archived events as a file: JSON lines, the first one says what they are.

Every line behind it is a row of the log with all its columns, so that each event's leaf can be
hashed again and held against the tree, which keeps the leaves of archived events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

from rotator.domain.errors import InputError
from rotator.domain.events import ROW_COLUMNS, LogRow, chained, leaf_bytes
from rotator.domain.merkle import leaf_hash

FORMAT: Final = "rotator-audit-archive/1"
LONGEST_LINE: Final = 1_000_000


@dataclass(frozen=True)
class ArchiveHeader:
    """What a file holds: a range of events, the chain's hash before and behind it, and a
    checkpoint that covers it."""

    origin: str
    first: int
    last: int
    previous: str
    hash: str
    checkpoint: str

    def line(self) -> str:
        """The first line."""
        return _line({"format": FORMAT, "columns": ROW_COLUMNS, **asdict(self)})

    @classmethod
    def parse(cls, line: str, where: str) -> ArchiveHeader:
        """From the first line.

        Raises:
            InputError: the file is no archive.
        """
        try:
            told = json.loads(line)
            if told.pop("format") != FORMAT or tuple(told.pop("columns")) != ROW_COLUMNS:
                raise ValueError
            return cls(**told)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError("that is no archive of an audit log", where=where) from None


def row_line(row: LogRow) -> str:
    """A row as a line."""
    return _line(list(row))


def _line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class ArchivedRow:
    """A row of a file that holds with the one before it."""

    row: LogRow
    leaf: bytes


def archived_rows(lines: Iterable[str], header: ArchiveHeader, where: str) -> Iterator[ArchivedRow]:
    """The rows of a file, each seen to follow the one before it.

    Raises:
        InputError: a row is missing, too many, or is not what was written; says which.
    """
    expected, previous = header.first, header.previous
    for line in lines:
        row = _row(line, expected, where)
        if row[0] != expected or expected > header.last:
            raise InputError(f"event {expected} is missing from the archive", where=where)
        try:
            data = leaf_bytes(row)
            found = chained(previous, row, data)
        except (ValueError, TypeError):
            found = ""
        if row[1] != previous or row[2] != found:
            raise InputError(f"event {expected} of the archive was edited", where=where)
        yield ArchivedRow(row, leaf_hash(data))
        previous, expected = found, expected + 1
    if expected != header.last + 1 or previous != header.hash:
        raise InputError(
            f"the archive ends at event {expected - 1} instead of {header.last}", where=where
        )


def _row(line: str, expected: int, where: str) -> LogRow:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, list) or len(row) != len(ROW_COLUMNS):
        raise InputError(f"event {expected} of the archive can't be read", where=where)
    return tuple(row)
