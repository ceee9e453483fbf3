"""The Machines API: machines and what they are told to do."""

from __future__ import annotations

from starlette.responses import Response

from rotator.fly.macaroon import CONTROL, WRITE
from rotator.simulator import leases, machines
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.model import GONE_STATES, App, Json, Machine
from rotator.simulator.views import event_view, machine_view


async def list_machines(call: Call) -> Response:
    """GET machines: all of an app, filtered; no paging."""
    app = call.app()
    states = {state for state in call.query("state").split(",") if state}
    wanted = [
        machine_view(
            call.world,
            machine,
            include_lease=call.flag("include_leases"),
            summary=call.flag("summary"),
        )
        for machine in app.machines.values()
        if (call.flag("include_deleted") or machine.state not in GONE_STATES)
        and (not states or machine.state in states)
        and call.query("region", machine.region) == machine.region
        and _has_metadata(call, machine)
    ]
    return ok(wanted)


async def get_machine(call: Call) -> Response:
    """GET one machine."""
    machine = call.machine()
    return ok(machine_view(call.world, machine, include_lease=call.flag("include_leases")))


async def update_machine(call: Call) -> Response:
    """POST a machine: its whole new config, under the lease and the version it was read at."""
    machine = call.machine(WRITE)
    _reachable(machine)
    leases.guard(call.world, machine, call.nonce)
    config = call.body.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("image"), str):
        raise ApiError(400, "invalid_argument: config with an image is required")
    _expect_version(call, machine)
    _expect_secrets_version(call, machine.app)
    if machine.state in GONE_STATES:
        raise ApiError(412, "failed_precondition: machine is destroyed")
    machines.update(
        call.world,
        machine,
        config,
        skip_launch=call.body.get("skip_launch") is True,
        skip_secrets=call.body.get("skip_secrets") is True,
    )
    view = machine_view(call.world, machine)
    if "lease_ttl" in call.body:
        ttl = whole_number(call.body["lease_ttl"], "lease_ttl")
        owner = call.principal.email
        lease = leases.acquire(
            call.world, machine, call.nonce, owner=owner, ttl_seconds=ttl, description=""
        )
        view["nonce"] = lease.nonce
    return ok(view)


async def create_machine(call: Call) -> Response:
    """POST a new machine; `skip_service_registration` keeps it out of the proxy."""
    app = call.app(WRITE)
    config = call.body.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("image"), str):
        raise ApiError(400, "invalid_argument: config with an image is required")
    _expect_secrets_version(call, app)
    region = call.body.get("region")
    first = next((m.region for m in app.machines.values()), "fra")
    machine = machines.create(
        call.world,
        app,
        config,
        region if isinstance(region, str) and region else first,
        name=str(call.body.get("name") or ""),
        launch=call.body.get("skip_launch") is not True,
    )
    machine.cordoned = call.body.get("skip_service_registration") is True
    machine.skip_secrets = call.body.get("skip_secrets") is True
    return ok(machine_view(call.world, machine))


async def exec_machine(call: Call) -> Response:
    """POST exec: run a command in a machine that is up."""
    command = _command(call)
    machine = call.machine(CONTROL, command=tuple(command))
    _reachable(machine)
    if machine.state != "started":
        raise ApiError(412, "failed_precondition: machine not running")
    code = 1 if machine.unhealthy or command[0] == "false" else 0
    return ok({"exit_code": code, "exit_signal": 0, "stdout": "", "stderr": ""})


async def delete_machine(call: Call) -> Response:
    """DELETE a machine."""
    machine = _guarded(call, CONTROL)
    if machine.state == "started" and not (call.flag("force") or call.flag("kill")):
        raise ApiError(412, "failed_precondition: unable to destroy a started machine")
    machines.destroy(call.world, machine)
    return ok({"ok": True})


async def start_machine(call: Call) -> Response:
    """POST start."""
    machine = _guarded(call, CONTROL)
    before = machines.start(call.world, machine)
    return ok({"previous_state": before, "migrated": False, "new_host": ""})


async def stop_machine(call: Call) -> Response:
    """POST stop; returns before the machine has stopped."""
    machines.stop(call.world, _guarded(call, CONTROL))
    return ok({"ok": True})


async def restart_machine(call: Call) -> Response:
    """POST restart; returns before the machine is down."""
    machines.restart(call.world, _guarded(call, CONTROL))
    return ok({"ok": True})


async def suspend_machine(call: Call) -> Response:
    """POST suspend."""
    machines.suspend(call.world, _guarded(call, CONTROL))
    return ok({"ok": True})


async def cordon_machine(call: Call) -> Response:
    """POST cordon."""
    _guarded(call, CONTROL).cordoned = True
    return ok({"ok": True})


async def uncordon_machine(call: Call) -> Response:
    """POST uncordon."""
    _guarded(call, CONTROL).cordoned = False
    return ok({"ok": True})


async def list_events(call: Call) -> Response:
    """GET events, newest first."""
    limit = min(whole_number(call.query("limit", "20"), "limit"), machines.EVENTS_KEPT)
    return ok([event_view(event) for event in call.machine().events[:limit]])


async def list_processes(call: Call) -> Response:
    """GET the processes in a machine that is up: its program, listening where its services say."""
    machine = call.machine()
    if machine.state != "started":
        raise ApiError(412, "failed_precondition: machine not running")
    services = machine.config.get("services")
    sockets = [
        {"proto": "tcp", "address": f"[::]:{each.get('internal_port', 8080)}"}
        for each in (services if isinstance(services, list) else [])
    ]
    program: Json = {"pid": 640, "stime": 0, "rtime": 0, "command": "/app", "directory": "/"}
    return ok([{**program, "cpu": 0, "rss": 0, "listen_sockets": sockets}])


async def list_versions(call: Call) -> Response:
    """GET versions, newest first."""
    versions = call.machine().versions
    return ok([{"version": version, "user_config": config} for version, config in versions])


async def get_metadata(call: Call) -> Response:
    """GET all metadata."""
    return ok(_metadata(call.machine()))


async def put_metadata(call: Call) -> Response:
    """PUT all metadata, or PATCH some; no boot and no new instance."""
    machine = call.machine(WRITE)
    given = call.body.get("metadata")
    if not isinstance(given, dict):
        raise ApiError(400, "invalid_argument: metadata is required")
    expected = call.body.get("machine_version")
    if expected and expected != machine.instance_id:
        raise ApiError(412, "failed_precondition: machine version mismatch")
    standing = _metadata(machine) if call.request.method == "PATCH" else {}
    merged = {**standing, **given}
    machine.config["metadata"] = {key: str(value) for key, value in merged.items() if value}
    return Response(status_code=204)


async def get_metadata_value(call: Call) -> Response:
    """GET one metadata value."""
    value = _metadata(call.machine()).get(call.path("key"))
    if value is None:
        raise ApiError(404, "metadata key not found")
    return ok({"value": value})


async def set_metadata_value(call: Call) -> Response:
    """POST one metadata value."""
    machine = call.machine(WRITE)
    value = call.body.get("value")
    if not isinstance(value, str):
        raise ApiError(400, "invalid_argument: value is required")
    machine.config["metadata"] = {**_metadata(machine), call.path("key"): value}
    return Response(status_code=204)


async def delete_metadata_value(call: Call) -> Response:
    """DELETE one metadata value."""
    machine = call.machine(WRITE)
    kept = {k: v for k, v in _metadata(machine).items() if k != call.path("key")}
    machine.config["metadata"] = kept
    return Response(status_code=204)


def _command(call: Call) -> list[str]:
    """The command of an exec: a list, or in the older form one text."""
    command = call.body.get("command")
    older = call.body.get("cmd")
    if command is None and isinstance(older, str):
        command = older.split()
    if not isinstance(command, list) or not command:
        raise ApiError(400, "invalid_argument: command is required")
    return [str(part) for part in command]


def _guarded(call: Call, action: int) -> Machine:
    machine = call.machine(action)
    _reachable(machine)
    leases.guard(call.world, machine, call.nonce)
    if machine.state in GONE_STATES:
        raise ApiError(412, "failed_precondition: machine is destroyed")
    return machine


def _reachable(machine: Machine) -> None:
    if machine.host_status != "ok":
        raise ApiError(408, "deadline_exceeded: the machine's host did not answer in time")


def _expect_version(call: Call, machine: Machine) -> None:
    expected = call.body.get("current_version")
    if expected and expected != machine.instance_id:
        text = f"failed_precondition: current machine version is {machine.instance_id}"
        raise ApiError(412, text)


def _expect_secrets_version(call: Call, app: App) -> None:
    wanted = call.body.get("min_secrets_version")
    if wanted is None:
        return
    known = app.secrets_version
    unknown = whole_number(wanted, "min_secrets_version") > known
    if unknown and call.world.switches.min_secrets_version_unknown == "refuse":
        raise ApiError(412, f"failed_precondition: secrets version {wanted} is not available")


def _has_metadata(call: Call, machine: Machine) -> bool:
    wanted = [
        (key.removeprefix("metadata."), value)
        for key, value in call.request.query_params.multi_items()
        if key.startswith("metadata.")
    ]
    return all(_metadata(machine).get(key) == value for key, value in wanted)


def _metadata(machine: Machine) -> Json:
    metadata = machine.config.get("metadata")
    return dict(metadata) if isinstance(metadata, dict) else {}
