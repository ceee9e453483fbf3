"""rotator's transport to the simulator's handlers inside one process, without HTTP in between.

What rotator's own transport does (limits, bounds, repeats, errors) stays as it is; only httpx's
client and Starlette's routing are left out, which would take most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import graphql as graphql_core
import httpx
from graphql import GraphQLSchema, execute, parse, validate
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rotator.fly.client import FlyClient
from rotator.simulator import gql, rest
from rotator.simulator.gateway import Asked, answered
from rotator.simulator.views import healthy
from rotator.simulator.world import World

Around = Callable[[], Callable[[Response], None]]
Segments = tuple[str, ...]


class Network:
    """Carries requests to the handlers of one simulated Fly."""

    def __init__(self, fly: World) -> None:
        self._fly = fly
        self._routes: dict[tuple[str, int], list[tuple[Segments, Any]]] = {}
        for route in rest.routes(fly):
            self._add(route)

    def _add(self, route: Route) -> None:
        segments = tuple(route.path.strip("/").split("/"))
        for method in route.methods or ():
            found = self._routes.setdefault((method, len(segments)), [])
            found.append((segments, route.endpoint))

    async def carry(self, asked: Asked, headers: Mapping[str, str], around: Around) -> Response:
        """The answer to one request. `around` is asked right before the effect, and what it gives
        is told of the effect, also where the answer is lost.

        Raises:
            httpx.TransportError: a fault broke the connection.
        """
        self._fly.advance()

        async def run() -> Response:
            served = around()
            response = await self._handled(asked, headers)
            served(response)
            return response

        return await answered(self._fly, asked, run)

    async def _handled(self, asked: Asked, headers: Mapping[str, str]) -> Response:
        if asked.path == "/graphql":
            return await gql.serve(self._fly, _request(asked, headers, {}))
        segments = tuple(asked.path.strip("/").split("/"))
        for pattern, endpoint in self._routes.get((asked.method, len(segments)), ()):
            values = _matched(pattern, segments)
            if values is not None:
                response = await endpoint(_request(asked, headers, values))
                assert isinstance(response, Response)
                return response
        return JSONResponse({"error": "not found"}, 404)


def _matched(pattern: Segments, segments: Segments) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for wanted, given in zip(pattern, segments, strict=True):
        if wanted[0] == "{":
            values[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return values


def _request(asked: Asked, headers: Mapping[str, str], values: dict[str, str]) -> Request:
    scope = {
        "type": "http",
        "method": asked.method,
        "path": asked.path,
        "query_string": asked.query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "path_params": values,
    }
    request = Request(scope)
    request._body = asked.body
    return request


class Wire:
    """Stands in for httpx's client in rotator's transport. `send` is one process's network."""

    def __init__(self, send: Callable[[Asked, Mapping[str, str]], Any]) -> None:
        self._send = send

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None,
        content: bytes | None,
        headers: Mapping[str, str],
        timeout: object,
    ) -> httpx.Response:
        """Send a request and give its answer."""
        query = urlencode(params) if params else ""
        asked = Asked(method, unquote(urlsplit(path).path), query, content or b"")
        response: Response = await self._send(asked, headers)
        return httpx.Response(
            response.status_code, headers=response.raw_headers, content=bytes(response.body)
        )

    async def aclose(self) -> None:
        """Nothing to close."""


class Probes(httpx.AsyncBaseTransport):
    """The private network as a probe sees it: a machine that is healthy answers."""

    def __init__(self, fly: World) -> None:
        self._fly = fly

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """200, or no connection."""
        address = request.url.host.strip("[]")
        for app in self._fly.apps.values():
            for machine in app.machines.values():
                if machine.private_ip == address and healthy(self._fly, machine):
                    return httpx.Response(200)
        raise httpx.ConnectError("nobody answers")


def rewire(client: FlyClient, send: Callable[[Asked, Mapping[str, str]], Any]) -> None:
    """Let a client's transports send over `send`."""
    for transport in client._transports:
        transport._client = Wire(send)  # type: ignore[assignment]


@lru_cache(maxsize=256)
def _checked(source: str) -> Any:
    """A document, parsed and held against the schema: rotator's are always the same few."""
    document = parse(source)
    errors = validate(gql.schema(), document)
    return document, errors


async def quick_graphql(schema: GraphQLSchema, source: str, **given: Any) -> Any:
    """What graphql-core's `graphql` does, but each document is checked once."""
    try:
        document, errors = _checked(source)
    except graphql_core.GraphQLError as error:
        return graphql_core.ExecutionResult(data=None, errors=[error])
    if errors:
        return graphql_core.ExecutionResult(data=None, errors=errors)
    result = execute(schema, document, **given)
    if hasattr(result, "__await__"):
        return await result
    return result
