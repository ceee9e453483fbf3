"""What the machines' programs would see: does the issuer accept the value they booted with?

This is the load against which "no gap" is measured: a value that a running machine holds
and the issuer refuses is a failed request of somebody's program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rotator.fly import macaroon
from rotator.fly.access import Source
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
            _accepted(world, machine, value),
        )
        for name, value in booted.values.items()
    ]


def _accepted(world: World, machine: Machine, value: str) -> bool | None:
    """Whether Fly would take the value from this machine; None for what is no token."""
    source = Source(machine.app.org.slug, machine.app.name, machine.id)
    try:
        if not _is_token(value):
            return None
        return bool(tokens.in_force(world, value, source))
    except macaroon.MacaroonError:
        return False


@lru_cache(maxsize=256)
def _is_token(value: str) -> bool:
    return bool(macaroon.permission_tokens(value))
