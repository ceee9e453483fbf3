"""The Machines API's long poll: wait until a machine reaches a state."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.model import PERSISTENT_STATES, Json, Machine
from rotator.simulator.world import World

MAX_SECONDS: Final = 60
SLICE_SECONDS: Final = 1.0
"""A wait looks again at least this often, for what other requests have put on the agenda. It
wakes for its own machine only: a wave of hundreds would wake for each other's otherwise."""
WANTABLE: Final = frozenset({"started", "stopped", "suspended", "destroyed", "failed", "settled"})


async def wait_machine(call: Call) -> Response:
    """GET wait: 200 when reached, 408 when not in time, 400 for a bad question."""
    world, machine = call.world, call.machine()
    states = _states(call)
    version = call.query("version") or call.query("instance_id")
    if "stopped" in states and not version:
        raise ApiError(400, "invalid_argument: instance_id is required to wait for stopped")
    if version and version not in {known for known, _ in machine.versions}:
        raise ApiError(404, "machine version not found")
    seconds = whole_number(call.query("timeout", str(MAX_SECONDS)), "timeout")
    if not 1 <= seconds <= MAX_SECONDS:
        raise ApiError(400, "invalid_argument: timeout must be between 1 and 60 seconds")
    after = call.query("from_event_id")
    deadline = world.now() + timedelta(seconds=seconds)
    while not _reached(machine, states, version, after):
        if world.now() >= deadline:
            raise _missed(machine, states, version)
        await _pause(world, machine, (deadline - world.now()).total_seconds())
        world.advance()
    return ok(_answer(machine))


async def _pause(world: World, machine: Machine, seconds_left: float) -> None:
    seconds = min(seconds_left, SLICE_SECONDS / world.speed)
    if machine.changes_at is not None and machine.changes_at > world.now():
        seconds = min(seconds, (machine.changes_at - world.now()).total_seconds())
    await world.sleep(seconds)


def _states(call: Call) -> set[str]:
    given = call.request.query_params.getlist("state") or ["started"]
    states = {state for value in given for state in value.split(",") if state}
    if not states <= WANTABLE:
        raise ApiError(400, "invalid_argument: unsupported state")
    return states


def _reached(machine: Machine, states: set[str], version: str, after: str) -> bool:
    if version and version != machine.instance_id:
        raise ApiError(
            408,
            "deadline_exceeded: machine failed to reach desired state, "
            f"{_named(states)}, currently replaced",
        )
    if after and machine.events and machine.events[0].id == after:
        return False
    if "settled" in states and machine.state in PERSISTENT_STATES:
        return True
    return machine.state in states


def _missed(machine: Machine, states: set[str], version: str) -> ApiError:
    current = "replaced" if version and version != machine.instance_id else machine.state
    return ApiError(
        408,
        "deadline_exceeded: machine failed to reach desired state, "
        f"{_named(states)}, currently {current}",
    )


def _named(states: set[str]) -> str:
    return " or ".join(sorted(states))


def _answer(machine: Machine) -> Json:
    answer: Json = {"ok": True, "state": machine.state, "version": machine.instance_id}
    if machine.events:
        answer["event_id"] = machine.events[0].id
    return answer
