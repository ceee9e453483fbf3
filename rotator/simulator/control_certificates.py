"""`POST /_simulator/certificates/{app}/{hostname}`: make a certificate as a story needs it."""

from __future__ import annotations

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from rotator.simulator.api import ok, read_body
from rotator.simulator.certificates import LIFE
from rotator.simulator.errors import ApiError
from rotator.simulator.model import Certificate, Json
from rotator.simulator.world import World

_FLAGS = frozenset({"configured", "issued", "stuck", "custom_active"})
_DAYS = {
    "expires_in_days": "expires_at",
    "custom_expires_in_days": "custom_expires_at",
    "graphql_expires_in_days": "graphql_expires_at",
}


async def turn_certificate(world: World, request: Request) -> Response:
    """Add the hostname to the app if it is new, and set what the body names."""
    app = world.app(str(request.path_params["app"]))
    name, now = str(request.path_params["hostname"]), world.now()
    body = await read_body(request)
    unknown = set(body) - _FLAGS - set(_DAYS) - {"errors", "only_in", "checks_needed"}
    if unknown:
        raise ApiError(400, f"unknown: {', '.join(sorted(unknown))}")
    certificate = app.certificates.setdefault(name, Certificate(name, now, now + LIFE))
    _turn(certificate, body, now)
    return ok({"hostname": name, "checks": len(certificate.checks)})


def _turn(certificate: Certificate, body: Json, now: datetime) -> None:
    for flag in _FLAGS & set(body):
        setattr(certificate, flag, body[flag] is True)
    for given, field in _DAYS.items():
        days = body.get(given)
        if isinstance(days, int | float):
            setattr(certificate, field, now + timedelta(days=days))
    errors, only_in, needed = body.get("errors"), body.get("only_in"), body.get("checks_needed")
    if isinstance(errors, list):
        certificate.errors = tuple(str(each) for each in errors)
    if only_in in ("", "machines", "graphql"):
        certificate.only_in = str(only_in)
    if isinstance(needed, int):
        certificate.checks_needed = needed
