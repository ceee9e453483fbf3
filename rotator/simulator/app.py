"""The simulated Fly as an ASGI application: Machines API, GraphQL and control paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rotator.simulator import control, gql, rest
from rotator.simulator.gateway import Gateway
from rotator.simulator.seed import seed_world
from rotator.simulator.world import World


def create_app(world: World, *, served: bool = False) -> Starlette:
    """The application over a world. `served` says that real connections carry it."""

    async def graphql(request: Request) -> Response:
        return await gql.serve(world, request)

    routes = [
        *rest.routes(world),
        Route("/graphql", graphql, methods=["POST"]),
        *control.routes(world),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Gateway, world=world, served=served)],
        exception_handlers={404: _not_found},
    )


def build_world(
    seed: int,
    now: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]],
    speed: float = 1.0,
) -> tuple[World, str]:
    """A seeded world, and the Authorization value of its operator's organization token."""
    world = World(seed, now, sleep, speed)
    return world, seed_world(world)


async def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "not found"}, 404)
