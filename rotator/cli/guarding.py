"""What stands between a command and its terminal: no value gets through, whoever prints it (P6).

`guarded` puts a guard before standard output and standard error for as long as a command runs. What
a table would wrap or cut is looked at before it is laid out, by `GuardedConsole`. A command whose
purpose it is to print a value says so with `values_shown`.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final, TextIO, cast

from rotator.redaction import scrubbed, watching

LONGEST_LINE: Final = 1_000_000
"""A line without an end is written out in parts of this many characters."""
_BEGUN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----\s*\Z")
_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_OF_A_KEY: Final = re.compile(r"[A-Za-z0-9+/=]*|(?:Proc-Type|DEK-Info|Version|Comment|Hash): .*")
"""A line of a private key between its first and its last."""


class GuardedStream(io.TextIOBase):
    """A text stream that passes whole lines on to another one, without values."""

    def __init__(self, inner: TextIO) -> None:
        super().__init__()
        self._inner = inner
        self._waiting = ""
        self._in_key = False
        self._bytes = _GuardedBytes(self)
        self.open = False

    def write(self, text: str, /) -> int:
        """Take a text; what ends a line goes out at once."""
        if not isinstance(text, str):
            raise TypeError(f"text is wanted, not {type(text).__name__}")
        if self.open:
            self._pass_on()
            return self._inner.write(text)
        self._waiting += text
        # Not up to its last line alone: what is printed at once may hold a value over two lines.
        if text.endswith("\n") or len(self._waiting) > LONGEST_LINE:
            self._pass_on()
        return len(text)

    def flush(self) -> None:
        """Write out what waits for the end of its line as well."""
        self._pass_on()
        self._inner.flush()

    def writelines(self, lines: Iterable[str], /) -> None:  # type: ignore[override]
        """Take several texts."""
        self.write("".join(lines))

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self._inner.isatty()

    def fileno(self) -> int:
        """The descriptor behind it."""
        return self._inner.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Write what waits, and close the stream behind it."""
        try:
            self._pass_on()
        finally:
            self._inner.close()

    def __del__(self) -> None:
        """The stream behind it outlives it: don't close that, as the base class would."""

    @property
    def closed(self) -> bool:
        """Whether the stream behind it is."""
        return self._inner.closed

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind it."""
        return self._inner.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What is done about characters that it has no bytes for."""
        return self._inner.errors

    @property
    def buffer(self) -> IO[bytes]:
        """For those who write bytes: they are looked at as well."""
        return cast("IO[bytes]", self._bytes)

    def _pass_on(self) -> None:
        ready, self._waiting = self._waiting, ""
        if ready:
            self._inner.write(self._without_values(ready))

    def _without_values(self, text: str) -> str:
        """Also of a private key whose lines are written one by one."""
        if self._in_key:
            text = self._behind_the_key(text)
        lines = text.splitlines()
        while lines and _OF_A_KEY.fullmatch(lines[-1].strip()):
            lines.pop()
        self._in_key = self._in_key or bool(lines and _BEGUN.search(lines[-1]))
        clean = scrubbed(text)
        return f"{clean.rstrip()}\n" if self._in_key and clean and clean[-1] != "\n" else clean

    def _behind_the_key(self, text: str) -> str:
        """What is left once the lines of the key that has begun are gone."""
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            if _OF_A_KEY.fullmatch(line.strip()) is None:
                self._in_key = False
                return "".join(lines[number:])
        return ""


class _GuardedBytes(io.RawIOBase):
    """The bytes of a guarded stream."""

    def __init__(self, stream: GuardedStream) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: Any, /) -> int:
        """Take bytes of UTF-8 text."""
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        """Write out what waits."""
        self._stream.flush()

    def __del__(self) -> None:
        """As above."""

    def writable(self) -> bool:
        """It is."""
        return True


@contextmanager
def guarded() -> Iterator[None]:
    """Guard this process's output, and know its values, until the end of the block."""
    with watching():
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = GuardedStream(streams[0]), GuardedStream(streams[1])
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, GuardedStream) and not stream.closed:
                    _flush(stream)
            sys.stdout, sys.stderr = streams


def _flush(stream: GuardedStream) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        return  # whoever read it has gone


@contextmanager
def values_shown() -> Iterator[None]:
    """For the command whose purpose it is to print a value, and for what must come out as it was
    kept: standard output shows it."""
    stream = sys.stdout
    if not isinstance(stream, GuardedStream):
        yield
        return
    stream.open = True
    try:
        yield
    finally:
        stream.open = False
