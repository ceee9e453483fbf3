"""What the engine needs of the world, each a Protocol with its contract.

Conventions that hold for every port:
- an adapter raises errors of `domain.errors` only, and says truthfully whether an effect may have
  happened: `Unavailable` when it can't have, `OutcomeUnknown` when it may have;
- an adapter never retries a change whose outcome it does not know: the engine looks first;
- every call ends within a bound of the adapter's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from rotator.domain.credential import (
    Credential,
    CredentialSpec,
    CredentialStatus,
    Issued,
    TargetSpec,
    Version,
)
from rotator.domain.events import Event, LoggedEvent
from rotator.domain.fields import Field, Params
from rotator.domain.machines import AppOverview, Lease, Machine
from rotator.domain.rotation import (
    Claim,
    MachineRestart,
    Rollout,
    Rotation,
    RotationState,
    Step,
)
from rotator.domain.secret import Secret


class Clock(Protocol):
    """Time. Tests pass a virtual one."""

    def now(self) -> datetime:
        """The present, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait. Cancellable."""
        ...


class Entropy(Protocol):
    """Randomness and ids. Tests pass a seeded one; production uses the operating system's."""

    def token_bytes(self, count: int) -> bytes:
        """`count` random bytes, fit for keys."""
        ...

    def below(self, bound: int) -> int:
        """A uniform whole number in [0, bound)."""
        ...

    def ulid(self, now: datetime) -> str:
        """A new ULID for this time: 26 characters, sorts by time."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What a look at the world showed: a sentence, and public details to keep."""

    statement: str
    detail: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True)
class MintRequest:
    """One new value that is wanted.

    `issue_name` carries the rotation's id, so that `locate` finds it after a crash.
    `expires_at` is just past the next rotation plus overlap.
    """

    spec: CredentialSpec
    rotation_id: str
    issue_name: str
    expires_at: datetime | None


@dataclass(frozen=True)
class Minted:
    """A value fresh from the issuer."""

    issued: Issued
    value: Secret
    request_id: str | None = None


class Kind(Protocol):
    """How a kind of credential is issued, proven and revoked.

    `name` is the manifest's word. `fields` are the manifest fields it reads. `issuer_lists` tells
    whether an issuer holds the values and lists them; where none does, nothing can be left over.
    """

    name: str
    issuer_lists: bool
    fields: tuple[Field, ...]

    def check(self, params: Params) -> str | None:
        """What is wrong with these fields together, or None. Pure."""
        ...

    def place(self, name: str, organization: str, params: Params) -> str:
        """Where the credential `name` lives at the issuer, unique text (`deploy-token:web/ci`)."""
        ...

    def issue_name(self, spec: CredentialSpec, rotation_id: str) -> str:
        """The name that a new value gets at the issuer; it carries the rotation's id."""
        ...

    def prepare(self, request: MintRequest, entropy: Entropy) -> Secret | None:
        """Make what can be made here before the call; it is sealed with the intent. Pure.

        A repeat of `mint` gets the same prepared value back, so it makes the same thing.
        """
        ...

    async def mint(self, request: MintRequest, prepared: Secret | None) -> Minted:
        """Create the value at the issuer. Called once for each intent, after `locate` was empty."""
        ...

    async def locate(self, request: MintRequest) -> Sequence[Issued]:
        """What the issuer holds alive under this rotation's name. Lists may lag."""
        ...

    async def prove(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Evidence:
        """Use the value once, harmlessly. `Refused` if the issuer does not accept it or if it can
        do more or live longer than was asked; `NotYet` while the issuer has not caught up."""
        ...

    async def revoke(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        """Make the issuer refuse the value. Revoking what is revoked or gone is success."""
        ...

    async def disprove(
        self, spec: CredentialSpec, issued: Issued, value: Secret | None
    ) -> Evidence:
        """The negative proof: try a revoked value. `NotYet` while it is still accepted.

        Without the value (an adopted one) the best other evidence, and says so.
        """
        ...

    async def holdings(self, spec: CredentialSpec) -> Sequence[Issued]:
        """Everything alive at this credential's place: adopted, ours, left over."""
        ...

    def render(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Secret:
        """The text that targets receive (a token as it is, a peer as a wg-quick file). Pure."""
        ...

    def entropy_bits(self, params: Params) -> int | None:
        """Randomness of a generated value in bits; None where the issuer makes it."""
        ...

    def calls(self, spec: CredentialSpec) -> Mapping[str, tuple[str, ...]]:
        """For plans: API calls by step name (`mint`, `prove`, `retire`), in order."""
        ...


@dataclass(frozen=True)
class TargetState:
    """What a target shows without giving the value away. `marker` changes with the value."""

    marker: str
    changed_at: datetime | None = None


@dataclass(frozen=True)
class Receipt:
    """What a delivery answered. `secrets_version` only for app secrets."""

    marker: str
    secrets_version: int | None = None
    request_id: str | None = None


class Target(Protocol):
    """A place that values are delivered to. `type` is the manifest's word."""

    type: str
    fields: tuple[Field, ...]

    def check(self, params: Params) -> str | None:
        """What is wrong with these fields together, or None. Pure."""
        ...

    def key(self, params: Params) -> str:
        """Unique text among all targets (`fly-secret:web/SESSION_KEY`). Pure."""
        ...

    def app(self, params: Params) -> str | None:
        """The app whose machines read the value, or None. Pure."""
        ...

    def secret_name(self, params: Params) -> str | None:
        """The name under which the app's machines read it, or None. Pure."""
        ...

    async def inspect(self, spec: TargetSpec) -> TargetState | None:
        """What stands there now; None if nothing does. Reads only."""
        ...

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        """Write the value. Writing the same value again is harmless. Also used to restore."""
        ...

    async def confirm(self, spec: TargetSpec, receipt: Receipt) -> Evidence:
        """See that the target shows what was delivered. `NotYet` while it does not;
        `Drift` when somebody else has written something different since."""
        ...

    async def remove(self, spec: TargetSpec) -> Receipt:
        """Take the value away: the undo of a first delivery. Removing nothing is success."""
        ...

    def calls(self, spec: TargetSpec) -> Mapping[str, tuple[str, ...]]:
        """For plans: API calls by step name (`deliver`, `confirm`), in order."""
        ...


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


@dataclass(frozen=True)
class EventQuery:
    """A filter over the audit log. None means any. Newest first; `before` pages on."""

    app: str | None = None
    kind: str | None = None
    credential: str | None = None
    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    rotation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50


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
class Checkpoint:
    """A signed statement that the log had this head."""

    sequence: int
    hash: str
    signed_at: datetime
    key_id: str
    signature: str


class Unit(Protocol):
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
        self, *, status: CredentialStatus | None = None
    ) -> Sequence[Credential]: ...
    async def save_credential(self, credential: Credential) -> None:
        """Insert or replace by id."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Credential]:
        """Managed credentials with `due_at <= now`, oldest first, without an ACTIVE rotation."""
        ...

    # versions
    async def versions(self, credential_id: str) -> Sequence[Version]:
        """All, oldest first."""
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

    async def expiring(self, before: datetime, limit: int) -> Sequence[Version]:
        """Current versions whose `issued.expires_at` is before this."""
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
        """Rotations with `resume_at <= now` and no live claim, oldest wish first."""
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
    async def rollouts(self, *, app: str | None = None, limit: int = 50) -> Sequence[Rollout]: ...
    async def rollouts_of(self, rotation_id: str) -> Sequence[Rollout]: ...
    async def rotations_of(self, rollout_id: str) -> Sequence[str]: ...
    async def open_rollout(self, app: str) -> Rollout | None:
        """The RUNNING one of this app, left by a crash or held by somebody."""
        ...

    async def save_rollout(self, rollout: Rollout, lock: AppLock) -> None:
        """Insert or replace. `ClaimLost` if the lock has passed on."""
        ...

    async def link_rollout(self, rollout_id: str, rotation_id: str) -> None:
        """Record that this rollout serves this rotation. Idempotent."""
        ...

    async def machine_restarts(self, rollout_id: str) -> Sequence[MachineRestart]: ...
    async def save_machine_restart(self, restart: MachineRestart, lock: AppLock) -> None: ...
    async def confirmed_instance(self, app: str, machine_id: str) -> MachineRestart | None:
        """The newest successful restart of this machine by any rollout."""
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

    # events
    async def append(self, *events: Event) -> None:
        """Put events at the end of the log, chained, without gaps, in the order of the calls.

        They take their place at the end of the transaction, so that the log's end is locked as
        late and as briefly as can be."""
        ...

    async def events(self, query: EventQuery) -> Sequence[LoggedEvent]:
        """Newest first."""
        ...

    async def events_after(self, sequence: int, limit: int) -> Sequence[LoggedEvent]:
        """In order, for verification and exports."""
        ...

    async def head(self) -> LoggedEvent | None: ...
    async def save_checkpoint(self, checkpoint: Checkpoint) -> None: ...
    async def checkpoints(self) -> Sequence[Checkpoint]:
        """In order."""
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


class Authority(Protocol):
    """What rotator's own API token may do, read from the token itself where it can be."""

    async def missing(self, spec: CredentialSpec) -> Sequence[str]:
        """The rights that rotating this credential needs and the token lacks, a sentence each.

        Makes no outside call. Empty for a token that can't be read (a personal one)."""
        ...


class Signer(Protocol):
    """Signs checkpoints of the audit log."""

    key_id: str

    def sign(self, message: bytes) -> str:
        """A signature as base64 text."""
        ...

    def verify(self, message: bytes, signature: str) -> bool:
        """Whether this key made the signature."""
        ...


class CallCount(Protocol):
    """How many outside calls were made in a scope."""

    count: int


class CallMeter(Protocol):
    """Counts the calls to Fly that the enclosed code makes, tasks that it starts included."""

    def counting(self) -> AbstractContextManager[CallCount]:
        """Open a scope; scopes of different tasks do not mix."""
        ...


__all__ = [
    "AppLock",
    "Authority",
    "CallCount",
    "CallMeter",
    "Checkpoint",
    "Clock",
    "Entropy",
    "EventQuery",
    "Evidence",
    "Fleet",
    "Kind",
    "MintRequest",
    "Minted",
    "Receipt",
    "Signer",
    "Store",
    "Target",
    "TargetState",
    "Unit",
    "WorkerRecord",
]
