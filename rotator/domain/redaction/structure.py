"""Values by where they stand: under a name that says so, in a type that hides them, in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from rotator.domain.redaction.content import MASK, without_values
from rotator.domain.redaction.field_names import is_secret_name
from rotator.domain.redaction.held import HeldValues
from rotator.domain.redaction.kept import kept_event
from rotator.domain.secret import Secret

if TYPE_CHECKING:
    from rotator.domain.events import Event

DEEPEST: Final = 8
WIDEST: Final = 1000
_PLAIN: Final = (bool, int, float, type(None))


class Scrubber:
    """Everything that is known of values, put together. Idempotent; never raises for its input."""

    def __init__(self, held: HeldValues | None = None) -> None:
        self.held = held

    def text(self, text: str) -> str:
        """A text without values."""
        return without_values(text if self.held is None else self.held.mask(text))

    def event(self, event: Event) -> Event:
        """An event as it may be kept."""
        return kept_event(event, self.text)

    def thing(self, value: object, *, depth: int = 0) -> object:
        """Anything, as plain types without values: what hides a value is a mask, what stands under
        a telling name too; other objects become their repr."""
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, str):
            return self.text(value)
        if depth > DEEPEST:
            return "…"
        if isinstance(value, Secret) or hasattr(value, "get_secret_value"):
            return MASK
        if isinstance(value, bytes | bytearray | memoryview):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._many(value, depth)
        if is_dataclass(value) and not isinstance(value, type):
            named = {f.name: getattr(value, f.name, None) for f in fields(value) if f.repr}
            return {"": type(value).__name__, **self._mapping(named, depth)}
        return self.text(_repr(value))

    def _mapping(self, value: Mapping[Any, object], depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, each in list(value.items())[:WIDEST]:
            name = self.text(key) if isinstance(key, str) else str(self.thing(key, depth=depth + 1))
            found[name] = self.named(name, each, depth=depth + 1)
        return found

    def named(self, name: str, value: object, *, depth: int = 0) -> object:
        """What stands under a name."""
        if is_secret_name(name) and not isinstance(value, _PLAIN) and value:
            return MASK
        return self.thing(value, depth=depth)

    def _many(self, value: Iterable[object], depth: int) -> list[object]:
        return [self.thing(each, depth=depth + 1) for each in list(value)[:WIDEST]]


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # a repr of somebody else's
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
