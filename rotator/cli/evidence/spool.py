"""Rows that are gone through more than once, on disk where there are many."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Final, Generic, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")
HELD_BYTES: Final = 4_000_000
"""So much is held in memory; what is more goes to a file that nobody else can open."""


class Spool(Generic[T]):
    """A list of rows that is written once, and read as often as wanted."""

    def __init__(self, kind: type[T]) -> None:
        self._adapter = TypeAdapter(kind)
        self._file = SpooledTemporaryFile(max_size=HELD_BYTES, mode="w+b")  # noqa: SIM115
        self._count = 0

    def add(self, row: T) -> None:
        """Put a row at the end."""
        self._file.write(self._adapter.dump_json(row) + b"\n")
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """From the first row on; one reader at a time."""
        self._file.seek(0)
        for line in self._file:
            yield self._adapter.validate_json(line)
        self._file.seek(0, 2)
