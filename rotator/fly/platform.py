"""Which regions and machine sizes Fly has: asked once in a while, with a list that came along for
when nobody can be asked.

GraphQL's `platform` gives both in one call (the Machines API's `/platform/regions` has no sizes).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Final

from pydantic import Field

from rotator.domain.errors import RotatorError
from rotator.domain.platform import Platform, Region, Size
from rotator.domain.ports import Clock
from rotator.fly.graphql import Graphql
from rotator.fly.parsing import FlyModel

FRESH_FOR: Final = timedelta(hours=24)
RETRY_AFTER: Final = timedelta(minutes=10)
"""How long what is at hand is used after Fly did not answer."""


class _Region(FlyModel):
    code: str
    name: str = ""
    gateway: bool | None = Field(default=None, alias="gatewayAvailable")
    paid: bool = Field(default=False, alias="requiresPaidPlan")
    deprecated: bool = False

    def plain(self) -> Region:
        return Region(self.code, self.name, self.gateway, self.deprecated, self.paid)


class _Size(FlyModel):
    name: str
    cpus: float = Field(alias="cpuCores")
    memory_mb: int = Field(alias="memoryMb")
    max_memory_mb: int = Field(alias="maxMemoryMb")
    steps_mb: tuple[int, ...] = Field(default=(), alias="memoryIncrementsMb")

    def plain(self) -> Size:
        return Size(self.name, self.cpus, self.memory_mb, self.max_memory_mb, self.steps_mb)


class _Platform(FlyModel):
    regions: tuple[_Region, ...]
    sizes: tuple[_Size, ...] = Field(alias="vmSizes")

    def plain(self, as_of: datetime, *, shipped: bool = False) -> Platform:
        regions = tuple(each.plain() for each in self.regions)
        return Platform(regions, tuple(each.plain() for each in self.sizes), as_of, shipped)


class _Data(FlyModel):
    platform: _Platform


@cache
def shipped() -> Platform:
    """The list that came with rotator, and its date."""
    text = (files("rotator.fly") / "platform.json").read_text("utf-8")
    found = json.loads(text)
    as_of = datetime.fromisoformat(found["as_of"]).replace(tzinfo=UTC)
    return _Platform.model_validate(found).plain(as_of, shipped=True)


class PlatformApi:
    """The platform, remembered for a day."""

    def __init__(self, graphql: Graphql, clock: Clock) -> None:
        self._graphql, self._clock = graphql, clock
        self._known: Platform | None = None
        self._ask_at = datetime.min.replace(tzinfo=UTC)

    async def platform(self) -> Platform:
        """What Fly has. Where it can't be asked, what is known from before, or what came along:
        this is for hints, so it raises nothing of Fly's."""
        now = self._clock.now()
        if now >= self._ask_at:
            try:
                self._known = await self.read()
                self._ask_at = now + FRESH_FOR
            except RotatorError:
                self._ask_at = now + RETRY_AFTER
        return self._known or shipped()

    async def read(self) -> Platform:
        """Ask Fly.

        Raises:
            RotatorError: as any call.
        """
        what = "list Fly's regions and machine sizes"
        data, _ = await self._graphql.run("Platform", _Data, what, {})
        return data.platform.plain(self._clock.now())
