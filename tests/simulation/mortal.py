"""A worker process that can die at any await: what it had begun outside goes on, it does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from rotator.domain.ports import Store, Unit


class Life:
    """Whether a process lives. Nothing of a dead one reaches the outside."""

    def __init__(self) -> None:
        self.over = False

    def check(self) -> None:
        """Stop the dead."""
        if self.over:
            raise asyncio.CancelledError


class MortalTransport(httpx.AsyncBaseTransport):
    """The network of one process. A request that was sent has its effect, whoever waits for it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, life: Life) -> None:
        self._inner, self._life = inner, life
        self.under_way: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, unless dead."""
        self._life.check()
        task = asyncio.create_task(self._inner.handle_async_request(request))
        self.under_way.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[httpx.Response]) -> None:
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()


class MortalStore:
    """The database as one process sees it. Writers take turns, as SQLite makes them."""

    def __init__(self, inner: Store, life: Life, turn: asyncio.Lock) -> None:
        self._inner, self._life, self._turn = inner, life, turn

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A transaction for writing; the dead commit nothing."""
        self._life.check()
        async with self._turn, self._inner.unit() as unit:
            yield unit
            self._life.check()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Unit]:
        """A transaction for reading."""
        self._life.check()
        async with self._turn, self._inner.view() as unit:
            yield unit
