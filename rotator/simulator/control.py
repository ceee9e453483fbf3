"""The simulator's own paths, `/_simulator/…`: what a test or a demonstration looks at and turns.

Unauthenticated and not in the log. No secret value and no token text is ever shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rotator.simulator import control_people, deploys, leases, machines
from rotator.simulator.api import ok, read_body, refusal, whole_number
from rotator.simulator.consumers import consumers
from rotator.simulator.control_certificates import turn_certificate
from rotator.simulator.errors import ApiError
from rotator.simulator.faults import Fault, Match
from rotator.simulator.ids import rfc3339
from rotator.simulator.load import Load
from rotator.simulator.model import App, Json, Machine, Organization, Token
from rotator.simulator.views import healthy
from rotator.simulator.world import LogEntry, World

_KNOBS = frozenset({"never_healthy", "crash_loop", "host_status", "proxy"})
_HOST_STATES = frozenset({"ok", "unknown", "unreachable"})

Handler = Callable[[World, Request], Awaitable[Response]]


def routes(world: World) -> list[Route]:
    """Every route under /_simulator."""
    table: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/faults", _add_fault),
        ("DELETE", "/faults", _clear_faults),
        ("POST", "/rates", _set_rates),
        ("POST", "/switches", _set_switches),
        ("POST", "/machines/{machine}", _turn_knobs),
        ("POST", "/deploy/{app}", _deploy),
        ("POST", "/apps/{app}", _turn_app),
        ("POST", "/members/{email}", control_people.join),
        ("DELETE", "/members/{email}", control_people.leave),
        ("POST", "/certificates/{app}/{hostname}", turn_certificate),
        ("POST", "/load", _start_load),
        ("GET", "/load", _show_load),
        ("GET", "/log", _show_log),
        ("GET", "/state", _show_state),
        ("GET", "/consumers", _show_consumers),
    )
    return [_route(world, method, path, handler) for method, path, handler in table]


def _route(world: World, method: str, path: str, handler: Handler) -> Route:
    async def serve(request: Request) -> Response:
        try:
            return await handler(world, request)
        except ApiError as error:
            return refusal(error)

    return Route(f"/_simulator{path}", serve, methods=[method])


async def _add_fault(world: World, request: Request) -> Response:
    body = await read_body(request)
    match = body.pop("match", {})
    if not isinstance(match, dict):
        raise ApiError(400, "match must be an object")
    try:
        world.faults.add(Fault(match=Match(**match), **body))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ApiError(400, str(error)) from None
    return ok({"ok": True}, 201)


async def _clear_faults(world: World, _: Request) -> Response:
    world.faults.clear()
    return ok({"ok": True})


async def _set_rates(world: World, request: Request) -> Response:
    return ok(_assign(world.faults.rates, await read_body(request)))


async def _set_switches(world: World, request: Request) -> Response:
    return ok(_assign(world.switches, await read_body(request)))


async def _turn_knobs(world: World, request: Request) -> Response:
    machine = world.any_machine(str(request.path_params["machine"]))
    body = await read_body(request)
    unknown = set(body) - _KNOBS
    if unknown:
        raise ApiError(400, f"unknown knob; one of {', '.join(sorted(_KNOBS))}")
    for name in ("never_healthy", "crash_loop"):
        if name in body:
            setattr(machine, name, body[name] is True)
    if "host_status" in body:
        if body["host_status"] not in _HOST_STATES:
            raise ApiError(400, "host_status is ok, unknown or unreachable")
        machine.host_status = str(body["host_status"])
    if body.get("proxy") == "start":
        machines.start(world, machine, source="proxy")
    if body.get("proxy") == "stop":
        machines.stop(world, machine, source="proxy")
    return ok({"ok": True})


async def _turn_app(world: World, request: Request) -> Response:
    """`refuse_next`: secrets of which the app can't live with the next new value."""
    app = world.app(str(request.path_params["app"]))
    names = (await read_body(request)).get("refuse_next")
    if not isinstance(names, list):
        raise ApiError(400, "refuse_next is a list of names of secrets")
    app.refuse_next |= {str(name) for name in names}
    return ok({"ok": True})


async def _start_load(world: World, request: Request) -> Response:
    per_second = (await read_body(request)).get("per_second", 50)
    if not isinstance(per_second, int | float) or not 0 < per_second <= 10_000:
        raise ApiError(400, "per_second is between 0 and 10000")
    world.load = Load(world, float(per_second))
    return ok({"ok": True})


async def _show_load(world: World, _: Request) -> Response:
    return ok(world.load.view() if world.load is not None else {"apps": {}})


async def _deploy(world: World, request: Request) -> Response:
    body = await read_body(request)
    app = world.app(str(request.path_params["app"]))
    release = deploys.deploy(world, app, force=body.get("force") is True)
    if release is None:
        raise ApiError(409, "a machine of the app is leased; the deploy gave up")
    return ok({"release": release.version})


async def _show_log(world: World, request: Request) -> Response:
    after = whole_number(request.query_params.get("after", "0"), "after")
    return ok({"requests": [_log_view(entry) for entry in world.log if entry.seq > after]})


async def _show_state(world: World, _: Request) -> Response:
    return ok(state(world))


async def _show_consumers(world: World, _: Request) -> Response:
    return JSONResponse({"consumers": [asdict(consumer) for consumer in consumers(world)]})


def state(world: World) -> Json:
    """The whole world without any value."""
    return {
        "now": world.now().isoformat(),
        "apps": [_app_state(world, app) for app in world.apps.values()],
        "tokens": [_token_state(token) for token in world.tokens.values()],
        "peers": [row for org in world.organizations.values() for row in _peer_states(org)],
    }


def _app_state(world: World, app: App) -> Json:
    return {
        "name": app.name,
        "organization": app.org.slug,
        "secrets_version": app.secrets_version,
        "secrets": [
            {"name": s.name, "digest": s.digest, "version": s.version} for s in app.secrets.values()
        ],
        "releases": len(app.releases),
        "release_list": [
            {"version": r.version, "status": r.status, "strategy": r.strategy} for r in app.releases
        ],
        "machines": [_machine_state(world, machine) for machine in app.machines.values()],
    }


def _machine_state(world: World, machine: Machine) -> Json:
    booted = machine.booted
    return {
        "id": machine.id,
        "group": machine.group,
        "region": machine.region,
        "state": machine.state,
        "instance_id": machine.instance_id,
        "host_status": machine.host_status,
        "cordoned": machine.cordoned,
        "metadata": machine.config.get("metadata"),
        "services": bool(machine.config.get("services")),
        "healthy": healthy(world, machine),
        "leased_by": lease.owner if (lease := leases.standing(world, machine)) else None,
        "secrets_version_at_boot": booted.version if booted else None,
        "digests_at_boot": booted.digests if booted else {},
    }


def _token_state(token: Token) -> Json:
    return {
        "id": token.id,
        "name": token.name,
        "app": token.app.name if token.app else None,
        "profile": token.profile,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "revoked": token.revoked_at is not None,
    }


def _peer_states(org: Organization) -> list[Json]:
    return [
        {
            "organization": org.slug,
            "name": peer.name,
            "region": peer.region,
            "public_key": peer.public_key,
            "address": peer.address,
        }
        for peer in org.peers.values()
    ]


def _log_view(entry: LogEntry) -> Json:
    return {**asdict(entry), "at": entry.at.isoformat(), "graphql": list(entry.graphql)}


def _assign(record: object, given: Json) -> Json:
    """Set the fields of a dataclass by name and return it whole."""
    known = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    for name, value in given.items():
        if name not in known:
            raise ApiError(400, f"unknown name; one of {', '.join(sorted(known))}")
        expected = type(known[name])
        fits = isinstance(value, int | float) if expected is float else type(value) is expected
        if not fits:
            raise ApiError(400, f"{name} must be {expected.__name__}")
        setattr(record, name, value)
        known[name] = value
    return known
