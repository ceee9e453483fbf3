"""Calls that go out: how many, counted by scope, and whether they still may."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rotator.domain.errors import ClaimLost


@dataclass
class Count:
    """Calls made since the scope was opened."""

    count: int = 0


class CallCounter:
    """Counts by context: tasks that are started within a scope count for it."""

    def __init__(self) -> None:
        self._scopes: ContextVar[tuple[Count, ...]] = ContextVar("rotator_call_scopes", default=())
        self._rights: ContextVar[tuple[Callable[[], bool], ...]] = ContextVar(
            "rotator_call_rights", default=()
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
    def only_while(self, lasts: Callable[[], bool]) -> Iterator[None]:
        """Let no call out once `lasts` says no."""
        before = self._rights.set((*self._rights.get(), lasts))
        try:
            yield
        finally:
            self._rights.reset(before)

    def add(self) -> None:
        """One more call. Raises like `ask`."""
        self.ask()
        for scope in self._scopes.get():
            scope.count += 1

    def ask(self) -> None:
        """Ask whether anything may still be done outside.

        Raises:
            ClaimLost: the right that it would be done under has run out.
        """
        if not all(lasts() for lasts in self._rights.get()):
            raise ClaimLost("the claim has run out by this worker's own clock; nothing was sent")
