"""Kinds and targets of third parties, found by entry point.

An entry point names a factory. It is called with what the builtin ones are built from, and what it
gives must have every member of the port: a plug-in that can't work is refused at the start, by
name, and not in the middle of a rotation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from rotator.domain.errors import InputError
from rotator.domain.fields import Field

T = TypeVar("T")


def with_plugins(
    builtin: Mapping[str, T],
    *,
    group: str,
    port: type[T],
    word: str,
    build: Callable[[Callable[..., object]], object],
    found: Iterable[EntryPoint] | None = None,
) -> dict[str, T]:
    """The builtin parts and those that other distributions register under `group`.

    `word` is the attribute that holds the manifest's word; `build` calls a factory.

    Raises:
        InputError: a plug-in can't be imported or built, lacks a member of the port, has another
            name than its entry point, or a name that is taken.
    """
    parts = dict(builtin)
    for entry in entry_points(group=group) if found is None else found:
        where = f"plug-in {entry.name!r} ({group}, {entry.value})"
        if entry.name in parts:
            raise InputError(
                "this name is taken already", where=where, next_step="uninstall one of them"
            )
        parts[entry.name] = _checked(_built(entry, build, where), entry.name, port, word, where)
    return parts


def _built(
    entry: EntryPoint, build: Callable[[Callable[..., object]], object], where: str
) -> object:
    try:
        factory = entry.load()
        if not callable(factory):
            raise InputError("it names something that is not callable", where=where)
        return build(factory)
    except InputError:
        raise
    except Exception as error:  # a stranger's code may raise anything
        raise InputError(
            f"it can't be loaded: {type(error).__name__}",
            where=where,
            next_step="mend or uninstall the plug-in",
        ) from error


def _checked(part: object, name: str, port: type[T], word: str, where: str) -> T:
    missing = [member for member in _methods(port) if not callable(getattr(part, member, None))]
    if missing:
        raise InputError(f"it lacks {', '.join(missing)}", where=where)
    if getattr(part, word, None) != name:
        raise InputError(f"its {word} is not the name of its entry point", where=where)
    fields = getattr(part, "fields", None)
    if not isinstance(fields, tuple) or not all(isinstance(f, Field) for f in fields):
        raise InputError("its fields are not a tuple of Field", where=where)
    # Every member that the port asks for has been looked at above.
    return part  # type: ignore[return-value]


def _methods(port: type[object]) -> list[str]:
    return [
        name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")
    ]
