"""Machine leases: one holder at a time, by nonce, until they expire."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from rotator.simulator import ids
from rotator.simulator.errors import ApiError, LeaseConflict
from rotator.simulator.model import Json, Lease, Machine
from rotator.simulator.world import World

DEFAULT_TTL_SECONDS: Final = 500


def standing(world: World, machine: Machine) -> Lease | None:
    """The lease that is in force; one that has expired is dropped."""
    if machine.lease is not None and machine.lease.expires_at <= world.now():
        machine.lease = None
    return machine.lease


def acquire(
    world: World, machine: Machine, nonce: str, *, owner: str, ttl_seconds: int, description: str
) -> Lease:
    """Take a lease, or with its nonce prolong it. Raises LeaseConflict, ApiError."""
    if ttl_seconds <= 0:
        raise ApiError(400, "invalid_argument: ttl must be positive")
    lease = standing(world, machine)
    expires_at = world.now() + timedelta(seconds=ttl_seconds)
    if lease is None:
        if nonce:
            raise ApiError(404, f"machine ID {machine.id} lease not found")
        fresh = ids.lease_nonce(world.rng)
        lease = Lease(fresh, owner, description, expires_at, machine.instance_id)
        machine.lease = lease
        return lease
    if lease.nonce != nonce:
        raise LeaseConflict(409, _held(machine, lease))
    lease.expires_at = expires_at
    lease.version = machine.instance_id
    return lease


def release(world: World, machine: Machine, nonce: str) -> None:
    """Give a lease back. Raises ApiError when there is none, LeaseConflict when it is another's."""
    lease = read(world, machine)
    if not nonce:
        raise ApiError(400, "invalid_argument: missing lease nonce")
    if lease.nonce != nonce:
        raise LeaseConflict(409, _held(machine, lease))
    machine.lease = None


def read(world: World, machine: Machine) -> Lease:
    """The lease in force. Raises ApiError 404."""
    lease = standing(world, machine)
    if lease is None:
        raise ApiError(404, f"machine ID {machine.id} lease not found")
    return lease


def guard(world: World, machine: Machine, nonce: str) -> None:
    """Refuse a change by anyone but the lease's holder. Raises ApiError 409."""
    lease = standing(world, machine)
    if lease is not None and lease.nonce != nonce:
        raise ApiError(409, f"failed_precondition: {_held(machine, lease)}")


def view(lease: Lease) -> Json:
    """The envelope of a lease; `expires_at` is in Unix seconds."""
    data: Json = {
        "nonce": lease.nonce,
        "expires_at": int(lease.expires_at.timestamp()),
        "owner": lease.owner,
        "description": lease.description,
        "version": lease.version,
    }
    return {"status": "success", "data": data}


def _held(machine: Machine, lease: Lease) -> str:
    until = ids.rfc3339(lease.expires_at)
    return f"machine ID {machine.id} lease currently held by {lease.owner}, expires at {until}"
