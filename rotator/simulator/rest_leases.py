"""The Machines API: leases."""

from __future__ import annotations

from starlette.responses import Response

from rotator.fly.macaroon import CONTROL
from rotator.simulator import leases
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.model import Machine


async def get_lease(call: Call) -> Response:
    """GET the lease, its nonce included, as Fly does."""
    return ok(leases.view(leases.read(call.world, _machine(call))))


async def acquire_lease(call: Call) -> Response:
    """POST a lease: a new one, or with the nonce a longer one. The ttl may be in query or body."""
    given = call.query("ttl") or call.body.get("ttl", leases.DEFAULT_TTL_SECONDS)
    description = call.body.get("description", "")
    lease = leases.acquire(
        call.world,
        _machine(call),
        call.nonce,
        owner=call.principal.email,
        ttl_seconds=whole_number(given, "ttl"),
        description=description if isinstance(description, str) else "",
    )
    return ok(leases.view(lease), 201)


async def release_lease(call: Call) -> Response:
    """DELETE the lease."""
    leases.release(call.world, _machine(call), call.nonce)
    return ok({"status": "success", "data": {"ok": True}})


def _machine(call: Call) -> Machine:
    machine = call.machine(CONTROL)
    if machine.host_status != "ok":
        raise ApiError(408, "deadline_exceeded: the machine's host did not answer in time")
    return machine
