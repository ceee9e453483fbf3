"""What the machines' programs would see: does the issuer accept the value they booted with?

This is the load against which "no gap" is measured: a value that a running machine holds
and the issuer refuses is a failed request of somebody's program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rotator.fly import macaroon
from rotator.simulator import tokens
from rotator.simulator.model import Machine
from rotator.simulator.world import World


@dataclass(frozen=True)
class Consumer:
    """One secret in one running machine. `accepted` is None for a value that is not a token."""

    app: str
    machine: str
    secret: str
    digest: str
    secrets_version: int
    accepted: bool | None


def consumers(world: World) -> list[Consumer]:
    """Every secret of every machine that runs."""
    return [
        consumer
        for app in world.apps.values()
        for machine in app.machines.values()
        if machine.state == "started"
        for consumer in machine_consumers(world, machine)
    ]


def machine_consumers(world: World, machine: Machine) -> list[Consumer]:
    """Every secret that one machine booted with."""
    booted = machine.booted
    if booted is None or machine.skip_secrets:
        return []
    return [
        Consumer(
            machine.app.name,
            machine.id,
            name,
            booted.digests[name],
            booted.version,
            _accepted(world, value),
        )
        for name, value in booted.values.items()
    ]


@lru_cache(maxsize=256)
def _decoded(value: str) -> tuple[macaroon.Macaroon, ...]:
    return tuple(macaroon.permission_tokens(value))


def _accepted(world: World, value: str) -> bool | None:
    try:
        found = _decoded(value)
    except macaroon.MacaroonError:
        return False
    if not found:
        return None
    return any(tokens.accepted(world, token) for token in found)
