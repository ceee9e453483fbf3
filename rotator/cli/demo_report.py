"""What the simulator saw during a demonstration: its machines, tokens and peers, and its load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import BaseModel, ConfigDict

from rotator.cli.styles import styled

if TYPE_CHECKING:
    from rich.table import Table

LOAD_SECONDS: Final = 0.25
REQUESTS_PER_SECOND: Final = 50


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Machine(_Model):
    id: str
    group: str
    region: str
    state: str
    healthy: bool
    secrets_version_at_boot: int | None


class _App(_Model):
    name: str
    secrets_version: int
    machines: tuple[_Machine, ...]


class _Token(_Model):
    name: str
    app: str | None
    expires_at: str
    revoked: bool


class _Peer(_Model):
    name: str
    address: str


class _State(_Model):
    apps: tuple[_App, ...]
    tokens: tuple[_Token, ...]
    peers: tuple[_Peer, ...]


class Seen:
    """The simulator's own view of the world, as tables."""

    def __init__(self, state: object) -> None:
        self._state = _State.model_validate(state)

    def apps_table(self) -> Table:
        """The apps with their machines and regions."""
        table = _table("app", "machines", "running", "regions", "process groups")
        for app in self._state.apps:
            running = sum(machine.state == "started" for machine in app.machines)
            table.add_row(
                app.name,
                str(len(app.machines)),
                str(running),
                ", ".join(sorted({machine.region for machine in app.machines})),
                ", ".join(sorted({machine.group for machine in app.machines})),
            )
        return table

    def machines_table(self) -> Table:
        """With which secrets version each machine booted, which Fly itself does not tell."""
        table = _table("app", "machine", "region", "state", "healthy", "booted with", "app is at")
        for app in self._state.apps:
            for machine in app.machines:
                booted = machine.secrets_version_at_boot
                table.add_row(
                    app.name,
                    machine.id,
                    machine.region,
                    machine.state,
                    "yes" if machine.healthy else "-",
                    "-" if booted is None else f"secrets version {booted}",
                    str(app.secrets_version),
                )
        return table

    def credentials_table(self) -> Table:
        """Tokens and peers as the issuer holds them."""
        table = _table("at the issuer", "name", "for", "state")
        for token in self._state.tokens:
            state = "[dim]revoked[/dim]" if token.revoked else styled("healthy")
            table.add_row("token", token.name, token.app or "the organisation", state)
        for peer in self._state.peers:
            table.add_row("peer", peer.name, peer.address, styled("healthy"))
        return table

    @staticmethod
    def refused(requests: Sequence[Mapping[str, object]]) -> int:
        """How many requests met a rate limit."""
        return sum(request.get("status") == 429 for request in requests)


class Tally(_Model):
    """What became of one app's requests through the proxy."""

    requests: int
    failed: int
    unrouted: int
    refused: int


class _Tallies(_Model):
    apps: Mapping[str, Tally]


class Load:
    """Users of the apps, and the machines' programs: each uses the value that it booted with."""

    def __init__(self, simulator: httpx.AsyncClient) -> None:
        self._simulator = simulator
        self.uses = 0
        self.refusals = 0
        self.tallies: Mapping[str, Tally] = {}

    async def state(self) -> object:
        """The simulator's world."""
        return (await self._simulator.get("/_simulator/state")).json()

    async def log(self) -> Sequence[Mapping[str, object]]:
        """Every request that the simulator got."""
        found = (await self._simulator.get("/_simulator/log")).json()["requests"]
        return found if isinstance(found, list) else []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Requests to every app during the block, and a count of uses and refusals (P1)."""
        rate = {"per_second": REQUESTS_PER_SECOND}
        (await self._simulator.post("/_simulator/load", json=rate)).raise_for_status()
        async with asyncio.TaskGroup() as group:
            counting = group.create_task(self._count())
            try:
                yield
            finally:
                counting.cancel()
        answer = await self._simulator.get("/_simulator/load")
        self.tallies = _Tallies.model_validate(answer.json()).apps

    async def _count(self) -> None:
        while True:
            answer = await self._simulator.get("/_simulator/consumers")
            for consumer in answer.json()["consumers"]:
                self.uses += 1
                self.refusals += consumer["accepted"] is False
            await asyncio.sleep(LOAD_SECONDS)

    @property
    def unharmed(self) -> bool:
        """Whether there was load, and nobody saw anything fail."""
        served = bool(self.tallies) and all(t.requests for t in self.tallies.values())
        failed = sum(tally.failed for tally in self.tallies.values())
        return served and self.uses > 0 and not failed and not self.refusals

    def requests_table(self) -> Table:
        """What became of the requests, app by app."""
        table = _table("app", "requests", "failed", "no machine took it", "value refused")
        for app, tally in sorted(self.tallies.items()):
            table.add_row(
                app,
                str(tally.requests),
                f"[bold red]{tally.failed}[/bold red]" if tally.failed else "0",
                str(tally.unrouted),
                str(tally.refused),
            )
        return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table
