"""The REST API of releases, which lives beside GraphQL (flyctl calls it "ui-ex")."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from rotator.fly.access import Access
from rotator.fly.macaroon import READ, WRITE
from rotator.simulator import deploys
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import App, Json, Release

STATUSES: Final = frozenset({"pending", "running", "complete", "failed", "interrupted"})
STRATEGIES: Final = frozenset(
    {"ROLLING", "IMMEDIATE", "CANARY", "BLUEGREEN", "ROLLING_ONE", "SIMPLE"}
)


async def create_release(call: Call) -> Response:
    """POST a release: it changes no machine."""
    app = _app(call, str(call.body.get("app_name")), WRITE)
    strategy = call.body.get("strategy")
    if strategy not in STRATEGIES:
        raise ApiError(422, "unprocessable: unknown strategy")
    if not isinstance(call.body.get("definition"), dict):
        raise ApiError(422, "unprocessable: definition must be an object")
    release = deploys.new_release(call.world, app, call.world.now(), "Release")
    release.status, release.strategy = "pending", str(strategy)
    release.user_email = call.principal.email
    return ok({"release": release_view(release)}, 201)


async def change_release(call: Call) -> Response:
    """PATCH a release's status."""
    for app in call.world.apps.values():
        for release in app.releases:
            if release.id == call.path("release"):
                _app(call, app.name, WRITE)
                status = call.body.get("status")
                if status not in STATUSES:
                    raise ApiError(422, "unprocessable: unknown status")
                release.status = str(status)
                return ok(_either_way(release))
    raise ApiError(404, "release not found")


async def list_releases(call: Call) -> Response:
    """GET releases, newest first."""
    limit = whole_number(call.query("limit", "20"), "limit")
    return ok({"releases": [release_view(r) for r in reversed(call.app().releases)][:limit]})


async def current_release(call: Call) -> Response:
    """GET the newest release that is complete."""
    for release in reversed(call.app().releases):
        if release.status == "complete":
            return ok(_either_way(release))
    raise ApiError(404, "release not found")


async def all_current(call: Call) -> Response:
    """GET when each app that the caller may see was released last."""
    seen = [
        app
        for app in call.world.apps.values()
        if app.releases and call.principal.may(Access(app.org.number, READ, app=app.number))
    ]
    return ok({app.name: rfc3339(app.releases[-1].created_at) for app in seen})


def _either_way(release: Release) -> Json:
    """flyctl reads these two answers without an envelope; others look for one."""
    view = release_view(release)
    return {**view, "release": view}


def release_view(release: Release) -> Json:
    """A release."""
    return {
        "id": release.id,
        "version": release.version,
        "stable": release.status == "complete",
        "in_progress": release.status in {"pending", "running"},
        "status": release.status,
        "strategy": release.strategy,
        "user": release.user_email,
        "created_at": rfc3339(release.created_at),
        "image_ref": release.image_ref,
    }


def _app(call: Call, name: str, action: int) -> App:
    app = call.world.app(name)
    if not call.principal.may(Access(app.org.number, action | READ, app=app.number)):
        raise ApiError(403, "unauthorized: the token does not allow this on the app")
    return app
