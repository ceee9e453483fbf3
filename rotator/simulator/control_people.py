"""`/_simulator/members/{email}`: people who join an organization, and who leave it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rotator.simulator import gql_people
from rotator.simulator.api import ok, read_body
from rotator.simulator.world import World


async def join(world: World, request: Request) -> Response:
    """`organization` is a slug, the first organization without one; `admin` the role."""
    body = await read_body(request)
    org = world.organization(str(body.get("organization") or "personal"))
    gql_people.join(world, org, str(request.path_params["email"]), admin=body.get("admin") is True)
    return ok({"members": sorted(org.members)})


async def leave(world: World, request: Request) -> Response:
    """Remove somebody from the organization that the query names, or from the first one."""
    org = world.organization(request.query_params.get("organization", "personal"))
    gql_people.leave(world, org, str(request.path_params["email"]))
    return ok({"members": sorted(org.members)})
