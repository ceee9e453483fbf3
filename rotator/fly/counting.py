"""How many calls went out, counted by scope."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Count:
    """Calls made since the scope was opened."""

    count: int = 0


class CallCounter:
    """Counts by context: tasks that are started within a scope count for it."""

    def __init__(self) -> None:
        self._scopes: ContextVar[tuple[Count, ...]] = ContextVar("rotator_call_scopes", default=())

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Open a scope. An inner scope's calls count for the outer one too."""
        scope = Count()
        before = self._scopes.set((*self._scopes.get(), scope))
        try:
            yield scope
        finally:
            self._scopes.reset(before)

    def add(self) -> None:
        """One more call."""
        for scope in self._scopes.get():
            scope.count += 1
