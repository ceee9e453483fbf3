"""What the engine needs of the database: transactions, and what is written and read in them.

The conventions of `domain.ports` hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from rotator.domain.alert_port import AlertStore
from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.drift import TargetWatch
from rotator.domain.log_port import LogUnit
from rotator.domain.posture.store_port import PostureUnit
from rotator.domain.rotation import (
    Claim,
    MachineRestart,
    Rollout,
    RolloutState,
    RolloutWish,
    Rotation,
    RotationState,
    Step,
)
from rotator.domain.secret import Secret
from rotator.domain.taint import Taint

ENDING: Final = timedelta(days=14)
"""What ends so soon is dealt with before what is merely due."""


@dataclass(frozen=True)
class WorkerRecord:
    """A running process that may hold claims. `kind` is daemon or cli."""

    id: str
    kind: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True)
class AppLock:
    """The right to roll one app out (P3). `fence` only grows."""

    app: str
    holder: str
    fence: int
    expires_at: datetime


@dataclass(frozen=True)
class Disrupted:
    """A machine that some running rollout has out of service."""

    app: str
    region: str
    rollout_id: str
    machine_id: str


class Unit(LogUnit, PostureUnit, AlertStore, Protocol):
    """One database transaction: everything in it is committed together, or nothing is.

    Methods that take a `Claim` raise `ClaimLost` unless its fence is still the present one.
    Writes of unknown ids raise `LookupError`: a programmer's error.
    """

    async def database_now(self) -> datetime:
        """The clock that claims and locks are compared with: the server's on PostgreSQL."""
        ...

    # credentials
    async def credential(self, name: str) -> Credential | None: ...
    async def credential_by_id(self, credential_id: str) -> Credential: ...
    async def credentials(
        self, *, status: CredentialStatus | None = None, kind: str | None = None
    ) -> Sequence[Credential]: ...
    async def save_credential(self, credential: Credential) -> None:
        """Insert or replace by id."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Credential]:
        """Managed credentials with `due_at <= now`, without an ACTIVE rotation: those whose value
        ends within `ENDING` first, the soonest first; then those that have been due longest."""
        ...

    # versions
    async def versions(self, credential_id: str) -> Sequence[Version]:
        """All, oldest first."""
        ...

    async def versions_in(self, states: frozenset[VersionState]) -> Sequence[Version]:
        """Versions of all credentials in these states, oldest first."""
        ...

    async def version(self, version_id: str) -> Version: ...
    async def current_version(self, credential_id: str) -> Version | None: ...
    async def save_version(self, version: Version) -> None:
        """Insert or replace by id; leaves the sealed value alone."""
        ...

    async def seal(self, version_id: str, value: Secret) -> None:
        """Keep the value, encrypted. Replaces an earlier one of this version."""
        ...

    async def unseal(self, version_id: str) -> Secret | None:
        """The value, or None where none is held."""
        ...

    async def erase(self, version_id: str) -> None:
        """Forget the value for good."""
        ...

    async def versions_of_lineage(self, lineage: str) -> Sequence[Version]:
        """Versions in any state whose value has this lineage (`domain.lineage`), oldest first."""
        ...

    async def untraced(self, kinds: Sequence[str], limit: int) -> Sequence[Version]:
        """Versions of credentials of these kinds whose value is held and whose lineage is not
        known: a rotator made them that did not keep it."""
        ...

    # rotations and steps
    async def rotation(self, rotation_id: str) -> Rotation | None: ...
    async def rotations(
        self,
        *,
        credential_id: str | None = None,
        states: frozenset[RotationState] | None = None,
        limit: int = 100,
    ) -> Sequence[Rotation]:
        """Newest first."""
        ...

    async def active_rotation(self, credential_id: str) -> Rotation | None:
        """The one in an ACTIVE state, if any."""
        ...

    async def add_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """`Busy` if the credential already has a rotation in an ACTIVE state (P3)."""
        ...

    async def save_rotation(self, rotation: Rotation, claim: Claim | None) -> None:
        """Replace by id, but for `abort_requested_at`, which is left alone: an abort asked for
        meanwhile is not lost, and brings `resume_at` forward. Without a claim it raises `Busy`
        while somebody holds a live one."""
        ...

    async def reopen_rotation(self, rotation: Rotation, steps: Sequence[Step]) -> None:
        """A person's change to a rotation that nobody works on: replace it, and insert or replace
        these steps. `Busy` while somebody holds a live claim on it."""
        ...

    async def request_abort(self, rotation_id: str, at: datetime | None) -> None:
        """Set `abort_requested_at` and `resume_at`, also while a worker holds the claim; None
        takes the request back."""
        ...

    async def runnable(self, now: datetime, limit: int) -> Sequence[Rotation]:
        """Rotations with `resume_at <= now` and no live claim: emergencies first, then the oldest
        wish."""
        ...

    async def claim(self, rotation_id: str, worker_id: str, ttl: timedelta) -> Claim | None:
        """Take the rotation and raise its fence. None while another live claim stands, or while
        another rotation of the same credential is claimed."""
        ...

    async def renew(self, claim: Claim, ttl: timedelta) -> Claim: ...
    async def release(self, claim: Claim) -> None:
        """Give the claim up. A lost claim is left alone."""
        ...

    async def steps(self, rotation_id: str) -> Sequence[Step]:
        """In order of position."""
        ...

    async def add_steps(self, steps: Sequence[Step], claim: Claim) -> None: ...
    async def save_step(self, step: Step, claim: Claim) -> None: ...

    # rollouts
    async def rollout(self, rollout_id: str) -> Rollout | None: ...
    async def rollouts(
        self,
        *,
        app: str | None = None,
        states: frozenset[RolloutState] | None = None,
        limit: int = 50,
    ) -> Sequence[Rollout]:
        """Newest first."""
        ...

    async def rollouts_of(self, rotation_id: str) -> Sequence[Rollout]: ...
    async def rotations_of(self, rollout_id: str) -> Sequence[str]: ...
    async def open_rollout(self, app: str) -> Rollout | None:
        """The RUNNING or PAUSED one of this app, left by a crash or held by somebody."""
        ...

    async def save_rollout(self, rollout: Rollout, lock: AppLock) -> None:
        """Insert or replace, but for `wish`, which is a person's. `ClaimLost` if the lock has
        passed on."""
        ...

    async def wish_rollout(self, rollout_id: str, wish: RolloutWish | None) -> None:
        """Set or take back what a person asks of it, also while a worker runs it."""
        ...

    async def resume_rollout(self, rollout_id: str) -> None:
        """PAUSED becomes RUNNING, for the worker that takes it up next; any wish is taken back. Its
        error stays: it tells that worker that a person knows of the failure."""
        ...

    async def link_rollout(self, rollout_id: str, rotation_id: str) -> None:
        """Record that this rollout serves this rotation. Idempotent."""
        ...

    async def machine_restarts(self, rollout_id: str) -> Sequence[MachineRestart]: ...
    async def save_machine_restart(self, restart: MachineRestart, lock: AppLock) -> None: ...
    async def confirmed_instance(self, app: str, machine_id: str) -> MachineRestart | None:
        """The newest successful restart of this machine by any rollout."""
        ...

    async def lock_disruption(self, organization: str) -> None:
        """Take turns at counting what the organisation has out of service, until the commit."""
        ...

    async def disrupted(self, organization: str) -> Sequence[Disrupted]:
        """Machines that open rollouts of this organisation have out of service."""
        ...

    async def admitted_since(self, organization: str, at: datetime) -> int:
        """How many machines rollouts of this organisation have taken out of service since."""
        ...

    async def lock_app(self, app: str, holder: str, ttl: timedelta) -> AppLock | None:
        """Take or retake the app's lock; None while somebody else holds it."""
        ...

    async def renew_app_lock(self, lock: AppLock, ttl: timedelta) -> AppLock: ...
    async def unlock_app(self, lock: AppLock) -> None: ...

    async def note_secrets_version(self, app: str, secrets_version: int) -> int:
        """Raise the ledger of this app to at least this number; give the ledger's number."""
        ...

    async def secrets_version(self, app: str) -> int:
        """The highest number that we have seen; 0 without one."""
        ...

    # what stands at targets, and what has leaked
    async def target_watches(self, credential_id: str | None = None) -> Sequence[TargetWatch]:
        """Who wrote what stands at the targets of one credential, or of all."""
        ...

    async def save_target_watch(self, watch: TargetWatch) -> None:
        """Insert or replace by credential and target."""
        ...

    async def save_taint(self, taint: Taint) -> None:
        """Insert or replace by id and credential."""
        ...

    async def open_taints(self) -> Sequence[Taint]:
        """All rows of taints of which a credential is not replaced yet, oldest first."""
        ...

    # workers
    async def save_worker(self, worker: WorkerRecord) -> None: ...
    async def remove_worker(self, worker_id: str) -> None: ...
    async def workers(self) -> Sequence[WorkerRecord]: ...


class Store(Protocol):
    """The database. The only truth about what is due, under way and done."""

    def unit(self) -> AbstractAsyncContextManager[Unit]:
        """Begin a transaction for writing; commits at the end of the block, rolls back on an error.

        `Unavailable` when the database is locked, full or gone; `OutcomeUnknown` when the
        connection was lost during the commit.
        """
        ...

    def view(self) -> AbstractAsyncContextManager[Unit]:
        """Begin a transaction for reading only."""
        ...
