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
from rotator.domain.machines import Release, ReleaseStatus
from rotator.fly.call import Call, Effect
from rotator.fly.graphql import Graphql
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.paths import release_path, releases_path
from rotator.fly.transport import Transport

_UNBEGUN: Final = "pending"
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

    async def unbegun(self, app: str, *, since: datetime) -> Release | None:
        """The newest release made since then that nobody has set running.

        flyctl sets its own running at once (MACHINES.md 6.1), so that one which is still pending is
        what a lost answer of ours left; were it not, to set it running would do no harm.
        """
        call = Call(
            f"list the releases of {app}",
            "GET",
            releases_path(app),
            APP_ACTIONS,
            app,
            query={"limit": _RECENT},
        )
        found = parse(_Many, call, await self._rest.send(call)).releases
        fitting = (
            each.plain()
            for each in found
            if each.status == _UNBEGUN
            and each.created_at is not None
            and each.created_at >= since - _SKEW
        )
        return next(fitting, None)

    async def create(self, app: str, *, strategy: str) -> Release:
        """Make a release with the app's configuration and image as they stand."""
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

    async def set_status(self, app: str, release_id: str, status: ReleaseStatus) -> None:
        """Say how it goes."""
        body: Mapping[str, object] = {"status": status.value}
        call = Call(
            f"set the release of {app} {status}",
            "PATCH",
            release_path(release_id),
            "release",
            app,
            effect=Effect.IDEMPOTENT,
            body=body,
        )
        await self._rest.send(call)
