"""The addresses under which apps are reached: given, shown and taken back."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Final

from starlette.responses import Response

from rotator.fly.macaroon import WRITE
from rotator.simulator.api import Call, ok
from rotator.simulator.errors import ApiError
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import Address, App, Json

KINDS: Final = ("shared_v4", "v4", "v6", "private_v6")
"""Fly's words, as GraphQL's `IPAddressType` has them."""


def assign(app: App, kind: str, at: datetime) -> Address:
    """Give an app an address; a shared one is the same for all apps of an organization."""
    number = app.number & 0xFFFF
    given = {each.ip for each in app.addresses}
    place = next(n for n in count(1) if f"2a09:8280:1::{number:x}:{n:x}" not in given)
    ip = {
        "shared_v4": "66.241.124.10",
        "v4": f"137.66.{number >> 8}.{number & 0xFF}",
        "v6": f"2a09:8280:1::{number:x}:{place:x}",
        "private_v6": f"fdaa:0:{app.org.network:x}:0:1::{number:x}",
    }[kind]
    found = next((each for each in app.addresses if each.ip == ip), None)
    if found is not None:
        return found
    address = Address(ip, kind, at)
    app.addresses.append(address)
    return address


def rest_view(address: Address) -> Json:
    """As the Machines API shows it, which has no word for the kind."""
    return {
        "ip": address.ip,
        "region": "global",
        "shared": address.kind == "shared_v4",
        "created_at": rfc3339(address.created_at),
    }


def graphql_views(app: App) -> list[Json]:
    """As GraphQL lists them; the shared one is a field beside them."""
    return [
        {
            "__typename": "IPAddress",
            "id": f"ip:{app.number}:{each.ip}",
            "address": each.ip,
            "type": each.kind,
            "region": "global",
            "createdAt": rfc3339(each.created_at),
            "network": None,
            "serviceName": None,
        }
        for each in app.addresses
        if each.kind != "shared_v4"
    ]


def shared(app: App) -> str | None:
    """The shared address of an app that has one."""
    return next((each.ip for each in app.addresses if each.kind == "shared_v4"), None)


async def list_addresses(call: Call) -> Response:
    """GET the addresses of an app."""
    return ok({"ips": [rest_view(each) for each in call.app().addresses]})


async def assign_address(call: Call) -> Response:
    """POST one more address."""
    app = call.app(WRITE)
    kind = call.body.get("type")
    if kind not in KINDS:
        raise ApiError(422, f"invalid_argument: type must be one of {', '.join(KINDS)}")
    return ok(rest_view(assign(app, str(kind), call.world.now())))


async def release_address(call: Call) -> Response:
    """DELETE an address."""
    app, ip = call.app(WRITE), call.path("ip")
    kept = [each for each in app.addresses if each.ip != ip]
    if len(kept) == len(app.addresses):
        raise ApiError(404, "ip address not found")
    app.addresses = kept
    return Response(status_code=204)
