"""What the engine needs of apps, machines and releases on Fly.

The conventions of `domain.ports` hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from rotator.domain.machines import AppOverview, Lease, Machine, Release, ReleaseStatus
from rotator.domain.policy import Probe


class Fleet(Protocol):
    """Apps and machines on Fly, as rollouts need them."""

    async def app(self, app: str) -> AppOverview:
        """The app. `NotFound` if it does not exist or the token may not see it."""
        ...

    async def machines(self, app: str) -> Sequence[Machine]:
        """All machines that exist, whatever their state. One list may lag."""
        ...

    async def machine(self, app: str, machine_id: str) -> Machine:
        """One machine, fresh. `NotFound` when it was destroyed."""
        ...

    async def acquire_lease(
        self, app: str, machine_id: str, *, ttl_seconds: int, description: str
    ) -> Lease:
        """Take the lease. `Busy` if somebody else holds it."""
        ...

    async def refresh_lease(
        self, app: str, machine_id: str, lease: Lease, *, ttl_seconds: int
    ) -> Lease:
        """Prolong the lease."""
        ...

    async def release_lease(self, app: str, machine_id: str, lease: Lease) -> None:
        """Give the lease back. Releasing one that is gone is success."""
        ...

    async def update(
        self,
        machine: Machine,
        *,
        marks: Mapping[str, str],
        min_secrets_version: int,
        skip_launch: bool,
        lease: Lease,
    ) -> Machine:
        """Update with the config that `machine` has, plus `marks` in its metadata, provided that
        its `instance_id` is still the present one (`Drift` if not). `OutcomeUnknown` when the
        answer was lost: read the machine and compare its marks."""
        ...

    async def stop(self, app: str, machine_id: str, lease: Lease) -> None:
        """Ask it to stop; drops the snapshot of a suspended machine. Stopping a stopped one is
        success. Asynchronous on Fly's side."""
        ...

    async def wait(
        self, app: str, machine_id: str, *, instance_id: str, timeout_seconds: int
    ) -> str:
        """Block until this version of the machine settles; give the state. `NotYet` on time-out,
        `Drift` when another version replaced it."""
        ...

    async def cordon(self, app: str, machine_id: str, lease: Lease) -> None:
        """Take it out of the proxy without stopping it. Idempotent."""
        ...

    async def uncordon(self, app: str, machine_id: str, lease: Lease | None) -> None:
        """Put it back into the proxy. Idempotent."""
        ...

    async def create(
        self, like: Machine, *, marks: Mapping[str, str], min_secrets_version: int
    ) -> Machine:
        """Create a machine in the region of `like` with its config plus `marks`, out of the proxy.
        `OutcomeUnknown` when the answer was lost: list the machines and look for the marks."""
        ...

    async def destroy(self, app: str, machine_id: str, lease: Lease | None) -> None:
        """Destroy it, running or not. Destroying one that is gone is success."""
        ...

    async def run_command(
        self, app: str, machine_id: str, command: Sequence[str], *, timeout_seconds: int
    ) -> int:
        """Run a command in it and give the exit code. What it prints is not kept: it may be a
        value."""
        ...


class Releases(Protocol):
    """The releases of an app, as `fly releases` shows them."""

    async def create(self, app: str, *, strategy: str) -> Release:
        """Make a release for a rollout that changes no image. `OutcomeUnknown` when the answer was
        lost: ask `unbegun`."""
        ...

    async def unbegun(self, app: str, *, since: datetime) -> Release | None:
        """A release made since then that nobody has set running: what a lost answer left. One that
        is under way is somebody's deploy, and never given."""
        ...

    async def set_status(self, app: str, release_id: str, status: ReleaseStatus) -> None:
        """Say how it goes. Idempotent."""
        ...


class Prober(Protocol):
    """Requests of rotator's own to a machine over the private network."""

    async def probe(self, machine: Machine, probe: Probe) -> str | None:
        """What is wrong, or None when the machine answers as it should."""
        ...
