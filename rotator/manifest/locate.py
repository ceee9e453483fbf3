"""Which line of a TOML file a key stands on. `tomllib` reads values but tells no positions.

Walks a text that tomllib has accepted, so it need not judge the grammar: only strings, brackets
and line ends matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

Path = tuple[str | int, ...]

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*(\]\]?)\s*(#.*)?$")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')
                             (?:\s*\.\s*(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'))*)\s*=""",
    re.X,
)
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")


def key_lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) on which each table, array element and key begins.

    Keys inside inline tables and arrays are found too, on the line where they stand.
    """
    return dict(_Walker(text).walk())


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest part of it that stands in the file."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


class _Walker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counts: dict[Path, int] = {}

    def walk(self) -> Iterator[tuple[Path, int]]:
        """Yield (path, line) in file order."""
        table: Path = ()
        while self._at < len(self._text):
            end = self._text.find("\n", self._at)
            line = self._text[self._at : end if end >= 0 else len(self._text)]
            header = _HEADER.match(line)
            key = _KEY.match(line)
            if header is not None and key is None:
                table = self._table(_parts(header[2]), array=header[1] == "[[")
                yield table, self._line
                self._skip(len(line))
            elif key is not None:
                path = (*table, *_parts(key[1]))
                yield path, self._line
                self._skip(key.end())
                yield from self._value(path)
                self._to_line_end()
            else:
                self._skip(len(line))
            self._skip(1)

    def _table(self, parts: tuple[str, ...], *, array: bool) -> Path:
        path: Path = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            last = position == len(parts) - 1
            if last and array:
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = (*path, self._counts[path])
        return path

    def _skip(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _peek(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def _to_line_end(self) -> None:
        end = self._text.find("\n", self._at)
        self._skip((end if end >= 0 else len(self._text)) - self._at)

    def _blank(self) -> None:
        """Pass over spaces, line ends and comments inside brackets."""
        while self._at < len(self._text):
            if self._peek() in " \t\r\n":
                self._skip(1)
            elif self._peek() == "#":
                self._to_line_end()
            else:
                return

    def _value(self, path: Path) -> Iterator[tuple[Path, int]]:
        while self._peek() in (" ", "\t"):
            self._skip(1)
        if self._peek() == "{":
            yield from self._inline_table(path)
        elif self._peek() == "[":
            yield from self._array(path)
        elif self._peek() in "\"'":
            self._string()
        else:
            while self._at < len(self._text) and self._peek() not in ",]}\n#":
                self._skip(1)

    def _string(self) -> None:
        quote = self._peek()
        if self._peek(3) == quote * 3:
            self._skip(3)
            while self._at < len(self._text) and self._peek(3) != quote * 3:
                self._skip(2 if quote == '"' and self._peek() == "\\" else 1)
            self._skip(3)
            while self._peek() == quote:
                self._skip(1)
            return
        self._skip(1)
        while self._at < len(self._text) and self._peek() != quote:
            self._skip(2 if quote == '"' and self._peek() == "\\" else 1)
        self._skip(1)

    def _inline_table(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._skip(1)
        while self._at < len(self._text):
            self._blank()
            if self._peek() in ("}", ""):
                break
            key = _KEY.match(self._text, self._at)
            if key is None:
                break
            inner = (*path, *_parts(key[1]))
            self._skip(key.start(1) - self._at)
            yield inner, self._line
            self._skip(key.end() - self._at)
            yield from self._value(inner)
            self._blank()
            if self._peek() == ",":
                self._skip(1)
        self._skip(1)

    def _array(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._skip(1)
        index = 0
        while self._at < len(self._text):
            self._blank()
            if self._peek() in ("]", ""):
                break
            yield (*path, index), self._line
            yield from self._value((*path, index))
            index += 1
            self._blank()
            if self._peek() == ",":
                self._skip(1)
        self._skip(1)
