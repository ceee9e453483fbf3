"""Read typed fields out of a parsed TOML table, noting what is wrong instead of raising."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from rotator.domain.durations import parse_duration
from rotator.domain.fields import Field, FieldType, ParamValue
from rotator.manifest.locate import Path
from rotator.manifest.problems import Problems

T = TypeVar("T")
Toml = Mapping[str, object]


class Table:
    """One TOML table with its path. Reading marks a key as known; `finish` reports the others."""

    def __init__(self, data: object, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._data: Toml = data if isinstance(data, dict) else {}
        self._known: set[str] = set()
        if not isinstance(data, dict):
            problems.add(path, f"a table is wanted, not {type_name(data)}")

    def __contains__(self, key: str) -> bool:
        return key in self._data

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys that are there."""
        return tuple(self._data)

    def at(self, key: str | int) -> Path:
        """The path of a key in this table."""
        return (*self.path, key)

    def raw(self, key: str) -> object:
        """The value as tomllib gave it."""
        self._known.add(key)
        return self._data.get(key)

    def wrong(self, key: str, message: str, example: str | None = None) -> None:
        """Note a problem with a key."""
        self.problems.add(self.at(key), message, example)

    def text(self, key: str, example: str, *, required: bool = False) -> str | None:
        """A text, or None."""
        value = self.raw(key)
        if value is None:
            if required:
                self.wrong(key, "is missing", example)
            return None
        if not isinstance(value, str):
            self.wrong(key, f"a text is wanted, not {type_name(value)}", example)
            return None
        return value

    def integer(self, key: str, example: str, *, low: int, high: int) -> int | None:
        """A whole number in [low, high], or None."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, f"a whole number is wanted, not {type_name(value)}", example)
            return None
        if not low <= value <= high:
            self.wrong(key, f"{value} is not between {low} and {high}", example)
            return None
        return value

    def span(self, key: str, example: str) -> timedelta | None:
        """A span of time, or None."""
        value = self.text(key, example)
        return self.parsed(key, value, parse_duration, example)

    def choice(self, key: str, kind: Callable[[str], T], choices: str, example: str) -> T | None:
        """One of a closed list."""
        value = self.text(key, example)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError:
            self.wrong(key, f"{value!r} is none of {choices}", example)
            return None

    def parsed(
        self, key: str, value: str | None, parse: Callable[[str], T], example: str
    ) -> T | None:
        """What `parse` makes of a text; its ValueError becomes a problem."""
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.wrong(key, str(error), example)
            return None

    def named(self, key: str, value: str | None, check: Callable[[str], str | None]) -> None:
        """Hold a text against a rule for names."""
        problem = check(value) if value is not None else None
        if problem is not None:
            self.wrong(key, problem)

    def table(self, key: str) -> Table | None:
        """A table inside this one."""
        value = self.raw(key)
        return None if value is None else Table(value, self.at(key), self.problems)

    def array(self, key: str, example: str) -> list[object]:
        """An array, empty if absent."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(key, f"a list is wanted, not {type_name(value)}", example)
            return []
        return value

    def field(self, rule: Field) -> ParamValue | None:
        """A field that a kind or a target has declared."""
        value = self.raw(rule.name)
        if value is None:
            if rule.required:
                self.wrong(rule.name, "is missing", f"{rule.name} = {rule.example}")
            return rule.default
        typed = _typed(value, rule.type)
        if typed is None:
            example = f"{rule.name} = {rule.example}"
            self.wrong(rule.name, f"a {rule.type} is wanted, not {type_name(value)}", example)
            return None
        problem = rule.check(typed) if rule.check else None
        if problem is not None:
            self.wrong(rule.name, problem, f"{rule.name} = {rule.example}")
            return None
        return typed

    def finish(self) -> None:
        """Report the keys that nobody asked for, with the likeliest that was meant."""
        for key in self._data:
            if key in self._known:
                continue
            close = difflib.get_close_matches(key, sorted(self._known), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(self._known))
            self.wrong(key, f"is not known here{hint or f'; known are {known}'}")


def _typed(value: object, wanted: FieldType) -> ParamValue | None:
    match wanted, value:
        case (FieldType.TEXT, str()):
            return value
        case (FieldType.BOOLEAN, bool()):
            return value
        case (FieldType.INTEGER, int()) if not isinstance(value, bool):
            return value
        case (FieldType.TEXTS, list()) if all(isinstance(item, str) for item in value):
            return tuple(str(item) for item in value)
        case _:
            return None


def type_name(value: object) -> str:
    """TOML's word for a value's type."""
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    names |= {list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")
