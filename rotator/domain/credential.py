"""Credentials and their versions: what is tracked, and each value that was issued for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rotator.domain.fields import Params
from rotator.domain.policy import Policy, RolloutPolicy


@dataclass(frozen=True)
class TargetSpec:
    """One place that the value is delivered to, as the manifest declares it.

    `key` is unique among all targets, e.g. `fly-secret:web/SESSION_KEY` or `file:/etc/wg.conf`.
    `app` is the app whose machines read the value; None where no machine does.
    """

    type: str
    key: str
    params: Params
    app: str | None = None
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)


class CredentialMode(StrEnum):
    """Whether rotator acts, or only looks: ages, expiries, drift, and what it would do."""

    ROTATE = "rotate"
    OBSERVE = "observe"


@dataclass(frozen=True)
class CredentialSpec:
    """What the manifest says of one credential. `place` is unique: where it lives at the issuer.

    `derived_from` names credentials that this one could be had with: whoever holds one of them has
    to be thought to hold this one as well.
    """

    name: str
    kind: str
    organization: str
    place: str
    params: Params
    targets: tuple[TargetSpec, ...]
    policy: Policy
    owner: str | None = None
    runbook: str | None = None
    mode: CredentialMode = CredentialMode.ROTATE
    derived_from: tuple[str, ...] = ()

    @property
    def observed(self) -> bool:
        """Whether rotator must change nothing about it."""
        return self.mode is CredentialMode.OBSERVE


class CredentialStatus(StrEnum):
    """Whether the manifest still asks for it."""

    MANAGED = "managed"
    UNMANAGED = "unmanaged"


@dataclass(frozen=True)
class Credential:
    """A tracked credential: the spec, and what the database adds to it.

    `due_at` is the next instant at which it is due, None for never; the database finds what is
    due by it alone.
    """

    id: str
    spec: CredentialSpec
    status: CredentialStatus
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """The unique name."""
        return self.spec.name


class VersionState(StrEnum):
    """The life of one issued value."""

    PENDING = "pending"
    CURRENT = "current"
    RETIRING = "retiring"
    REVOKED = "revoked"
    DISCARDED = "discarded"


VERSION_MOVES: Mapping[VersionState, frozenset[VersionState]] = {
    VersionState.PENDING: frozenset({VersionState.CURRENT, VersionState.DISCARDED}),
    VersionState.CURRENT: frozenset(
        {VersionState.RETIRING, VersionState.REVOKED, VersionState.DISCARDED}
    ),
    VersionState.RETIRING: frozenset({VersionState.REVOKED, VersionState.CURRENT}),
    VersionState.REVOKED: frozenset(),
    VersionState.DISCARDED: frozenset(),
}
"""Which state may follow which. CURRENT to REVOKED happens with `--revoke-first` only; CURRENT to
DISCARDED and RETIRING to CURRENT when a rotation is undone within its overlap."""


@dataclass(frozen=True)
class Issued:
    """What an issuer holds for one value. Nothing in it is secret.

    `ref` is the issuer's id; `facts` are public details that later steps need (a peer's address,
    the gateway's key, ...).
    """

    ref: str
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Version:
    """One issued value of a credential. The value itself is sealed in the store.

    `issued` is None until the issuer has answered. `sealed` tells whether the store holds the
    value: False for adopted ones and after it was erased.
    """

    id: str
    credential_id: str
    rotation_id: str | None
    state: VersionState
    issued: Issued | None
    sealed: bool
    created_at: datetime
    promoted_at: datetime | None = None
    revoke_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def since(self) -> datetime:
        """When it began to be valid, as far as that is known."""
        made = self.issued.created_at if self.issued is not None else None
        return made or self.promoted_at or self.created_at

    @property
    def adopted(self) -> bool:
        """Found at the issuer, not made by rotator: its value was never known."""
        return self.rotation_id is None
