"""A simulated Fly in this process, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from rotator.simulator.app import build_world, create_app
from rotator.simulator.model import Json, Machine
from rotator.simulator.world import World

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

CREATE_TOKEN = """
mutation($input: CreateLimitedAccessTokenInput!) {
  createLimitedAccessToken(input: $input) {
    limitedAccessToken { id name expiresAt tokenHeader }
  }
}
"""
DELETE_TOKEN = """
mutation($input: DeleteLimitedAccessTokenInput!) {
  deleteLimitedAccessToken(input: $input) { token }
}
"""


class VirtualClock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.at = BEGIN

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class SimulatedFly:
    """The world, its clock, and a client that is its operator."""

    world: World
    clock: VirtualClock
    token: str
    client: httpx.AsyncClient

    def client_with(self, token: str) -> httpx.AsyncClient:
        return _client(self.world, token)

    def machine(self, app: str, *, state: str = "started", place: int = 0) -> Machine:
        machines = self.world.apps[app].machines.values()
        return [machine for machine in machines if machine.state == state][place]

    def pass_seconds(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.world.advance()

    async def graphql(
        self, query: str, variables: Json | None = None, *, client: httpx.AsyncClient | None = None
    ) -> Json:
        answer = await (client or self.client).post(
            "/graphql", json={"query": query, "variables": variables}
        )
        assert answer.status_code == 200
        body: Json = answer.json()
        return body

    async def create_token(self, name: str = "new", **details: object) -> Json:
        org = self.world.organizations["acme"]
        given = {"organizationId": org.id, "name": name, "profile": "deploy_organization"}
        body = await self.graphql(CREATE_TOKEN, {"input": {**given, **details}})
        assert "errors" not in body, body
        made: Json = body["data"]["createLimitedAccessToken"]["limitedAccessToken"]  # type: ignore[index]
        return made

    async def revoke(self, token_id: object) -> Json:
        return await self.graphql(DELETE_TOKEN, {"input": {"id": token_id}})

    async def update(
        self, machine: Machine, *, nonce: str = "", **details: object
    ) -> httpx.Response:
        return await self.client.post(
            path_of(machine),
            json={"config": machine.config, **details},
            headers={"fly-machine-lease-nonce": nonce} if nonce else {},
        )


def simulated_fly(seed: int = 1, speed: float = 1.0) -> SimulatedFly:
    clock = VirtualClock()
    world, token = build_world(seed, clock.now, clock.sleep, speed)
    return SimulatedFly(world, clock, token, _client(world, token))


def path_of(machine: Machine) -> str:
    return f"/v1/apps/{machine.app.name}/machines/{machine.id}"


def codes(body: Json) -> list[object]:
    errors = body.get("errors", [])
    assert isinstance(errors, list)
    return [error.get("extensions", {}).get("code") for error in errors]


def _client(world: World, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(world)),
        base_url="http://fly.invalid",
        headers={"Authorization": token} if token else {},
    )
