"""A YAML text as a tree with positions, from the nodes of PyYAML."""

from __future__ import annotations

import re
from typing import Final

import yaml

from rotator.config_files.positions import Lines
from rotator.config_files.problem import FileProblem
from rotator.domain.posture.config_file import (
    Comment,
    Entry,
    Items,
    Node,
    Scalar,
    Span,
    Table,
    Value,
    walk,
)

MAX_NODES: Final = 20_000
"""Aliases let a few lines stand for millions of nodes."""
MAX_DEPTH: Final = 40

_COMMENT: Final = re.compile(r"^[ \t]*#([^\n]*)", re.M)
_MERGE: Final = "tag:yaml.org,2002:merge"
_STRINGS: Final = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_SCALARS: Final = frozenset(
    {
        "tag:yaml.org,2002:null",
        "tag:yaml.org,2002:bool",
        "tag:yaml.org,2002:int",
        "tag:yaml.org,2002:float",
    }
)


def read_yaml(text: str) -> Table:
    """The tree of a text whose document is a mapping. Raises FileProblem elsewhere."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = Lines(text).place(mark.index) if mark else (1, 1)
        raise FileProblem(error.problem or "it is no YAML", line, column) from error
    except yaml.reader.ReaderError as error:
        place = Lines(text).place(error.position)
        raise FileProblem("a character that YAML does not allow", *place) from error
    except RecursionError as error:
        raise FileProblem("it is nested too deeply", 1, 1) from error
    if root is None:
        return Table((), Span(1, 1, 1, 1))
    if not isinstance(root, yaml.MappingNode):
        raise FileProblem("a mapping with the app's settings is expected", 1, 1)
    return _Builder(text).table(root, 0)


def yaml_comments(text: str, root: Table) -> tuple[Comment, ...]:
    """The lines that are comments from their beginning; a # inside a value is none."""
    lines = Lines(text)
    inside = {
        line
        for _, node in walk(root)
        if isinstance(node, Value)
        for line in range(node.span.line + 1, node.span.end_line)
    }
    found = []
    for match in _COMMENT.finditer(text):
        span = lines.span(match.start(1) - 1, match.end(1))
        if span.line not in inside:
            found.append(Comment(match[1], span))
    return tuple(found)


class _Builder:
    def __init__(self, text: str) -> None:
        self._count = 0
        # YAML also ends lines where editors and SARIF don't, so only offsets are taken from it.
        self._lines = Lines(text)

    def table(self, node: yaml.MappingNode, depth: int) -> Table:
        """The table of a mapping; of a key that is there twice the last one counts."""
        merged: dict[str, Entry] = {}
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                merged = {**self._merged(value, depth + 1), **merged}
            elif isinstance(key, yaml.ScalarNode):
                name = str(key.value)
                entries.pop(name, None)
                entries[name] = Entry(name, self._span(key), self._node(value, depth + 1))
            else:
                raise FileProblem("a key has to be a plain text", *self._place(key))
        kept = {name: entry for name, entry in merged.items() if name not in entries}
        return Table((*kept.values(), *entries.values()), self._span(node))

    def _place(self, node: yaml.Node) -> tuple[int, int]:
        return self._lines.place(node.start_mark.index)

    def _span(self, node: yaml.Node) -> Span:
        return self._lines.span(node.start_mark.index, node.end_mark.index)

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Entry]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Entry] = {}
        for each in nodes:
            if not isinstance(each, yaml.MappingNode):
                raise FileProblem("<< takes a mapping", *self._place(each))
            self._bounded(each, depth)
            for entry in self.table(each, depth).entries:
                found.setdefault(entry.key, entry)
        return found

    def _bounded(self, node: yaml.Node, depth: int) -> None:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise FileProblem("it is too large or nested too deeply", *self._place(node))

    def _node(self, node: yaml.Node, depth: int) -> Node:
        self._bounded(node, depth)
        if isinstance(node, yaml.MappingNode):
            return self.table(node, depth)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self._node(item, depth + 1) for item in node.value)
            return Items(items, self._span(node))
        return Value(_scalar(node), self._span(node))


def _scalar(node: yaml.Node) -> Scalar:
    text = str(node.value)
    if node.tag in _STRINGS or node.tag not in _SCALARS:
        return text
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError):
        return text
    return value if isinstance(value, bool | int | float) or value is None else text
