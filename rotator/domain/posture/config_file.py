"""A configuration file as a tree that knows where each key and value stands. Pure.

The same tree stands for fly.toml, fly.json and fly.yaml, so that a rule is written once. Values
are left out of every repr: one of them may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

Scalar = str | int | float | bool | None
Step = str | int

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class ConfigForm(StrEnum):
    """The forms in which Fly takes an app's configuration: those of fly config save."""

    TOML = "toml"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text. Lines and columns count from 1 in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int

    def until(self, other: Span) -> Span:
        """From the beginning of this to the end of the other."""
        return Span(self.line, self.column, other.end_line, other.end_column)


@dataclass(frozen=True, slots=True)
class Value:
    """One string, number, boolean or null."""

    value: Scalar = field(repr=False)
    span: Span

    @property
    def text(self) -> str:
        """As Fly would put it into an environment: env values are always strings."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return "" if self.value is None else str(self.value)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table, with what stands for it."""

    key: str
    key_span: Span
    node: Node

    @property
    def span(self) -> Span:
        """Key and value where both stand together, else the key (a table may be in pieces)."""
        if isinstance(self.node, Value):
            return self.key_span.until(self.node.span)
        return self.key_span


@dataclass(frozen=True, slots=True)
class Table:
    """Keys in the order of the file."""

    entries: tuple[Entry, ...]
    span: Span

    def entry(self, key: str) -> Entry | None:
        """The entry of a key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        """What stands for a key."""
        found = self.entry(key)
        return None if found is None else found.node

    def table(self, key: str) -> Table | None:
        """The table of a key."""
        node = self.get(key)
        return node if isinstance(node, Table) else None

    def value(self, key: str) -> Value | None:
        """The single value of a key."""
        node = self.get(key)
        return node if isinstance(node, Value) else None

    def string(self, key: str) -> str:
        """The string of a key, "" where there is none."""
        value = self.value(key)
        return value.value if value is not None and isinstance(value.value, str) else ""

    def integer(self, key: str) -> int | None:
        """The whole number of a key; Fly takes "8080" for 8080."""
        value = self.value(key)
        if value is None or isinstance(value.value, bool):
            return None
        if isinstance(value.value, str):
            return int(value.value) if re.fullmatch(r"[0-9]{1,9}", value.value) else None
        return value.value if isinstance(value.value, int) else None

    def is_true(self, key: str) -> bool:
        """Whether a key is there and true."""
        value = self.value(key)
        return value is not None and value.value is True

    def tables(self, key: str) -> tuple[tuple[tuple[Step, ...], Table], ...]:
        """The tables of a key with their paths; Fly takes one table where it expects a list."""
        node = self.get(key)
        if isinstance(node, Table):
            return (((key,), node),)
        if isinstance(node, Items):
            found = [((key, at), item) for at, item in enumerate(node.items)]
            return tuple((path, item) for path, item in found if isinstance(item, Table))
        return ()

    def strings(self, key: str) -> tuple[Value, ...]:
        """The strings of a list; Fly takes one string for a list of one."""
        node = self.get(key)
        if isinstance(node, Value):
            return (node,) if isinstance(node.value, str) else ()
        items = node.items if isinstance(node, Items) else ()
        return tuple(i for i in items if isinstance(i, Value) and isinstance(i.value, str))


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    span: Span


Node = Value | Table | Items


@dataclass(frozen=True, slots=True)
class Comment:
    """What stands behind a #: what was taken out of a file is often still there."""

    text: str = field(repr=False)
    span: Span


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One app's configuration in one file. `path` is as findings name it."""

    path: str
    form: ConfigForm
    root: Table
    comments: tuple[Comment, ...] = ()

    @property
    def app(self) -> str:
        """The app that it is for; "" where the name comes from the command line."""
        return self.root.string("app")


def walk(node: Node, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Node]]:
    """Every node with its path, a table before what is in it."""
    yield path, node
    if isinstance(node, Table):
        for entry in node.entries:
            yield from walk(entry.node, (*path, entry.key))
    elif isinstance(node, Items):
        for at, item in enumerate(node.items):
            yield from walk(item, (*path, at))


def dotted(path: tuple[Step, ...]) -> str:
    """A path as it is written in a subject: env.API_KEY, services[0].ports[1]."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        part = step if _BARE.fullmatch(step) else '"' + step.replace('"', '\\"') + '"'
        text += f".{part}" if text else part
    return text
