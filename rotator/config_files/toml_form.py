"""A TOML text as a tree with positions: tomllib's values at the places that the locator found."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, time
from typing import Final

from rotator.config_files.positions import Lines
from rotator.config_files.problem import FileProblem
from rotator.config_files.toml_spans import Located, Path, locate
from rotator.domain.posture.config_file import Comment, Entry, Items, Node, Table, Value

_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_END: Final = " (at end of document)"


def read_toml(text: str) -> Table:
    """The tree of a text. Raises FileProblem where it is no TOML."""
    return read_toml_with_comments(text)[0]


def read_toml_with_comments(text: str) -> tuple[Table, tuple[Comment, ...]]:
    """The tree of a text, and what its comments say. Raises FileProblem where it is no TOML."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _problem(str(error), text) from error
    except RecursionError as error:
        raise FileProblem("it is nested too deeply", 1, 1) from error
    builder = _Builder(text)
    return builder.table(data, ()), builder.comments()


def _problem(message: str, text: str) -> FileProblem:
    place = _PLACE.search(message)
    if place is not None:
        return FileProblem(message[: place.start()], int(place[1]), int(place[2]))
    line, column = Lines(text).place(len(text))
    return FileProblem(message.removesuffix(_END), line, column)


class _Builder:
    def __init__(self, text: str) -> None:
        self._text = text
        self._found, self._comments = locate(text)
        self._lines = Lines(text)
        self._whole = Located((), (0, 0), (0, len(text)))

    def comments(self) -> tuple[Comment, ...]:
        """Every comment, in the order of the file."""
        return tuple(
            Comment(self._text[start:end], self._lines.span(start - 1, end))
            for start, end in self._comments
        )

    def table(self, data: dict[str, object], path: Path) -> Table:
        """The table of a path. Keys come in the order of the file."""
        entries = []
        for key, value in data.items():
            place = self._place((*path, key))
            key_span = self._lines.span(*place.key)
            entries.append(Entry(key, key_span, self._node(value, (*path, key))))
        return Table(tuple(entries), self._lines.span(*self._place(path).value))

    def _place(self, path: Path) -> Located:
        return self._found.get(path, self._whole)

    def _node(self, value: object, path: Path) -> Node:
        span = self._lines.span(*self._place(path).value)
        if isinstance(value, dict):
            return self.table(value, path)
        if isinstance(value, list):
            items = tuple(self._node(item, (*path, at)) for at, item in enumerate(value))
            return Items(items, span)
        if isinstance(value, datetime | date | time):
            return Value(value.isoformat(), span)
        if isinstance(value, str | bool | int | float):
            return Value(value, span)
        raise TypeError(f"tomllib gave a {type(value).__name__}")
