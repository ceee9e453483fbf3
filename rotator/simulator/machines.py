"""What machines do when they are told to, and what then happens to them over time.

Each command ends the plans of the one before (`Machine.turn`). Times of boots and checks
come from the world's dice.
"""

from __future__ import annotations

import copy
import re
from datetime import datetime, timedelta
from typing import Final, Literal

from rotator.simulator import ids
from rotator.simulator.errors import ApiError
from rotator.simulator.model import RUNNING_STATES, App, Event, Json, Machine
from rotator.simulator.world import Transition, World

EVENTS_KEPT: Final = 50
CRASH_RESTARTS: Final = 10
"""Where a config has no number: flyctl's default."""
STOP_SECONDS: Final = (0.3, 0.8)
BOOT_SECONDS: Final = (1.5, 4.0)
RESUME_SECONDS: Final = (0.2, 0.5)
CHECK_SECONDS: Final = (1.0, 2.0)
CRASH_SECONDS: Final = (0.5, 1.0)

_DURATION: Final = re.compile(r"(\d+)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}

Cause = Literal["update", "start", "restart", "crash", "resume"]


def note(
    world: World,
    machine: Machine,
    at: datetime,
    happened: tuple[str, str, str],
    request: Json | None = None,
) -> None:
    """Add an event (type, status, source), newest first, and touch the machine."""
    kind, status, source = happened
    event = Event(world.ulid(at), kind, status, source, at, request)
    machine.events = [event, *machine.events][:EVENTS_KEPT]
    machine.updated_at = at


def update(
    world: World,
    machine: Machine,
    config: Json,
    *,
    skip_launch: bool = False,
    skip_secrets: bool = False,
    source: str = "user",
) -> None:
    """Replace the config: a new instance, which boots if the old one ran or a switch says so."""
    now = world.now()
    running = machine.state in RUNNING_STATES
    launch = not skip_launch and (running or world.switches.update_of_stopped_starts)
    was_up = machine.state == "started"
    asleep = machine.state == "suspended" and world.switches.update_keeps_snapshot
    turn = _begin(machine)
    machine.config = copy.deepcopy(config)
    machine.skip_secrets = skip_secrets
    machine.instance_id = world.ulid(now)
    machine.versions.insert(0, (machine.instance_id, machine.config))
    machine.pinned = machine.app.snapshot()
    machine.restart_count = 0
    _out_of_service(machine, now)
    note(world, machine, now, ("update", "replacing", source))
    machine.state = "replacing"

    def replaced(at: datetime) -> None:
        if was_up:
            note(world, machine, at, ("exit", "stopped", "flyd"), _exit(at, requested=True))
        note(world, machine, at, ("update", "replaced", "flyd"))
        note(world, machine, at, ("launch", "created", "user"))
        if asleep and not launch:
            machine.state = "suspended"
            return
        machine.state = "created" if launch else "stopped"
        machine.booted = None
        if launch:
            _starting(world, machine, at, "update", "flyd")

    _plan(world, machine, turn, now + world.span(*STOP_SECONDS), replaced)


def create(
    world: World, app: App, config: Json, region: str, *, name: str = "", launch: bool = True
) -> Machine:
    """Make a machine. It boots with the app's newest secrets."""
    now = world.now()
    machine = Machine(
        id=ids.machine_id(world.rng),
        name=name or f"{app.name}-{len(app.machines) + 1}",
        app=app,
        region=region,
        instance_id=world.ulid(now),
        config=copy.deepcopy(config),
        created_at=now,
        updated_at=now,
        private_ip=address(app, len(app.machines) + 2),
    )
    machine.versions.append((machine.instance_id, machine.config))
    machine.pinned = app.snapshot()
    app.machines[machine.id] = machine
    _begin(machine)
    note(world, machine, now, ("launch", "created", "user"))
    if launch:
        _starting(world, machine, now, "update", "flyd")
    return machine


def address(app: App, place: int) -> str:
    """The private address of an app's machine."""
    return f"fdaa:0:{app.org.network:x}:a7b:{app.number & 0xFFFF:x}:0:1:{place:x}"


def start(world: World, machine: Machine, source: str = "user") -> str:
    """Start a machine that is down; returns the state it was in. Raises ApiError 412."""
    refusals = {
        "replacing": "machine getting replaced, refusing to start",
        "stopping": "machine still active, refusing to start",
        "suspending": "machine still active, refusing to start",
        "starting": "machine still attempting to start",
        "restarting": "machine still attempting to start",
    }
    before = machine.state
    if before in refusals:
        raise ApiError(412, f"failed_precondition: {refusals[before]}")
    if before not in {"stopped", "created", "suspended", "failed"}:
        raise _wrong_state("start", before)
    _begin(machine)
    machine.restart_count = 0
    cause: Cause = "resume" if before == "suspended" else "start"
    _starting(world, machine, world.now(), cause, source)
    return before


def stop(world: World, machine: Machine, source: str = "user") -> None:
    """Stop a machine; one that is down already stays so. A suspended one loses its memory."""
    if machine.state in {"stopped", "created", "stopping", "failed"}:
        return
    now = world.now()
    turn = _begin(machine)
    _out_of_service(machine, now)
    note(world, machine, now, ("stop", "stopping", source), {"reason": ""})
    machine.state = "stopping"

    def stopped(at: datetime) -> None:
        note(world, machine, at, ("exit", "stopped", "flyd"), _exit(at, requested=True))
        machine.booted = None
        machine.state = "stopped"
        if machine.config.get("auto_destroy") is True:
            destroy(world, machine)

    _plan(world, machine, turn, now + world.span(*STOP_SECONDS), stopped)


def suspend(world: World, machine: Machine) -> None:
    """Suspend a running machine; its memory, and so its secrets, are kept."""
    if machine.state == "suspended":
        return
    if machine.state != "started":
        raise _wrong_state("suspend", machine.state)
    now = world.now()
    turn = _begin(machine)
    _out_of_service(machine, now)
    note(world, machine, now, ("suspend", "suspending", "user"))
    machine.state = "suspending"

    def suspended(at: datetime) -> None:
        note(world, machine, at, ("suspend", "suspended", "flyd"))
        machine.state = "suspended"

    _plan(world, machine, turn, now + world.span(*STOP_SECONDS), suspended)


def restart(world: World, machine: Machine) -> None:
    """Restart a running machine; whether it takes new secrets is a switch."""
    if machine.state != "started":
        raise _wrong_state("restart", machine.state)
    now = world.now()
    turn = _begin(machine)
    machine.restart_count = 0
    _out_of_service(machine, now)
    note(world, machine, now, ("restart", "stopping", "user"))
    machine.state = "restarting"

    def down(at: datetime) -> None:
        note(world, machine, at, ("exit", "stopped", "flyd"), _exit(at, requested=True))
        note(world, machine, at, ("restart", "starting", "flyd"))
        _boot(world, machine, at, "restart", BOOT_SECONDS)

    _plan(world, machine, turn, now + world.span(*STOP_SECONDS), down)


def destroy(world: World, machine: Machine) -> None:
    """Destroy a machine; it leaves the app's list."""
    now = world.now()
    _begin(machine)
    _out_of_service(machine, now)
    note(world, machine, now, ("destroy", "destroyed", "flyd"))
    machine.state = "destroyed"


def settle(world: World, machine: Machine, state: str, at: datetime) -> None:
    """Put a machine into a persistent state that it reached long ago: for seeding a world."""
    machine.pinned = machine.app.snapshot()
    note(world, machine, at, ("launch", "created", "user"))
    machine.state = state
    if state in {"started", "suspended"}:
        note(world, machine, at, ("start", "started", "flyd"))
        machine.booted = machine.pinned
        machine.started_at = machine.checks_pass_at = at
    if state == "suspended":
        note(world, machine, at, ("suspend", "suspended", "flyd"))
    if state == "stopped":
        note(world, machine, at, ("exit", "stopped", "flyd"), _exit(at, requested=True))


def _starting(world: World, machine: Machine, at: datetime, cause: Cause, source: str) -> None:
    note(world, machine, at, ("start", "starting", source))
    machine.state = "starting"
    _boot(world, machine, at, cause, RESUME_SECONDS if cause == "resume" else BOOT_SECONDS)


def _boot(
    world: World, machine: Machine, at: datetime, cause: Cause, seconds: tuple[float, float]
) -> None:
    """The machine's environment is fixed now; it is up after a while."""
    _take_secrets(world, machine, cause)
    turn = machine.turn

    def started(when: datetime) -> None:
        note(world, machine, when, ("start", "started", "flyd"))
        machine.state = "started"
        machine.started_at = when
        machine.checks_pass_at = when + _grace(machine, world) + world.span(*CHECK_SECONDS)
        machine.unavailable_since = None
        if machine.dies_at_start:
            crash_at = when + world.span(*CRASH_SECONDS)
            _plan(world, machine, turn, crash_at, lambda then: _crash(world, machine, then))

    _plan(world, machine, turn, at + world.span(*seconds), started)


def _grace(machine: Machine, world: World) -> timedelta:
    """The longest grace period of its checks: Fly looks for the first time after it."""
    config = machine.config
    services = config.get("services")
    named = config.get("checks")
    checks = list(named.values()) if isinstance(named, dict) else []
    for service in services if isinstance(services, list) else []:
        checks += service.get("checks") or [] if isinstance(service, dict) else []
    given = [check.get("grace_period") for check in checks if isinstance(check, dict)]
    return timedelta(seconds=max(map(_seconds, given), default=0.0) / world.speed)


def _seconds(duration: object) -> float:
    """A duration as Fly takes it: nanoseconds, or text like `10s`. Anything else counts as none."""
    if isinstance(duration, int):
        return duration / 1e9
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def _take_secrets(world: World, machine: Machine, cause: Cause) -> None:
    if cause == "resume" or (cause == "crash" and machine.booted is not None):
        return
    takes = {
        "start": world.switches.start_takes_secrets,
        "restart": world.switches.restart_takes_secrets,
    }
    if takes.get(cause, True):
        machine.booted = machine.app.snapshot()
    elif cause == "start" or machine.booted is None:
        machine.booted = machine.pinned


def _crash(world: World, machine: Machine, at: datetime) -> None:
    machine.restart_count += 1
    again = restarts_again(machine)
    request = _exit(at, requested=False, restarting=again, restarts=machine.restart_count)
    note(world, machine, at, ("exit", "stopped", "flyd"), request)
    _out_of_service(machine, at)
    if again:
        _starting(world, machine, at, "crash", "flyd")
    else:
        machine.state = "stopped"


def restarts_again(machine: Machine) -> bool:
    """Whether Fly starts it once more after a failure, by the restart policy in its config. (The
    description: `on-failure` is the default, with a number of tries that it does not name.)"""
    given = machine.config.get("restart")
    policy: Json = given if isinstance(given, dict) else {}
    if policy.get("policy") in ("no", "always"):
        return policy["policy"] == "always"
    retries = policy.get("max_retries")
    most = retries if isinstance(retries, int) and retries > 0 else CRASH_RESTARTS
    return machine.restart_count < most


def _exit(at: datetime, *, requested: bool, restarting: bool = False, restarts: int = 0) -> Json:
    exit_event: Json = {
        "exit_code": 0 if requested else 1,
        "guest_exit_code": 0 if requested else 1,
        "guest_signal": -1,
        "guest_error": "",
        "signal": -1,
        "error": "",
        "oom_killed": False,
        "requested_stop": requested,
        "restarting": restarting,
        "exited_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return {"exit_event": exit_event, "restart_count": restarts}


def _begin(machine: Machine) -> int:
    machine.turn += 1
    return machine.turn


def _out_of_service(machine: Machine, at: datetime) -> None:
    if machine.unavailable_since is None:
        machine.unavailable_since = at
    machine.checks_pass_at = None


def _plan(world: World, machine: Machine, turn: int, at: datetime, transition: Transition) -> None:
    def if_still_meant(when: datetime) -> None:
        if machine.turn == turn:
            transition(when)

    machine.changes_at = at
    world.plan(at, if_still_meant)


def _wrong_state(verb: str, state: str) -> ApiError:
    message = f"failed_precondition: unable to {verb} machine from current state: '{state}'"
    return ApiError(412, message)


def hold_unreachable(world: World, machine: Machine, seconds: float) -> None:
    """Take the machine's host out of reach for some seconds."""
    machine.host_status = "unreachable"

    def back(_: datetime) -> None:
        machine.host_status = "ok"

    world.plan(world.now() + timedelta(seconds=seconds), back)
