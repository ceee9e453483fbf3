"""What the engine needs of the world, each a Protocol with its contract.

Conventions that hold for every port:
- an adapter raises errors of `domain.errors` only, and says truthfully whether an effect may have
  happened: `Unavailable` when it can't have, `OutcomeUnknown` when it may have;
- an adapter never retries a change whose outcome it does not know: the engine looks first;
- every call ends within a bound of the adapter's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from rotator.domain.credential import (
    CredentialSpec,
    Issued,
    TargetSpec,
)
from rotator.domain.fields import Field, Params
from rotator.domain.fleet_port import Fleet, Prober, Releases
from rotator.domain.log_port import Archive, Checkpoint, EventQuery, LogCursor, LogHead
from rotator.domain.secret import Secret
from rotator.domain.store_port import (
    AppLock,
    Store,
    Unit,
    WorkerRecord,
)


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

    def fits(self, spec: CredentialSpec, now: datetime) -> str | None:
        """What is wrong with its fields, policy and targets taken together, or None. Pure."""
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


@runtime_checkable
class Traceable(Protocol):
    """A kind whose values can be recognised in copies that were changed on the way."""

    def traced(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Issued:
        """What is kept of a version, with the facts of `domain.lineage`. Pure."""
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


class Authority(Protocol):
    """What rotator's own API token may do, read from the token itself where it can be."""

    async def missing(self, spec: CredentialSpec) -> Sequence[str]:
        """The rights that rotating this credential needs and the token lacks, a sentence each.

        Makes no outside call. Empty for a token that can't be read (a personal one)."""
        ...


class Signer(Protocol):
    """Signs checkpoints of the audit log with Ed25519.

    `public_keys` are those of all keys that are held, the signing one first: what an earlier key
    has signed goes on to verify.
    """

    public_keys: Sequence[bytes]

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes, by the first key."""
        ...


class CallCount(Protocol):
    """How many outside calls were made in a scope."""

    count: int


class CallMeter(Protocol):
    """Watches the calls to Fly that the enclosed code makes, tasks that it starts included."""

    def counting(self) -> AbstractContextManager[CallCount]:
        """Open a scope; scopes of different tasks do not mix."""
        ...

    def only_while(self, lasts: Callable[[], bool]) -> AbstractContextManager[None]:
        """Let no call out once `lasts` says no: it raises `ClaimLost` instead of being made."""
        ...

    def ask(self) -> None:
        """Raise `ClaimLost` where no call would be let out: for effects that are no calls."""
        ...


__all__ = [
    "AppLock",
    "Archive",
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
    "LogCursor",
    "LogHead",
    "MintRequest",
    "Minted",
    "Prober",
    "Receipt",
    "Releases",
    "Signer",
    "Store",
    "Target",
    "TargetState",
    "Traceable",
    "Unit",
    "WorkerRecord",
]
