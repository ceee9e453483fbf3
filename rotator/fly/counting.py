"""Calls that go out: how many, counted by scope, whether they still may, and what they answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.errors import ClaimLost
from rotator.fly.call import Answer

MAX_REMEMBERED: Final = 256
"""Answers: a list of tokens may be large."""


@dataclass
class Count:
    """Calls made since the scope was opened."""

    count: int = 0


@dataclass
class Memory:
    """Answers to reads, each good for `lasts`."""

    lasts: timedelta
    answers: dict[object, tuple[datetime, Answer]] = field(default_factory=dict)

    def recall(self, question: object, now: datetime) -> Answer | None:
        """What was answered a short while ago."""
        at, answer = self.answers.get(question, (now - 2 * self.lasts, None))
        return answer if now - at <= self.lasts else None

    def keep(self, question: object, answer: Answer, now: datetime) -> None:
        """Keep an answer; forget the oldest ones where they are too many."""
        while len(self.answers) >= MAX_REMEMBERED:
            self.answers.pop(next(iter(self.answers)))
        self.answers[question] = (now, answer)


class CallCounter:
    """Counts by context: tasks that are started within a scope count for it."""

    def __init__(self) -> None:
        self._scopes: ContextVar[tuple[Count, ...]] = ContextVar("rotator_call_scopes", default=())
        self._rights: ContextVar[tuple[Callable[[], bool], ...]] = ContextVar(
            "rotator_call_rights", default=()
        )
        self._memory: ContextVar[Memory | None] = ContextVar("rotator_call_memory", default=None)

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

    @contextmanager
    def remembering(self, lasts: timedelta) -> Iterator[None]:
        """Ask for the same thing once in this time, for passes over many credentials."""
        before = self._memory.set(Memory(lasts))
        try:
            yield
        finally:
            self._memory.reset(before)

    @property
    def memory(self) -> Memory | None:
        """The answers that may be given again here, if any may."""
        return self._memory.get()

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
