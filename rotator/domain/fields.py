"""How a kind or a target declares the manifest fields that it reads, each with its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

ParamValue = str | int | bool | tuple[str, ...]
Params = Mapping[str, ParamValue]


class FieldType(StrEnum):
    """The TOML type that a field takes."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXTS = "list of texts"
    TABLE = "table"


@dataclass(frozen=True)
class Field:
    """One manifest field.

    `check` gives what is wrong with a value of the right type, or None. `example` is a valid
    value as it stands in TOML, shown with every error. A table has `fields` of its own; the values
    of `narrow = { actions = "r" }` are kept under `narrow.actions`.
    """

    name: str
    type: FieldType
    example: str
    required: bool = False
    default: ParamValue | None = None
    check: Callable[[ParamValue], str | None] | None = None
    about: str = ""
    fields: tuple[Field, ...] = ()


def named(rule: Callable[[str], str | None]) -> Callable[[ParamValue], str | None]:
    """The check of a field that holds a name, by a rule of `domain.names`."""
    return lambda value: rule(str(value))


def text(params: Params, name: str) -> str:
    """Read a text that the manifest has already checked."""
    value = params[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is {type(value).__name__}, not text")
    return value


def optional_text(params: Params, name: str) -> str | None:
    """Like `text`, but None where the field is absent."""
    return text(params, name) if name in params else None


def texts(params: Params, name: str) -> tuple[str, ...]:
    """Read a list of texts that the manifest has already checked; empty where it is absent."""
    value = params.get(name, ())
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} is {type(value).__name__}, not a list of texts")
    return tuple(str(item) for item in value)


def integer(params: Params, name: str) -> int:
    """Read a whole number that the manifest has already checked."""
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {type(value).__name__}, not a whole number")
    return value
