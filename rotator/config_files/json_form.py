"""A JSON text as a tree with positions. `json` judges the text; this walks what it accepted."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from rotator.config_files.positions import Lines
from rotator.config_files.problem import FileProblem
from rotator.domain.posture.config_file import Entry, Items, Node, Table, Value

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)
_WORD: Final = re.compile(r"[^\s,\]}]+")


def read_json(text: str) -> Table:
    """The tree of a text whose outermost value is an object. Raises FileProblem elsewhere."""
    try:
        json.loads(text, parse_constant=_refuse)
        node = _Walker(text).node()
    except json.JSONDecodeError as error:
        raise FileProblem(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise FileProblem("it is nested too deeply", 1, 1) from error
    except ValueError as error:
        raise FileProblem("a number is not of JSON, or too long", 1, 1) from error
    if not isinstance(node, Table):
        raise FileProblem("an object with the app's settings is expected", 1, 1)
    return node


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


class _Walker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._at = 0

    def node(self) -> Node:
        """The value that begins here; stops behind it."""
        self._blank()
        first = self._text[self._at]
        if first == "{":
            return self._object()
        if first == "[":
            return self._array()
        return self._scalar()

    def _blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def _scalar(self) -> Value:
        pattern = _STRING if self._text[self._at] == '"' else _WORD
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no value at offset {self._at}")
        self._at = match.end()
        return Value(json.loads(match[0]), self._lines.span(match.start(), match.end()))

    def _more(self, bracket: str) -> bool:
        """Whether another element follows; passes over a comma or the closing bracket."""
        self._blank()
        if self._text[self._at] == ",":
            self._at += 1
            self._blank()
        if self._text[self._at] != bracket:
            return True
        self._at += 1
        return False

    def _object(self) -> Table:
        start = self._at
        self._at += 1
        entries: dict[str, Entry] = {}
        while self._more("}"):
            key = self._scalar()
            self._blank()
            self._at += 1
            # Of a key that is there twice the last one counts, for Go as for Python.
            entries.pop(key.text, None)
            entries[key.text] = Entry(key.text, key.span, self.node())
        return Table(tuple(entries.values()), self._lines.span(start, self._at))

    def _array(self) -> Items:
        start = self._at
        self._at += 1
        items = []
        while self._more("]"):
            items.append(self.node())
        return Items(tuple(items), self._lines.span(start, self._at))
