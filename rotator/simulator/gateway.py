"""The front door: request ids, the log, and the faults that happen around a request."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cached_property
from typing import Final

import httpx
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rotator.simulator import deploys, machines
from rotator.simulator.faults import Fault
from rotator.simulator.gql import changes, root_fields
from rotator.simulator.gql_views import UNAUTHENTICATED
from rotator.simulator.model import Machine
from rotator.simulator.world import World

MAX_BODY_BYTES: Final = 1024 * 1024
CONTROL_PREFIX: Final = "/_simulator/"
_MACHINE_PATH = re.compile(r"/v1/apps/([^/]+)/machines/([^/]+)")
_APP_PATH = re.compile(r"/v1/apps/([^/]+)")
_ERROR_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>fly</body></html>"


class ConnectionLost(httpx.ReadError):
    """What a client inside this process sees when the connection breaks."""


class NeverConnected(httpx.ConnectError):
    """What a client inside this process sees when nobody takes the connection."""


BREAKS_BEFORE: Final = frozenset({"dropped", "stuck", "unconnected"})
"""Faults that break the connection before any effect."""


class Gateway:
    """ASGI middleware around everything but the simulator's own control paths."""

    def __init__(self, app: ASGIApp, world: World, *, served: bool = False) -> None:
        self._app = app
        self._world = world
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._world.advance()
        if scope["path"].startswith(CONTROL_PREFIX):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            await Response(status_code=413)(scope, receive, send)
            return
        await self._serve(scope, body, send)

    async def _serve(self, scope: Scope, body: bytes, send: Send) -> None:
        request = Asked(
            str(scope["method"]), str(scope["path"]), scope["query_string"].decode("latin-1"), body
        )
        try:
            response = await answered(
                self._world, request, lambda: _run(self._app, scope, request.body)
            )
        except httpx.TransportError:
            await self._break(send)
            return
        await response(scope, _replay(body), send)

    async def _break(self, send: Send) -> None:
        """Break the connection: for a real one, promise a body and close without it."""
        if not self._served:
            raise ConnectionLost("the connection was lost")
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


@dataclass(frozen=True)
class Asked:
    """One request as the front door sees it."""

    method: str
    path: str
    query: str
    body: bytes

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """What it asks GraphQL for."""
        return root_fields(self.body) if self.path == "/graphql" else ()

    @property
    def question(self) -> str | None:
        """What it lists, or None where it is no list."""
        if self.method == "GET" and self.path.endswith(("/machines", "/secrets")):
            return f"{self.path}?{self.query}"
        if self.fields and not changes(self.fields):
            return self.body.decode("utf-8", "replace")
        return None


async def answered(world: World, asked: Asked, run: Callable[[], Awaitable[Response]]) -> Response:
    """The answer to a request, with the faults that it meets, and its entry in the log.

    Raises:
        ConnectionLost, NeverConnected: what a client sees instead of an answer.
    """
    fields = asked.fields
    fault = world.faults.pick(asked.method, asked.path, fields)
    response = await _before(world, fault, asked) if fault else None
    broken = fault is not None and fault.kind in BREAKS_BEFORE
    if response is None and not broken:
        response = _noted(world, asked, await run())
        response = await _after(world, fault, asked, response)
        broken = fault is not None and fault.kind == "lost"
    status = 0 if broken or response is None else response.status_code
    request_id = f"{world.ulid(world.now())}-fra"
    world.record(
        method=asked.method,
        path=asked.path,
        fields=fields,
        status=status,
        request_id=request_id,
        fault=fault.kind if fault else None,
    )
    if fault is not None and fault.kind == "unconnected":
        raise NeverConnected("the connection was refused")
    if broken or response is None:
        raise ConnectionLost("the connection was lost")
    response.headers["fly-request-id"] = request_id
    shown = world.now() + timedelta(seconds=world.switches.clock_ahead_seconds)
    response.headers["date"] = format_datetime(shown, usegmt=True)
    return response


def _noted(world: World, asked: Asked, response: Response) -> Response:
    question = asked.question
    if question is not None and response.status_code == 200:
        world.faults.earlier.remember(question, world.now(), bytes(response.body))
    return response


async def _before(world: World, fault: Fault, asked: Asked) -> Response | None:
    """The answer that a fault gives instead of the effect, if it does."""
    match fault.kind:
        case "latency":
            await world.sleep(fault.seconds)
            world.advance()
        case "stuck":
            await world.sleep(fault.seconds)
        case "refused":
            return JSONResponse({"error": "unknown: try again"}, fault.status)
        case "too_many":
            named = world.switches.retry_after_on_429
            headers = {"Retry-After": str(math.ceil(fault.seconds))} if named else {}
            return JSONResponse({"error": "rate limit exceeded"}, 429, headers)
        case "expired":
            return _unauthorized(asked)
        case "html":
            return HTMLResponse(_ERROR_PAGE, 502)
        case "stale" | "empty":
            return _outdated(world, fault, asked)
        case "unreachable" | "lease_lost" | "deploy":
            _meanwhile(world, fault, asked.path)
    return None


def _unauthorized(asked: Asked) -> Response:
    if asked.path == "/graphql":
        refusal = {"message": UNAUTHENTICATED, "extensions": {"code": "UNAUTHORIZED"}}
        return JSONResponse({"data": None, "errors": [refusal]})
    return JSONResponse({"error": "token validation error"}, 401)


def _outdated(world: World, fault: Fault, asked: Asked) -> Response | None:
    """An earlier answer, or an empty list of machines; None where the request is for no list."""
    if fault.kind == "empty":
        listing = asked.method == "GET" and asked.path.endswith("/machines")
        return JSONResponse([]) if listing and _APP_PATH.match(asked.path) else None
    question = asked.question
    body = world.faults.earlier.answer(question, world.now()) if question else None
    return Response(body, media_type="application/json") if body is not None else None


def _meanwhile(world: World, fault: Fault, path: str) -> None:
    """What somebody else, or bad luck, does just before the request."""
    machine, app = _machine(world, path), _APP_PATH.match(path)
    if fault.kind == "deploy" and app is not None and app[1] in world.apps:
        deploys.deploy(world, world.apps[app[1]], force=True)
        world.advance()
    elif fault.kind == "lease_lost" and machine is not None:
        machine.lease = None
    elif fault.kind == "unreachable" and machine is not None:
        machines.hold_unreachable(world, machine, fault.seconds)


async def _after(world: World, fault: Fault | None, asked: Asked, response: Response) -> Response:
    """The answer as a fault changes it after the effect."""
    if fault is None:
        return response
    match fault.kind:
        case "late":
            await world.sleep(fault.seconds)
            world.advance()
        case "error_after":
            return JSONResponse({"error": "unknown: upstream did not answer"}, fault.status)
        case "truncated":
            body = bytes(response.body)
            half = body[: len(body) // 2]
            return Response(half, response.status_code, media_type="application/json")
        case "never_healthy" | "crash_loop" | "flap":
            machine = _machine(world, asked.path)
            if machine is not None:
                _sicken(world, machine, fault)
    return response


def _sicken(world: World, machine: Machine, fault: Fault) -> None:
    instance = machine.instance_id
    span = timedelta(seconds=fault.seconds)

    def sick(_: datetime) -> None:
        machine.unhealthy_instance = instance

    def well(_: datetime) -> None:
        machine.crash_loop = False
        if machine.unhealthy_instance == instance:
            machine.unhealthy_instance = ""

    match fault.kind:
        case "never_healthy":
            machine.unhealthy_instance = instance
        case "crash_loop":
            machine.crash_loop = True
            world.plan(world.now() + span, well)
        case "flap":
            world.plan(world.now() + span, sick)
            world.plan(world.now() + 2 * span, well)


def _machine(world: World, path: str) -> Machine | None:
    found = _MACHINE_PATH.match(path)
    if found is None or found[1] not in world.apps:
        return None
    return world.apps[found[1]].machines.get(found[2])


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when it is too long."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if length > MAX_BODY_BYTES:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _run(app: ASGIApp, scope: Scope, body: bytes) -> Response:
    """The answer of the inner application, held back."""
    status = 500
    headers: list[tuple[bytes, bytes]] = []
    parts: list[bytes] = []

    async def hold(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", []))
        else:
            parts.append(message.get("body", b""))

    await app(scope, _replay(body), hold)
    response = Response(b"".join(parts), status)
    response.raw_headers = headers
    return response


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
