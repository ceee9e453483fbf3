"""The simulated organisation of a plan: apps, machines, what stands there from before."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.simulator import app_secrets, ids, machines, seed, tokens
from rotator.simulator.model import REGIONS, App, Json, Machine, Organization, Peer, Token
from rotator.simulator.world import World
from tests.simulation.plan import AppPlan, CredentialPlan, GroupPlan, Plan

AGE = timedelta(days=40)
LIFETIME = timedelta(days=365)


def build(
    plan: Plan, now: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
) -> tuple[World, Token]:
    """The world, and the token of whoever runs rotator."""
    world = World(plan.seed, now, sleep)
    world.switches = replace(plan.switches)
    org = seed.add_organization(world, "acme", "Acme")
    other = seed.add_organization(world, "elsewhere", "Not ours")
    for region in REGIONS:
        if region.gateway:
            world.gateways[region.code] = ids.public_key(world.rng)
    born = now() - AGE
    for each in plan.apps:
        _app(world, org, each, born)
    _app(world, other, AppPlan("not-ours", (GroupPlan("app", ("fra", "fra")),)), born)
    for credential in plan.credentials:
        if credential.adopted:
            _stands_already(world, org, credential, born)
    for app in world.apps.values():
        for machine in app.machines.values():
            machine.pinned = app.snapshot()
            if machine.booted is not None:
                machine.booted = machine.pinned
    _slow_boots(world, plan)
    return world, operator_token(world)


def operator_token(world: World) -> Token:
    """A fresh token of the organisation for rotator."""
    return tokens.create(
        world,
        world.organizations["acme"],
        name="operator",
        profile="deploy_organization",
        app=None,
        lifetime=LIFETIME,
    )


def _app(world: World, org: Organization, plan: AppPlan, born: datetime) -> None:
    app = seed.add_app(world, org, plan.name, born)
    app_secrets.write(world, app, {"DATABASE_URL": world.rng.randbytes(12).hex()})
    for group in plan.groups:
        for place, region in enumerate(group.regions):
            _machine(world, app, group, place, region, born)


def _machine(
    world: World, app: App, group: GroupPlan, place: int, region: str, born: datetime
) -> Machine:
    state = "stopped" if place in group.down else "started"
    if place in group.suspended:
        state = "suspended"
    if group.kind in ("scheduled", "standby"):
        state = "stopped"
    machine = seed.add_machine(
        world,
        app,
        group.name,
        region,
        at=born,
        state=state,
        checked=group.checked,
        auto_destroy=group.kind == "job",
    )
    _specials(machine, group)
    return machine


def _specials(machine: Machine, group: GroupPlan) -> None:
    config = machine.config
    metadata = config["metadata"]
    assert isinstance(metadata, dict)
    services = config.get("services")
    if isinstance(services, list):
        services[0]["autostart"] = services[0]["autostop"] = group.kind == "autostop"
    match group.kind:
        case "volume":
            config["mounts"] = [{"volume": f"vol_{machine.id}", "path": "/data"}]
        case "scheduled":
            config["schedule"] = "daily"
        case "standby":
            first = next(iter(machine.app.machines))
            config["standbys"] = [first]
        case "foreign":
            metadata["fly_platform_version"] = "sprites"
        case "console":
            metadata["fly_process_group"] = "fly_app_console"
        case "picky":
            process: Json = {"ignore_app_secrets": True, "secrets": [{"env_var": "DATABASE_URL"}]}
            config["processes"] = [process]


def _stands_already(world: World, org: Organization, plan: CredentialPlan, born: datetime) -> None:
    """A value that somebody made by hand, and that its consumers use."""
    value = world.rng.randbytes(16).hex()
    match plan.kind:
        case "deploy-token":
            token = tokens.create(
                world,
                org,
                name=plan.name,
                profile="deploy",
                app=world.apps[plan.app],
                lifetime=LIFETIME,
                profile_params={"app_id": plan.app},
                created_at=born,
            )
            value = tokens.header(token)
        case "wireguard-peer":
            org.next_host += 1
            address = f"fdaa:0:{org.network:x}:a7b:9330:0:a:{org.next_host:x}"
            org.peers[plan.name] = Peer(
                id=ids.node_id(world.rng),
                name=plan.name,
                public_key=ids.public_key(world.rng),
                region="fra",
                address=address,
                network=None,
                created_at=born,
            )
            return
    for target in plan.targets:
        if target[0] == "fly-secret":
            app_secrets.write(world, world.apps[target[1]], {target[2]: value})


def _slow_boots(world: World, plan: Plan) -> None:
    """Some stretches of time take half a minute to minutes instead of seconds."""
    dice, usual = random.Random(f"boots {plan.seed}"), world.span

    def span(low: float, high: float) -> timedelta:
        slow = dice.random() < plan.slow_boots
        return usual(low, high) * (dice.uniform(10, 60) if slow else 1)

    world.span = span  # type: ignore[method-assign]


def scale_up(world: World, app: App, like: Machine) -> Machine:
    """One more machine of a group, as `fly scale count` makes it."""
    config: Json = {**like.config}
    standing = config.get("metadata")
    known = standing if isinstance(standing, dict) else {}
    config["metadata"] = {k: v for k, v in known.items() if not k.startswith("rotator_")}
    return machines.create(world, app, config, like.region)
