"""A small company's Fly, the same for the same seed: what tests and demonstrations start from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.simulator import (
    addresses,
    app_secrets,
    deploys,
    gql_people,
    ids,
    machines,
    tokens,
)
from rotator.simulator.model import (
    REGIONS,
    App,
    Certificate,
    Json,
    Machine,
    Organization,
    Peer,
)
from rotator.simulator.world import World

AGE: Final = timedelta(days=40)
LIFETIME: Final = timedelta(days=365)


@dataclass(frozen=True)
class _Row:
    group: str
    region: str
    state: str = "started"
    checked: bool = False
    auto_destroy: bool = False


_WEB = (
    _Row("app", "fra", checked=True),
    _Row("app", "fra", checked=True),
    _Row("app", "iad", checked=True),
    _Row("app", "sin", state="stopped", checked=True),
    _Row("worker", "fra"),
    _Row("worker", "iad"),
)
_API = tuple(_Row("app", region, checked=True) for region in ("fra", "fra", "iad", "sin"))
_JOBS = (
    _Row("worker", "fra"),
    _Row("worker", "iad", state="suspended"),
    _Row("worker", "fra", auto_destroy=True),
)


def seed_world(world: World) -> str:
    """Fill an empty world; returns the operator's Authorization value."""
    org = add_organization(world, "acme", "Acme")
    for region in REGIONS:
        if region.gateway:
            world.gateways[region.code] = ids.public_key(world.rng)
    born = world.now() - AGE
    web = add_app(world, org, "web", born)
    api = add_app(world, org, "api", born)
    jobs = add_app(world, org, "jobs", born)
    for app, names in (
        (web, ("SESSION_KEY", "DATABASE_URL")),
        (api, ("DATABASE_URL", "SIGNING_KEY")),
        (jobs, ("QUEUE_PASSWORD",)),
    ):
        app_secrets.write(world, app, {name: world.rng.randbytes(24).hex() for name in names})
        for secret in app.secrets.values():
            secret.created_at = secret.updated_at = born
    for app, rows in ((web, _WEB), (api, _API), (jobs, _JOBS)):
        for row in rows:
            add_machine(
                world,
                app,
                row.group,
                row.region,
                at=born,
                state=row.state,
                checked=row.checked,
                auto_destroy=row.auto_destroy,
            )
    _add_certificate(world, web)
    _add_peer(world, org, born)
    tokens.create(
        world,
        org,
        name="ci-web",
        profile="deploy",
        app=web,
        lifetime=LIFETIME,
        profile_params={"app_id": web.name},
        created_at=born,
    )
    operator = tokens.create(
        world,
        org,
        name="operator",
        profile="deploy_organization",
        app=None,
        lifetime=LIFETIME,
        created_at=born,
    )
    return tokens.header(operator)


def add_organization(world: World, slug: str, name: str) -> Organization:
    """Add an organization."""
    number = 4721 + len(world.organizations)
    org = Organization(ids.node_id(world.rng), number, slug, name, network=0x18 + number)
    world.organizations[slug] = org
    gql_people.join(world, org, tokens.OPERATOR, admin=True)
    return org


def add_app(world: World, org: Organization, name: str, at: datetime) -> App:
    """Add an app with one release."""
    app = App(name, 555_000 + len(world.apps), org, at)
    world.apps[name] = app
    for kind in ("v6", "shared_v4"):
        addresses.assign(app, kind, at)
    deploys.new_release(world, app, at, "Initial release")
    return app


def add_machine(
    world: World,
    app: App,
    group: str,
    region: str,
    *,
    at: datetime,
    state: str = "started",
    checked: bool = True,
    auto_destroy: bool = False,
) -> Machine:
    """Add a machine that has been in its state since `at`."""
    machine_id = ids.machine_id(world.rng)
    instance_id = world.ulid(at)
    config = _config(app, group, checked=checked, auto_destroy=auto_destroy)
    place = len(app.machines) + 2
    machine = Machine(
        id=machine_id,
        name=f"{app.name}-{group}-{len(app.machines) + 1}",
        app=app,
        region=region,
        instance_id=instance_id,
        config=config,
        created_at=at,
        updated_at=at,
        private_ip=machines.address(app, place),
        versions=[(instance_id, config)],
    )
    app.machines[machine_id] = machine
    machines.settle(world, machine, state, at)
    return machine


def _config(app: App, group: str, *, checked: bool, auto_destroy: bool) -> Json:
    release = app.releases[-1]
    config: Json = {
        "image": release.image_ref,
        "env": {"PRIMARY_REGION": "fra"},
        "init": {},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "restart": {"policy": "on-failure", "max_retries": 10},
        "metadata": {
            "fly_platform_version": "v2",
            "fly_process_group": group,
            "fly_release_id": release.id,
            "fly_release_version": str(release.version),
        },
    }
    if checked:
        config["services"] = [_service()]
    if auto_destroy:
        config["auto_destroy"] = True
    return config


def _service() -> Json:
    return {
        "protocol": "tcp",
        "internal_port": 8080,
        "autostop": False,
        "autostart": True,
        "ports": [{"port": 443, "handlers": ["http", "tls"]}],
        "checks": [{"type": "http", "path": "/healthz", "interval": "10s", "timeout": "2s"}],
    }


def _add_certificate(world: World, app: App) -> None:
    name = f"{app.name}.example.com"
    begins_at = world.now() - timedelta(days=30)
    app.certificates[name] = Certificate(name, begins_at, begins_at + timedelta(days=90))


def _add_peer(world: World, org: Organization, at: datetime) -> None:
    address = f"fdaa:0:{org.network:x}:a7b:9330:0:a:{org.next_host:x}"
    org.peers["office-gateway"] = Peer(
        id=ids.node_id(world.rng),
        name="office-gateway",
        public_key=ids.public_key(world.rng),
        region="fra",
        address=address,
        network=None,
        created_at=at,
    )
