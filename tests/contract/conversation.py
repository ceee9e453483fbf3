"""A client and a simulator in one process, and everything that they said to each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from rotator.domain.secret import Secret
from rotator.fly.client import FlyClient
from rotator.simulator.app import build_world, create_app
from rotator.simulator.world import World
from rotator.system import SystemEntropy


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    query: dict[str, str]
    body: object
    status: int
    answer: object


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Conversation:
    """What a test talks with."""

    client: FlyClient
    world: World
    clock: Clock
    said: list[Exchange] = field(default_factory=list)


class _Recorder(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, said: list[Exchange]) -> None:
        self._inner, self._said = inner, said

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        content = await response.aread()
        self._said.append(
            Exchange(
                request.method,
                request.url.path,
                dict(request.url.params),
                json.loads(request.content) if request.content else None,
                response.status_code,
                json.loads(content) if content else None,
            )
        )
        return response


@asynccontextmanager
async def conversation() -> AsyncIterator[Conversation]:
    """A client that is the operator of a seeded world."""
    clock = Clock()
    world, token = build_world(1, clock.now, clock.sleep)
    said: list[Exchange] = []
    http = _Recorder(httpx.ASGITransport(app=create_app(world)), said)
    client = FlyClient("http://fly", "http://fly", Secret(token), clock, SystemEntropy(), http=http)
    try:
        yield Conversation(client, world, clock, said)
    finally:
        await client.aclose()
