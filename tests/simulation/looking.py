"""What tests look at beside a story: requests that change something, and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rotator.domain.events import Action, Event
from rotator.domain.ports import EventQuery
from rotator.simulator.world import LogEntry, World
from tests.simulation.story import Story

TOKEN: Final = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = { every = "30d", overlap = "1d" }
targets = [ { type = "file", path = "FOLDER/ci.token" } ]
"""
"""A token that no machine reads."""
HARMLESS: Final = frozenset(
    {"organization", "organizations", "app", "viewer", "nearestRegion", "validateWireGuardPeers"}
)
"""Fields of GraphQL that only read, whatever Fly calls them."""


def changes(world: World) -> Sequence[LogEntry]:
    """Requests that could change something at Fly."""
    return [
        entry
        for entry in world.log
        if not (set(entry.graphql) <= HARMLESS if entry.graphql else entry.method == "GET")
    ]


async def told(s: Story, action: Action, credential: str | None = None) -> list[Event]:
    """Events of this action, oldest first."""
    query = EventQuery(action=action.value, credential=credential, limit=500)
    async with s.parts.store.view() as unit:
        return [logged.event for logged in reversed(await unit.events(query))]
