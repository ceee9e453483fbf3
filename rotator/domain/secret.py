"""A value that must not be seen: it shows nothing wherever text is made of it (P6)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import ClassVar, NoReturn

__all__ = ["Secret"]

_MASK = "<secret>"


class Secret:
    """Holds one secret text. `reveal()` is the only way to it; everything else shows a mask.

    Not hashable, not serialisable by pickle or copy into JSON; equality takes constant time.
    """

    __slots__ = ("_value",)

    watcher: ClassVar[Callable[[str], None] | None] = None
    """Is told each value that is made, so that it is known where it must not appear."""

    def __init__(self, value: str) -> None:
        self._value = value
        if Secret.watcher is not None:
            Secret.watcher(value)

    @classmethod
    def of_others(cls, text: str) -> Secret:
        """A text of somebody else's that may be a value and mostly is none, such as a variable of a
        machine: it shows nothing, but is not looked for in other texts."""
        return cls.of_public(text)

    @classmethod
    def of_public(cls, text: str) -> Secret:
        """A text that everybody may know, for an interface that takes a `Secret`."""
        made = cls.__new__(cls)
        made._value = text
        return made

    def reveal(self) -> str:
        """Give the text. Call it in the one expression where it leaves the process."""
        return self._value

    def __repr__(self) -> str:
        return _MASK

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled or copied")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self
