"""The front door: request ids, the log, and the faults that happen around a request."""

from __future__ import annotations

import re
from typing import Final

import httpx
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rotator.simulator import deploys, machines
from rotator.simulator.faults import Fault
from rotator.simulator.gql import root_fields
from rotator.simulator.model import Machine
from rotator.simulator.world import World

MAX_BODY_BYTES: Final = 1024 * 1024
CONTROL_PREFIX: Final = "/_simulator/"
_MACHINE_PATH = re.compile(r"/v1/apps/([^/]+)/machines/([^/]+)")
_APP_PATH = re.compile(r"/v1/apps/([^/]+)")
_ERROR_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>fly</body></html>"


class ConnectionLost(httpx.ReadError):
    """What a client inside this process sees when the connection breaks."""


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
        world, path = self._world, str(scope["path"])
        fields = root_fields(body) if path == "/graphql" else ()
        fault = world.faults.pick(str(scope["method"]), path, fields)
        response = await _before(world, fault, path) if fault else None
        broken = fault is not None and fault.kind == "dropped"
        if response is None and not broken:
            response = await _run(self._app, scope, body)
            response = _after(world, fault, path, response)
            broken = fault is not None and fault.kind == "lost"
        status = 0 if broken or response is None else response.status_code
        request_id = f"{world.ulid(world.now())}-fra"
        world.record(
            method=str(scope["method"]),
            path=path,
            fields=fields,
            status=status,
            request_id=request_id,
            fault=fault.kind if fault else None,
        )
        if broken or response is None:
            await self._break(send)
            return
        response.headers["fly-request-id"] = request_id
        await response(scope, _replay(body), send)

    async def _break(self, send: Send) -> None:
        """Break the connection: for a real one, promise a body and close without it."""
        if not self._served:
            raise ConnectionLost("the connection was lost")
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _before(world: World, fault: Fault, path: str) -> Response | None:
    """The answer that a fault gives instead of the effect, if it does."""
    match fault.kind:
        case "latency":
            await world.sleep(fault.seconds)
            world.advance()
        case "refused":
            return JSONResponse({"error": "unknown: try again"}, fault.status)
        case "too_many":
            return JSONResponse({"error": "rate limit exceeded"}, 429)
        case "html":
            return HTMLResponse(_ERROR_PAGE, 502)
        case "unreachable":
            machine = _machine(world, path)
            if machine is not None:
                machines.hold_unreachable(world, machine, fault.seconds)
        case "deploy":
            app = _APP_PATH.match(path)
            if app is not None and app[1] in world.apps:
                deploys.deploy(world, world.apps[app[1]], force=True)
                world.advance()
    return None


def _after(world: World, fault: Fault | None, path: str, response: Response) -> Response:
    """The answer as a fault changes it after the effect."""
    if fault is None:
        return response
    if fault.kind == "error_after":
        return JSONResponse({"error": "unknown: upstream did not answer"}, fault.status)
    if fault.kind == "truncated":
        body = bytes(response.body)
        return Response(body[: len(body) // 2], response.status_code, media_type="application/json")
    if fault.kind == "never_healthy":
        machine = _machine(world, path)
        if machine is not None:
            machine.unhealthy_instance = machine.instance_id
    return response


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
