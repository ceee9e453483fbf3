"""The tables of the database in memory, and what the parts of its units share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from rotator.domain.alert import Alert
from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.drift import TargetWatch
from rotator.domain.errors import InputError
from rotator.domain.events import LoggedEvent
from rotator.domain.hook import Delivery
from rotator.domain.merkle import Frontier
from rotator.domain.ports import AppLock, Archive, Checkpoint, Clock, LogCursor, WorkerRecord
from rotator.domain.posture.record import FindingRecord, PostureLook
from rotator.domain.rotation import (
    ACTIVE,
    OPEN_ROLLOUTS,
    MachineRestart,
    Rollout,
    Rotation,
    Step,
)
from rotator.domain.taint import Taint
from rotator.store.memory.tables import (
    Table,
    Transaction,
    name_taken,
    rolling_out,
    under_way,
)
from rotator.store.sealing import KeyRing


@dataclass(frozen=True)
class RotationRow:
    """A rotation and the claim on it."""

    rotation: Rotation
    fence: int = 0
    worker_id: str | None = None
    claim_expires_at: datetime | None = None


@dataclass(frozen=True)
class LockRow:
    """An app's lock; free without a holder."""

    fence: int
    holder: str | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, lock: AppLock) -> LockRow:
        """A lock that is held."""
        return cls(lock.fence, lock.holder, lock.expires_at)


@dataclass(frozen=True)
class RestartRow:
    """A machine's restart, and its app."""

    restart: MachineRestart
    app: str


def _current(version: Version) -> str | None:
    return version.credential_id if version.state is VersionState.CURRENT else None


def _active(row: RotationRow) -> str | None:
    return row.rotation.credential_id if row.rotation.state in ACTIVE else None


def _wanting(row: RotationRow) -> bool | None:
    return None if row.rotation.resume_at is None else True


KEPT_LEVELS: Final = 8
"""Of the tree's inner levels every eighth is kept, as on the databases."""


@dataclass
class LogTree:
    """The Merkle tree over the committed events, and its kept nodes by level."""

    frontier: Frontier = field(default_factory=Frontier)
    levels: dict[int, list[bytes]] = field(default_factory=dict)

    def push(self, leaf: bytes) -> None:
        """Append one leaf."""
        self.levels.setdefault(0, []).append(leaf)
        for node, found in self.frontier.push(0, leaf):
            if node.level % KEPT_LEVELS == 0:
                self.levels.setdefault(node.level, []).append(found)


@dataclass
class Database:
    """Everything that is committed."""

    credentials: Table[Credential] = field(
        default_factory=lambda: Table(
            "credentials", unique={"credential_name": lambda r: r.name}, taken=name_taken
        )
    )
    versions: Table[Version] = field(
        default_factory=lambda: Table(
            "versions",
            indexes={"credential": lambda r: r.credential_id, "state": lambda r: r.state},
            unique={"uq_versions_current": _current},
        )
    )
    sealed: Table[bytes] = field(default_factory=lambda: Table("sealed_values"))
    rotations: Table[RotationRow] = field(
        default_factory=lambda: Table(
            "rotations",
            indexes={
                "credential": lambda r: r.rotation.credential_id,
                "state": lambda r: r.rotation.state,
                "wanting": _wanting,
            },
            unique={"uq_rotations_active": _active},
            taken=under_way,
        )
    )
    steps: Table[Step] = field(
        default_factory=lambda: Table(
            "steps",
            indexes={"rotation": lambda r: r.rotation_id},
            unique={"uq_steps_position": lambda r: (r.rotation_id, r.position)},
        )
    )
    rollouts: Table[Rollout] = field(
        default_factory=lambda: Table(
            "rollouts",
            indexes={"app": lambda r: r.app, "state": lambda r: r.state},
            unique={"uq_rollouts_open": lambda r: r.app if r.state in OPEN_ROLLOUTS else None},
            taken=rolling_out,
        )
    )
    links: Table[tuple[str, str]] = field(
        default_factory=lambda: Table(
            "rollout_rotations",
            indexes={"rollout": lambda r: r[0], "rotation": lambda r: r[1]},
        )
    )
    restarts: Table[RestartRow] = field(
        default_factory=lambda: Table(
            "machine_restarts",
            indexes={
                "rollout": lambda r: r.restart.rollout_id,
                "machine": lambda r: (r.app, r.restart.machine_id),
            },
        )
    )
    gates: Table[str] = field(default_factory=lambda: Table("disruption_gates"))
    locks: Table[LockRow] = field(default_factory=lambda: Table("app_locks"))
    ledger: Table[int] = field(default_factory=lambda: Table("app_secrets_versions"))
    checkpoints: Table[Checkpoint] = field(default_factory=lambda: Table("checkpoints"))
    workers: Table[WorkerRecord] = field(default_factory=lambda: Table("workers"))
    archives: Table[Archive] = field(default_factory=lambda: Table("archives"))
    cursors: Table[LogCursor] = field(default_factory=lambda: Table("log_cursors"))
    dropped: Table[int] = field(default_factory=lambda: Table("dropped_events"))
    watches: Table[TargetWatch] = field(default_factory=lambda: Table("target_watches"))
    taints: Table[Taint] = field(default_factory=lambda: Table("taints"))
    looks: Table[PostureLook] = field(default_factory=lambda: Table("posture_looks"))
    findings: Table[FindingRecord] = field(default_factory=lambda: Table("findings"))
    deliveries: Table[Delivery] = field(default_factory=lambda: Table("hook_deliveries"))
    alerts: Table[Alert] = field(default_factory=lambda: Table("leak_alerts"))
    leaked: Table[bytes] = field(default_factory=lambda: Table("leak_values"))
    tree: LogTree = field(default_factory=LogTree)
    events: list[LoggedEvent] = field(default_factory=list)


Detailed = TypeVar("Detailed")


def own_copy(detail: Mapping[str, str]) -> Mapping[str, str]:
    """A detail that nobody else can change any more."""
    return dict(detail)


class UnitBase:
    """One open transaction."""

    def __init__(
        self, database: Database, transaction: Transaction, ring: KeyRing | None, clock: Clock
    ) -> None:
        self._db, self._tx = database, transaction
        self._ring, self._clock = ring, clock

    async def database_now(self) -> datetime:
        """The database's clock."""
        return self._clock.now()

    def _keys(self) -> KeyRing:
        if self._ring is None:
            raise InputError(
                "values can't be sealed or opened without a key-encryption key",
                where="ROTATOR_KEYS",
                next_step="set ROTATOR_KEYS; `rotator init` prints a fresh key",
            )
        return self._ring


def with_claim_freed(row: RotationRow) -> RotationRow:
    """The row without a holder; its fence stays."""
    return replace(row, worker_id=None, claim_expires_at=None)
