"""What a new manifest says otherwise of a credential, in words for the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from enum import Enum
from typing import Final

from rotator.domain.credential import CredentialSpec
from rotator.domain.durations import format_duration
from rotator.domain.policy import Share

NONE: Final = "none"


def spec_changes(old: CredentialSpec, new: CredentialSpec) -> str:
    """Each field that differs, as `policy.every: 30d → 90d`. Nothing in a spec is secret."""
    was, now = ({target.key: target for target in spec.targets} for spec in (old, new))
    told = _differences(replace(old, targets=()), replace(new, targets=()))
    told += [f"target {key}: added" for key in now if key not in was]
    told += [f"target {key}: removed" for key in was if key not in now]
    for key in now.keys() & was.keys():
        told += [f"target {key} {each}" for each in _differences(was[key], now[key])]
    return "; ".join(sorted(told))


def _differences(old: object, new: object) -> list[str]:
    before, after = dict(_flat("", old)), dict(_flat("", new))
    pairs = ((n, before.get(n, NONE), after.get(n, NONE)) for n in before.keys() | after.keys())
    return [f"{name}: {was} → {now}" for name, was, now in pairs if was != now]


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The leaves of a document with their dotted names."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(_dotted(name, str(key)), each)
    elif is_dataclass(value) and not isinstance(value, type | Share):
        for field in fields(value):
            yield from _flat(_dotted(name, field.name), getattr(value, field.name))
    else:
        yield name, _text(value)


def _dotted(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _text(value: object) -> str:
    if value is None or value in ((), frozenset()):
        return NONE
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return ", ".join(_text(each) for each in value)
    if isinstance(value, frozenset):
        return ", ".join(sorted(_text(each) for each in value))
    return str(value)
