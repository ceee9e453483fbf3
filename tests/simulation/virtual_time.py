"""An event loop in which time passes only when everybody waits, and nothing runs in a thread."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import aiosqlite.core
from ulid import ULID

RESOLUTION_SECONDS = 1e-6
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class NumberedTask(asyncio.Task[Any]):
    """A task that hashes by its number: asyncio keeps tasks in sets, and cancels them in the order
    of their hashes, which are addresses otherwise."""

    _numbers = count()

    def __init__(self, *args: Any, **given: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(*args, **given)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer as soon as nothing is ready."""

    def __init__(self) -> None:
        self.elapsed_seconds = 0.0
        super().__init__(_JumpingSelector(self))
        # After half a year a float of seconds can't tell nanoseconds apart any more.
        self._clock_resolution = RESOLUTION_SECONDS
        NumberedTask._numbers = count()
        self.set_task_factory(
            lambda loop, work, **given: NumberedTask(work, loop=loop, **given)  # type: ignore[arg-type]
        )

    def time(self) -> float:
        """Seconds since the beginning of this world."""
        return self.elapsed_seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run at once: a thread would make the order of things depend on the machine."""
        done: Future[Any] = Future()
        try:
            done.set_result(func(*args))
        except BaseException as error:  # handed to whoever waits for it
            done.set_exception(error)
        return asyncio.wrap_future(done, loop=self)


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits for somebody else")
        self._loop.elapsed_seconds += max(timeout, RESOLUTION_SECONDS)
        return ready


class VirtualClock:
    """The clock of a world."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """The present in this world."""
        return BEGIN + timedelta(seconds=self._loop.elapsed_seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SeededEntropy:
    """Randomness that comes from the seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_bytes(self, count: int) -> bytes:
        """Bytes."""
        return self._rng.randbytes(count)

    def below(self, bound: int) -> int:
        """A number in [0, bound)."""
        return self._rng.randrange(bound)

    def ulid(self, now: datetime) -> str:
        """An id."""
        milliseconds = int(now.timestamp() * 1000)
        return str(ULID.from_bytes(milliseconds.to_bytes(6, "big") + self._rng.randbytes(10)))


class _NoThread:
    def start(self) -> None:
        """Nothing to start."""


class _InlineQueue:
    """Stands in for aiosqlite's queue to its thread: does each thing when it is put."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = item
        try:
            result = function()
        except Exception as error:  # handed to whoever waits for it
            if future is not None:
                future.set_exception(error)
            return
        if future is not None:
            future.set_result(result)


@contextmanager
def inline_sqlite() -> Iterator[None]:
    """aiosqlite without threads."""
    original = aiosqlite.core.Connection.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self._thread = _NoThread()
        self._tx = _InlineQueue()

    aiosqlite.core.Connection.__init__ = init  # type: ignore[method-assign]
    try:
        yield
    finally:
        aiosqlite.core.Connection.__init__ = original  # type: ignore[method-assign]


def run_virtually(work: Callable[[VirtualLoop], Any]) -> Any:
    """Run a coroutine function in a fresh world."""
    loop = VirtualLoop()
    with inline_sqlite(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work(loop))
