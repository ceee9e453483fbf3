"""Releases of an app, made the way flyctl makes them (MACHINES.md 6.2): plain REST beside GraphQL.

A release changes nothing by itself: `fly releases` lists it, and `fly secrets list` compares its
time with the secrets' to tell "Deployed" from "Staged".
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from rotator.domain.errors import NotFound
from rotator.domain.machines import Release
from rotator.fly.call import Call, Effect
from rotator.fly.graphql import Graphql
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.transport import Transport

_UNDER_WAY: Final = frozenset({"pending", "running"})
_RECENT: Final = 10
_STRATEGIES: Final[Mapping[str, str]] = {
    "canary": "CANARY",
    "immediate": "IMMEDIATE",
    "blue-green": "BLUEGREEN",
}
"""Fly's words for ours; everything else is a rolling release."""
_SKEW: Final = timedelta(seconds=30)


class _ReleaseModel(FlyModel):
    id: str
    version: int
    status: str = ""
    created_at: Instant | None = None

    def plain(self) -> Release:
        return Release(self.id, self.version, self.status, self.created_at)


class _One(FlyModel):
    release: _ReleaseModel


class _Many(FlyModel):
    releases: tuple[_ReleaseModel, ...] = ()


class _Config(FlyModel):
    definition: dict[str, object] = Field(default_factory=dict, repr=False)


class _Current(FlyModel):
    image_ref: str | None = Field(default=None, alias="imageRef")


class _App(FlyModel):
    config: _Config | None = None
    current_release: _Current | None = Field(default=None, alias="currentReleaseUnprocessed")


class _AppForRelease(FlyModel):
    app: _App | None = None


class ReleasesApi:
    """The engine's `Releases`."""

    def __init__(self, rest: Transport, graphql: Graphql) -> None:
        self._rest, self._graphql = rest, graphql

    async def begin(self, app: str, *, strategy: str, asked_at: datetime, again: bool) -> Release:
        """Make a release and set it running; with `again` take the one that an earlier try made."""
        release = await self._under_way(app, asked_at) if again else None
        if release is None:
            release = await self._create(app, strategy)
        await self._set_status(app, release.id, "running")
        return release

    async def _under_way(self, app: str, since: datetime) -> Release | None:
        call = Call(
            f"list the releases of {app}",
            "GET",
            f"/api/v1/apps/{app}/releases",
            APP_ACTIONS,
            app,
            query={"limit": _RECENT},
        )
        found = parse(_Many, call, await self._rest.send(call)).releases
        return next(
            (
                each.plain()
                for each in found
                if each.status in _UNDER_WAY
                and each.created_at is not None
                and each.created_at >= since - _SKEW
            ),
            None,
        )

    async def _create(self, app: str, strategy: str) -> Release:
        what = f"read the configuration of {app} for a release"
        data, _ = await self._graphql.run("AppForRelease", _AppForRelease, what, {"name": app})
        if data.app is None:
            raise NotFound(f"the app {app} does not exist, or this API token may not see it")
        call = Call(
            f"make a release of {app}",
            "POST",
            "/api/v1/releases",
            "release",
            app,
            effect=Effect.CHANGE,
            body={
                "app_name": app,
                "build_id": 0,
                "definition": data.app.config.definition if data.app.config else {},
                "image": (data.app.current_release and data.app.current_release.image_ref) or "",
                "strategy": _STRATEGIES.get(strategy, "ROLLING"),
            },
        )
        return parse(_One, call, await self._rest.send(call)).release.plain()

    async def end(self, app: str, release_id: str, *, succeeded: bool) -> None:
        """Say how it went."""
        await self._set_status(app, release_id, "complete" if succeeded else "failed")

    async def _set_status(self, app: str, release_id: str, status: str) -> None:
        body: Mapping[str, object] = {"status": status}
        call = Call(
            f"set the release of {app} {status}",
            "PATCH",
            f"/api/v1/releases/{release_id}",
            "release",
            app,
            effect=Effect.IDEMPOTENT,
            body=body,
        )
        await self._rest.send(call)
