"""Machines and apps as the Machines API shows them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from rotator.simulator import leases
from rotator.simulator.ids import rfc3339
from rotator.simulator.images import image_ref
from rotator.simulator.model import GONE_STATES, App, Event, Json, Machine
from rotator.simulator.world import World

EVENTS_SHOWN: Final = 10
SILENT_SECONDS: Final = 0.2
"""How long after its start a machine has no check results at all."""


def app_view(app: App) -> Json:
    """An app."""
    living = [m for m in app.machines.values() if m.state not in GONE_STATES]
    return {
        "id": app.name,
        "name": app.name,
        "internal_numeric_id": app.number,
        "network": "default",
        "status": "deployed" if living else "pending",
        "machine_count": len(living),
        "volume_count": 0,
        "cname_target": f"{app.name}.fly.dev",
        "app_role": "",
        "organization": {
            "name": app.org.name,
            "slug": app.org.slug,
            "internal_numeric_id": app.org.number,
        },
    }


def machine_view(
    world: World, machine: Machine, *, include_lease: bool = False, summary: bool = False
) -> Json:
    """A machine, to be written out at once. Its config is absent while its host is out of reach."""
    view: Json = {
        "id": machine.id,
        "name": machine.name,
        "state": machine.state,
        "region": machine.region,
        "instance_id": machine.instance_id,
        "private_ip": machine.private_ip,
        "created_at": rfc3339(machine.created_at),
        "updated_at": rfc3339(machine.updated_at),
        "image_ref": image_ref(machine),
        "cordoned": machine.cordoned,
    }
    if not summary:
        reachable = machine.host_status == "ok"
        view["host_status"] = machine.host_status
        view["config" if reachable else "incomplete_config"] = machine.config
        view["events"] = [event_view(event) for event in machine.events[:EVENTS_SHOWN]]
        view["checks"] = checks(world, machine)
    lease = leases.standing(world, machine)
    if include_lease and lease is not None:
        view["lease"] = {
            "owner": lease.owner,
            "description": lease.description,
            "expires_at": int(lease.expires_at.timestamp()),
        }
    return view


def event_view(event: Event) -> Json:
    """A machine's event; its timestamp is in milliseconds."""
    view: Json = {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": int(event.at.timestamp() * 1000),
    }
    if event.request is not None:
        view["request"] = event.request
    return view


def checks(world: World, machine: Machine) -> list[Json]:
    """The results of the machine's checks at this moment; none right after a boot."""
    now = world.now()
    started_at = machine.started_at
    if machine.state == "started" and started_at is not None:
        silent_until = started_at + timedelta(seconds=SILENT_SECONDS / world.speed)
        if now < silent_until:
            return []
    status, output, since = _check_result(machine, now)
    return [
        {"name": name, "status": status, "output": output, "updated_at": rfc3339(since)}
        for name in check_names(machine)
    ]


def healthy(world: World, machine: Machine) -> bool:
    """Whether the machine is up and every check that it has passes."""
    if machine.state != "started" or machine.host_status != "ok":
        return False
    names = check_names(machine)
    results = checks(world, machine)
    return not names or (bool(results) and all(row["status"] == "passing" for row in results))


def check_names(machine: Machine) -> list[str]:
    """The checks that its config asks for, as Fly names them."""
    named = machine.config.get("checks")
    names = [str(name) for name in named] if isinstance(named, dict) else []
    services = machine.config.get("services")
    counter = 0
    for service in services if isinstance(services, list) else []:
        found = service.get("checks") if isinstance(service, dict) else None
        for check in found if isinstance(found, list) else []:
            kind = check.get("type", "tcp") if isinstance(check, dict) else "tcp"
            port = service.get("internal_port", 8080)
            names.append(f"servicecheck-{counter:02d}-{kind}-{port}")
            counter += 1
    return names


def _check_result(machine: Machine, now: datetime) -> tuple[str, str, datetime]:
    pass_at = machine.checks_pass_at
    if machine.state != "started" or pass_at is None:
        return "critical", "the machine isn't running", machine.updated_at
    if now < pass_at:
        return "warning", "the service hasn't answered yet", machine.started_at or now
    if machine.unhealthy:
        return "critical", "connection refused", pass_at
    return "passing", "200 OK", pass_at
