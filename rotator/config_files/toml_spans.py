"""Where each key and value of a TOML text stands. `tomllib` reads values but tells no positions.

Walks a text that tomllib has accepted, so it need not judge the grammar: only keys, strings,
brackets and line ends matter.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rotator.domain.posture.config_file import Step

Path = tuple[Step, ...]

_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_BLANK: Final = re.compile(r"[ \t\r\n]*(?:#[^\n]*\n?[ \t\r\n]*)*")
_COMMENT: Final = re.compile(r"#([^\n]*)")
_SPACE: Final = re.compile(r"[ \t]*")
_REST: Final = re.compile(r"[^,\]}\n#]*")
_BASIC: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL: Final = re.compile(r"'[^'\n]*'")
_LONG_BASIC: Final = re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.S)
_LONG_LITERAL: Final = re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.S)


@dataclass(frozen=True)
class Located:
    """A key and what stands for it, as offsets. A table's value is its header's brackets."""

    path: Path
    key: tuple[int, int]
    value: tuple[int, int]


def locate(text: str) -> tuple[dict[Path, Located], list[tuple[int, int]]]:
    """The first place of each path, and the comments without their #."""
    found: dict[Path, Located] = {}
    walker = _Walker(text)
    for located in walker.walk():
        found.setdefault(located.path, located)
    return found, walker.comments


class _Walker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.comments: list[tuple[int, int]] = []
        self._last: dict[Path, int] = {}
        """The index of the newest element of each array of tables."""

    def walk(self) -> Iterator[Located]:
        """Yield in file order."""
        table: Path = ()
        while True:
            self._blank()
            if self._at >= len(self._text):
                return
            if self._text[self._at] == "[":
                headed = list(self._header())
                table = headed[-1].path
                yield from headed
            else:
                yield from self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _blank(self) -> None:
        start = self._at
        self._skip(_BLANK)
        for comment in _COMMENT.finditer(self._text, start, self._at):
            self.comments.append(comment.span(1))

    def _keys(self) -> list[tuple[str, int, int]]:
        """The parts of a dotted key with their offsets; stops behind the last one."""
        parts = []
        while True:
            self._skip(_SPACE)
            match = _PART.match(self._text, self._at)
            if match is None:
                raise ValueError(f"no key at offset {self._at}")
            parts.append((_plain(match[0]), match.start(), match.end()))
            self._at = match.end()
            self._skip(_SPACE)
            if self._text[self._at : self._at + 1] != ".":
                return parts
            self._at += 1

    def _header(self) -> Iterator[Located]:
        start = self._at
        array = self._text.startswith("[[", start)
        self._at += 2 if array else 1
        parts = self._keys()
        self._at += 2 if array else 1
        whole = (start, self._at)
        path: Path = ()
        for number, (name, begin, end) in enumerate(parts, start=1):
            path = (*path, name)
            yield Located(path, (begin, end), whole)
            if array and number == len(parts):
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
                yield Located(path, (begin, end), whole)

    def _pair(self, table: Path) -> Iterator[Located]:
        parts = self._keys()
        self._at += 1
        self._skip(_SPACE)
        start = self._at
        path = (*table, *(name for name, _, _ in parts))
        inner = list(self._value(path))
        value = (start, self._at)
        for number, (_, begin, end) in enumerate(parts, start=1):
            yield Located(path[: len(table) + number], (begin, end), value)
        yield from inner

    def _value(self, path: Path) -> Iterator[Located]:
        first = self._text[self._at : self._at + 1]
        if first == "{":
            yield from self._inline_table(path)
        elif first == "[":
            yield from self._array(path)
        elif first in ('"', "'"):
            self._string(first)
        else:
            self._skip(_REST)
            while self._text[self._at - 1] in " \t\r":
                self._at -= 1

    def _string(self, quote: str) -> None:
        basic = quote == '"'
        if self._text.startswith(quote * 3, self._at):
            self._skip(_LONG_BASIC if basic else _LONG_LITERAL)
        else:
            self._skip(_BASIC if basic else _LITERAL)

    def _closed(self, bracket: str) -> bool:
        """Pass over blanks and a comma; whether the bracket closes here (then passed over too)."""
        self._blank()
        if self._text[self._at : self._at + 1] == ",":
            self._at += 1
            self._blank()
        if self._at >= len(self._text):
            raise ValueError("an open bracket")
        if self._text[self._at] != bracket:
            return False
        self._at += 1
        return True

    def _inline_table(self, path: Path) -> Iterator[Located]:
        self._at += 1
        while not self._closed("}"):
            yield from self._pair(path)

    def _array(self, path: Path) -> Iterator[Located]:
        self._at += 1
        index = 0
        while not self._closed("]"):
            start = self._at
            inner = list(self._value((*path, index)))
            span = (start, self._at)
            yield Located((*path, index), span, span)
            yield from inner
            index += 1


def _plain(part: str) -> str:
    if part[0] not in "\"'":
        return part
    return next(iter(tomllib.loads(f"{part} = 0")))
