"""Apps and machines by the Machines API: reads, updates, waits, stops, leases, cordons."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from rotator.domain.errors import Drift, NotFound, Refused
from rotator.domain.machines import GONE_STATES, AppOverview, Lease, Machine
from rotator.fly.call import CHANGE_SECONDS, Call, Effect
from rotator.fly.limits import APP_ACTIONS, READ_MACHINE
from rotator.fly.machine_model import MachineModel
from rotator.fly.parsing import FlyModel, parse, unexpected
from rotator.fly.paths import app_path, machine_path
from rotator.fly.transport import Transport

NONCE_HEADER: Final = "fly-machine-lease-nonce"
MAX_WAIT_SECONDS: Final = 60
"""Fly's cap on one wait."""
_WAIT_GRACE_SECONDS: Final = 15.0
MAX_WAITS: Final = 512
"""How many waits are under way at once, each of which holds a connection: fewer than there are, so
that leases are refreshed and machines read meanwhile."""


class _OrganizationModel(FlyModel):
    slug: str = ""


class _AppModel(FlyModel):
    name: str
    status: str = ""
    organization: _OrganizationModel = _OrganizationModel()
    machine_count: int | None = None


class _NumberModel(FlyModel):
    internal_numeric_id: int


class _LeaseModel(FlyModel):
    nonce: str
    expires_at: int


class _LeaseEnvelope(FlyModel):
    data: _LeaseModel


class _Settled(FlyModel):
    # Older servers say only {"ok": true}.
    state: str = "settled"


class _ExecModel(FlyModel):
    exit_code: int


class FlyFleet:
    """The engine's `Fleet`, and the calls that later strategies need."""

    def __init__(self, machines: Transport) -> None:
        self._machines = machines
        self._waits = asyncio.Semaphore(MAX_WAITS)

    async def app(self, app: str) -> AppOverview:
        """The app. `NotFound` if it does not exist or the token may not see it."""
        call = Call(f"look at the app {app}", "GET", app_path(app), APP_ACTIONS, app)
        try:
            found = parse(_AppModel, call, await self._machines.send(call))
        except NotFound as error:
            raise NotFound(
                f"the app {app} does not exist, or this API token may not see it",
                next_step="mend `app` in the manifest, or give rotator a token that sees it",
                request_id=error.request_id,
            ) from None
        return AppOverview(found.name, found.organization.slug, found.status, found.machine_count)

    async def number(self, app: str) -> int:
        """The number by which tokens name an app."""
        call = Call(f"look up the number of {app}", "GET", app_path(app), APP_ACTIONS, app)
        return parse(_NumberModel, call, await self._machines.send(call)).internal_numeric_id

    async def machines(self, app: str) -> Sequence[Machine]:
        """All machines that exist, whatever their state. One list may lag."""
        call = Call(
            f"list the machines of {app}", "GET", app_path(app, "machines"), APP_ACTIONS, app
        )
        answer = await self._machines.send(call)
        if not isinstance(answer.json, list):
            raise unexpected(call, answer, "no list of machines")
        return [parse(MachineModel, call, answer, each).plain(app) for each in answer.json]

    async def machine(self, app: str, machine_id: str) -> Machine:
        """One machine, fresh. `NotFound` when it was destroyed."""
        call = Call(
            f"read the machine {machine_id} of {app}",
            "GET",
            machine_path(app, machine_id),
            "get machine",
            machine_id,
            rate=READ_MACHINE,
        )
        return parse(MachineModel, call, await self._machines.send(call)).plain(app)

    async def acquire_lease(
        self, app: str, machine_id: str, *, ttl_seconds: int, description: str
    ) -> Lease:
        """Take the lease. `Busy` if somebody else holds it."""
        return await self._lease(app, machine_id, ttl_seconds, description, None)

    async def refresh_lease(
        self, app: str, machine_id: str, lease: Lease, *, ttl_seconds: int
    ) -> Lease:
        """Prolong the lease; its nonce stays."""
        return await self._lease(app, machine_id, ttl_seconds, None, lease)

    async def _lease(
        self, app: str, machine_id: str, ttl: int, description: str | None, held: Lease | None
    ) -> Lease:
        body: dict[str, object] = {"ttl": ttl}
        if description is not None:
            body["description"] = description
        call = Call(
            f"{'refresh' if held else 'take'} the lease of machine {machine_id} of {app}",
            "POST",
            machine_path(app, machine_id, "lease"),
            "lease",
            machine_id,
            effect=Effect.IDEMPOTENT if held else Effect.CHANGE,
            # flyctl sends the time in the query, the description of the API has it in the body.
            query={"ttl": ttl},
            headers=_nonce(held),
            body=body,
        )
        answer = await self._machines.send(call)
        wrapped = isinstance(answer.json, dict) and "data" in answer.json
        found = (
            parse(_LeaseEnvelope, call, answer).data
            if wrapped
            else parse(_LeaseModel, call, answer)
        )
        return Lease(found.nonce, datetime.fromtimestamp(found.expires_at, UTC))

    async def release_lease(self, app: str, machine_id: str, lease: Lease) -> None:
        """Give the lease back. Releasing one that is gone is success."""
        call = Call(
            f"release the lease of machine {machine_id} of {app}",
            "DELETE",
            machine_path(app, machine_id, "lease"),
            "release lease",
            machine_id,
            effect=Effect.IDEMPOTENT,
            headers=_nonce(lease),
        )
        try:
            await self._machines.send(call)
        except NotFound:
            return

    async def update(
        self,
        machine: Machine,
        *,
        marks: Mapping[str, str],
        min_secrets_version: int,
        skip_launch: bool,
        lease: Lease,
    ) -> Machine:
        """Update with the same config plus marks, provided that the machine is still the one read.

        `current_version` makes Fly refuse when somebody changed it in between (P8).
        """
        if machine.config is None:
            raise Drift(f"the config of machine {machine.id} can't be read now")
        body: dict[str, object] = {
            "config": _marked(machine.config.json, marks),
            "region": machine.region,
            "current_version": machine.instance_id,
            "min_secrets_version": min_secrets_version,
        }
        if skip_launch:
            body["skip_launch"] = True
        call = Call(
            f"update the machine {machine.id} of {machine.app}",
            "POST",
            machine_path(machine.app, machine.id),
            "update machine",
            machine.id,
            effect=Effect.CHANGE,
            headers=_nonce(lease),
            body=body,
            timeout_seconds=CHANGE_SECONDS,
        )
        answer = await self._machines.send(call)
        return parse(MachineModel, call, answer).plain(machine.app)

    async def wait(
        self, app: str, machine_id: str, *, instance_id: str, timeout_seconds: int
    ) -> str:
        """Block until this version of the machine settles; give the state.

        Fly: waiting for `settled` also ends when the proxy stops the machine right after its
        start, where waiting for `started` would time out.
        """
        seconds = max(1, min(MAX_WAIT_SECONDS, timeout_seconds))
        call = Call(
            f"wait for the machine {machine_id} of {app}",
            "GET",
            machine_path(app, machine_id, "wait"),
            "wait",
            machine_id,
            query={"state": "settled", "version": instance_id, "timeout": seconds},
            timeout_seconds=seconds + _WAIT_GRACE_SECONDS,
        )
        async with self._waits:
            answer = await self._machines.send(call)
        return parse(_Settled, call, answer).state

    async def stop(self, app: str, machine_id: str, lease: Lease) -> None:
        """Ask it to stop; drops the snapshot of a suspended machine."""
        await self._command(app, machine_id, "stop", lease)

    async def start(self, app: str, machine_id: str, lease: Lease) -> None:
        """Ask it to start."""
        await self._command(app, machine_id, "start", lease)

    async def restart(self, app: str, machine_id: str, lease: Lease) -> None:
        """Restart in place. Fly: this does not take up new secrets; `update` does."""
        await self._command(app, machine_id, "restart", lease, effect=Effect.CHANGE)

    async def create(
        self, like: Machine, *, marks: Mapping[str, str], min_secrets_version: int
    ) -> Machine:
        """Create a machine with the config of another one, out of the proxy.

        Fly has no idempotency key for machines: a repeat makes a second one.
        """
        if like.config is None:
            raise Drift(f"the config of machine {like.id} can't be read now")
        call = Call(
            f"create a machine of {like.app} like {like.id}",
            "POST",
            app_path(like.app, "machines"),
            APP_ACTIONS,
            like.app,
            effect=Effect.CHANGE,
            body={
                "config": _marked(like.config.json, marks),
                "region": like.region,
                "skip_service_registration": True,
                "min_secrets_version": min_secrets_version,
            },
            timeout_seconds=CHANGE_SECONDS,
        )
        answer = await self._machines.send(call)
        return parse(MachineModel, call, answer).plain(like.app)

    async def destroy(self, app: str, machine_id: str, lease: Lease | None) -> None:
        """Destroy it, running or not. One that is gone is success."""
        call = Call(
            f"destroy the machine {machine_id} of {app}",
            "DELETE",
            machine_path(app, machine_id),
            "destroy",
            machine_id,
            effect=Effect.IDEMPOTENT,
            query={"force": "true"},
            headers=_nonce(lease),
            timeout_seconds=CHANGE_SECONDS,
        )
        try:
            await self._machines.send(call)
        except NotFound:
            return
        except (Refused, Drift):
            if not await self._is_gone(app, machine_id):
                raise

    async def _is_gone(self, app: str, machine_id: str) -> bool:
        try:
            machine = await self.machine(app, machine_id)
        except NotFound:
            return True
        return machine.state in GONE_STATES

    async def run_command(
        self, app: str, machine_id: str, command: Sequence[str], *, timeout_seconds: int
    ) -> int:
        """Run a command in it; its exit code. Its output is dropped, because it may hold values."""
        call = Call(
            f"run a command in the machine {machine_id} of {app}",
            "POST",
            machine_path(app, machine_id, "exec"),
            "exec",
            machine_id,
            effect=Effect.CHANGE,
            body={"command": list(command), "timeout": timeout_seconds},
            timeout_seconds=timeout_seconds + _WAIT_GRACE_SECONDS,
        )
        return parse(_ExecModel, call, await self._machines.send(call)).exit_code

    async def cordon(self, app: str, machine_id: str, lease: Lease) -> None:
        """Take it out of the proxy without stopping it."""
        await self._command(app, machine_id, "cordon", lease)

    async def uncordon(self, app: str, machine_id: str, lease: Lease | None) -> None:
        """Put it back into the proxy."""
        await self._command(app, machine_id, "uncordon", lease)

    async def _command(
        self,
        app: str,
        machine_id: str,
        command: str,
        lease: Lease | None,
        *,
        effect: Effect = Effect.IDEMPOTENT,
    ) -> None:
        call = Call(
            f"{command} the machine {machine_id} of {app}",
            "POST",
            machine_path(app, machine_id, command),
            command,
            machine_id,
            effect=effect,
            headers=_nonce(lease),
            timeout_seconds=CHANGE_SECONDS,
        )
        await self._machines.send(call)


def _marked(config: Mapping[str, object], marks: Mapping[str, str]) -> dict[str, object]:
    standing = config.get("metadata")
    return {**config, "metadata": {**(standing if isinstance(standing, dict) else {}), **marks}}


def _nonce(lease: Lease | None) -> dict[str, str]:
    return {} if lease is None else {NONCE_HEADER: lease.nonce}
