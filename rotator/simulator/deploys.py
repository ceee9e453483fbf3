"""A deploy by somebody else, as flyctl does it: lease everything, then update one by one."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Final

from rotator.simulator import ids, leases, machines
from rotator.simulator.model import GONE_STATES, RUNNING_STATES, App, Json, Machine, Release
from rotator.simulator.world import World

DEPLOYER: Final = "someone@example.com"
SECONDS_A_MACHINE: Final = 5.0
LEASE_SECONDS: Final = 13.0


def deploy(world: World, app: App, *, force: bool = False) -> Release | None:
    """Deploy a new image to every machine. None when a machine is leased, as flyctl gives up.

    With `force` the leased machines are left out instead.
    """
    wanted = [
        machine
        for _, machine in sorted(app.machines.items())
        if machine.state not in GONE_STATES and machine.host_status == "ok"
    ]
    free = [machine for machine in wanted if leases.standing(world, machine) is None]
    if not free or (len(free) < len(wanted) and not force):
        return None
    release = new_release(world, app, world.now(), "Deploy image")
    length = (SECONDS_A_MACHINE * len(free) + LEASE_SECONDS) / world.speed
    for place, machine in enumerate(free):
        lease = leases.acquire(
            world, machine, "", owner=DEPLOYER, ttl_seconds=max(1, int(length)), description=""
        )
        _plan_update(world, machine, release, lease.nonce, place)
    return release


def new_release(world: World, app: App, at: datetime, description: str) -> Release:
    """Add a release to an app."""
    number = len(app.releases) + 1
    image = f"registry.fly.io/{app.name}:deployment-{ids.ulid(world.rng, at)}"
    release = Release(ids.node_id(world.rng), number, at, image, DEPLOYER, description)
    app.releases.append(release)
    return release


def _plan_update(world: World, machine: Machine, release: Release, nonce: str, place: int) -> None:
    def apply(_: datetime) -> None:
        if machine.state in GONE_STATES:
            return
        running = machine.state in RUNNING_STATES
        machines.update(world, machine, _config(machine, release), skip_launch=not running)

    def let_go(_: datetime) -> None:
        if machine.lease is not None and machine.lease.nonce == nonce:
            machine.lease = None

    begin = world.now() + timedelta(seconds=SECONDS_A_MACHINE * place / world.speed)
    world.plan(begin, apply)
    world.plan(begin + timedelta(seconds=SECONDS_A_MACHINE / world.speed), let_go)


def _config(machine: Machine, release: Release) -> Json:
    config = copy.deepcopy(machine.config)
    standing = config.get("metadata")
    metadata: Json = dict(standing) if isinstance(standing, dict) else {}
    metadata["fly_release_id"] = release.id
    metadata["fly_release_version"] = str(release.version)
    config["metadata"] = metadata
    config["image"] = release.image_ref
    return config
