"""How many calls went out, counted by scope; and who may still make any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        self._guards: ContextVar[tuple[Callable[[], None], ...]] = ContextVar(
            "rotator_call_guards", default=()
        )

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Open a scope. An inner scope's calls count for the outer one too."""
        scope = Count()
        before = self._scopes.set((*self._scopes.get(), scope))
        try:
            yield scope
        finally:
            self._scopes.reset(before)

    @contextmanager
    def guarded(self, allowed: Callable[[], None]) -> Iterator[None]:
        """Open a scope in which `allowed` is asked before each call; what it raises is raised."""
        before = self._guards.set((*self._guards.get(), allowed))
        try:
            yield
        finally:
            self._guards.reset(before)

    def ask(self) -> None:
        """Ask all who guard this scope whether anything may still be done outside."""
        for allowed in self._guards.get():
            allowed()

    def add(self) -> None:
        """One more call, if all who guard it allow it."""
        self.ask()
        for scope in self._scopes.get():
            scope.count += 1
