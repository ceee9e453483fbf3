"""How a REST call is served: who calls, how often, with what body, and what refusals look like."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rotator.fly import macaroon
from rotator.fly.access import Access
from rotator.simulator import tokens
from rotator.simulator.errors import ApiError, TooManyRequests
from rotator.simulator.limits import NORMAL, Rate
from rotator.simulator.model import App, Json, Machine
from rotator.simulator.world import World

NONCE_HEADER = "fly-machine-lease-nonce"


@dataclass(frozen=True)
class Call:
    """One authenticated REST call."""

    world: World
    request: Request
    principal: tokens.Principal
    body: Json

    @property
    def nonce(self) -> str:
        """The lease nonce that the caller sent, or nothing."""
        return self.request.headers.get(NONCE_HEADER, "")

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """One query parameter."""
        return self.request.query_params.get(name, default)

    def flag(self, name: str) -> bool:
        """A query parameter as a truth value."""
        return self.query(name).lower() in {"true", "1"}

    def app(self, action: int = macaroon.READ) -> App:
        """The app in the path. Raises ApiError 404, and 403 when the caller may not."""
        app = self.world.app(self.path("app"))
        self._require(Access(app.org.number, action, app=app.number))
        return app

    def machine(
        self, action: int = macaroon.READ, *, command: tuple[str, ...] | None = None
    ) -> Machine:
        """The machine in the path, and the command to run in it. Raises ApiError 404 and 403."""
        app, machine = self.world.app(self.path("app")), self.path("machine")
        self._require(
            Access(app.org.number, action, app=app.number, machine=machine, command=command)
        )
        return self.world.machine(app, machine)

    def _require(self, access: Access) -> None:
        if not self.principal.may(access):
            raise ApiError(403, "unauthorized: the token does not allow this on the app")


Handler = Callable[[Call], Awaitable[Response]]


def endpoint(
    world: World,
    method: str,
    path: str,
    handler: Handler,
    *,
    rate: Rate | None = NORMAL,
    prefix: str = "/v1",
) -> Route:
    """A route that authenticates, limits and then calls the handler."""

    async def serve(request: Request) -> Response:
        try:
            principal = tokens.authenticate(
                world,
                request.headers.get("authorization"),
                request.headers.get(tokens.SOURCE_HEADER),
            )
            if rate is not None:
                _limit(world, request, handler, rate)
            call = Call(world, request, principal, await read_body(request))
            return await handler(call)
        except ApiError as error:
            return refusal(error)

    return Route(f"{prefix}{path}", serve, methods=[method])


def ok(body: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return JSONResponse(body, status_code=status)


def refusal(error: ApiError) -> Response:
    """A refusal in its envelope."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def read_body(request: Request) -> Json:
    """The JSON object in a request, empty when there is none. Raises ApiError 400."""
    raw = await request.body()
    if not raw.strip():
        return {}
    try:
        parsed: object = json.loads(raw)
    except ValueError:
        raise ApiError(400, "invalid_argument: the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, "invalid_argument: the body is not a JSON object")
    return parsed


def whole_number(value: object, name: str) -> int:
    """A whole number from a body or a query. Raises ApiError 400."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ApiError(400, f"invalid_argument: {name} must be a whole number")


def _limit(world: World, request: Request, handler: Handler, rate: Rate) -> None:
    app = str(request.path_params.get("app", request.path_params.get("org", "")))
    machine = str(request.path_params.get("machine", ""))
    action = handler.__name__
    if not machine and world.switches.app_actions_share_bucket:
        action = "app"
    wait = world.limits.take(action, f"{app}/{machine}", rate, world.now())
    if wait > 0:
        header = math.ceil(wait) if world.switches.retry_after_on_429 else None
        raise TooManyRequests(header)
