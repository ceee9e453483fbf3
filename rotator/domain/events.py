"""The audit log (P7): one schema, a closed list of actions, and how events become hashed rows.

An event's *leaf bytes* are the JSON array of its row's columns in the order of `LEAF_COLUMNS`,
without spaces, non-ASCII characters as they are: what is hashed is what the database holds, so that
a change of any column shows. Where the event stands is not in them: its place in the Merkle tree
says so (`domain.merkle`). The chain links each row to the one before it: SHA-256 over the previous
hash and the leaf's. Events of version 1 were hashed as a JSON object with their sequence in it, and
go on to verify. What each field means is in `domain.event_fields`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

import orjson

from rotator.domain.merkle import leaf_hash
from rotator.domain.rotation import Actor

SCHEMA_VERSION: Final = 2
GENESIS: Final = "0" * 64
"""`previous` of the first event."""
LEAF_COLUMNS: Final = (
    "version",
    "at",
    "action",
    "outcome",
    "actor_kind",
    "actor_name",
    "actor_host",
    "actor_uid",
    "actor_machine",
    "actor_region",
    "reason",
    "credential",
    "kind",
    "organization",
    "app",
    "target",
    "machine",
    "rotation_id",
    "rollout_id",
    "request_id",
    "detail",
)
ROW_COLUMNS: Final = ("sequence", "previous", "hash", *LEAF_COLUMNS)
"""A row as it is read for verification and archives. Times are microseconds since 1970."""
LEAF_STARTS: Final = 3
VERSION_AT: Final = 3
LogRow: TypeAlias = tuple[int | str | None, ...]
LeafRow: TypeAlias = tuple[int, str, str, int, bytes, int, str, str]
"""A row with its leaf bytes made by the database: sequence, previous, hash, version, leaf bytes,
time, the actor's kind and name. They prove nothing until they are hashed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Action(StrEnum):
    """Everything that an event can tell. The list only grows."""

    MANIFEST_APPLIED = "manifest.applied"
    CREDENTIAL_ADDED = "credential.added"
    CREDENTIAL_CHANGED = "credential.changed"
    CREDENTIAL_UNMANAGED = "credential.unmanaged"
    CREDENTIAL_DUE = "credential.due"
    CREDENTIAL_OVERDUE = "credential.overdue"
    CREDENTIAL_WOULD_ROTATE = "credential.would-rotate"
    CREDENTIAL_TAINTED = "credential.tainted"
    CREDENTIAL_CREATOR_LEFT = "credential.creator-left"
    VERSION_ADOPTED = "version.adopted"
    VERSION_PROMOTED = "version.promoted"
    VERSION_REVOKED = "version.revoked"
    VERSION_DISCARDED = "version.discarded"
    VERSION_EXPIRING = "version.expiring"
    VERSION_EXPIRED = "version.expired"
    VERSION_TOO_OLD = "version.too-old"
    VERSION_GONE = "version.gone"
    TARGET_CHANGED = "target.changed"
    TARGET_CONTESTED = "target.contested"
    TARGET_SETTLED = "target.settled"
    POSTURE_OPENED = "posture.opened"
    POSTURE_REOPENED = "posture.reopened"
    POSTURE_CHANGED = "posture.changed"
    POSTURE_SUPPRESSED = "posture.suppressed"
    POSTURE_RESOLVED = "posture.resolved"
    POSTURE_LOOKED = "posture.looked"
    CERTIFICATE_EXPIRING = "certificate.expiring"
    CERTIFICATE_EXPIRED = "certificate.expired"
    CERTIFICATE_RENEWED = "certificate.renewed"
    CERTIFICATE_CHECKING = "certificate.checking"
    CERTIFICATE_CHECKED = "certificate.checked"
    LEAK_REPORTED = "leak.reported"
    LEAK_REVOKED = "leak.revoked"
    LEAK_WAITING = "leak.waiting"
    LEAK_APPROVED = "leak.approved"
    LEAK_REFUSED = "leak.refused"
    LEAK_LAPSED = "leak.lapsed"
    LEAK_ENDED = "leak.ended"
    HOOK_RECEIVED = "hook.received"
    HOOK_REJECTED = "hook.rejected"
    LEFTOVER_FOUND = "leftover.found"
    LEFTOVER_REVOKED = "leftover.revoked"
    ROTATION_REQUESTED = "rotation.requested"
    ROTATION_STARTED = "rotation.started"
    ROTATION_UNDOING = "rotation.undoing"
    ROTATION_SUCCEEDED = "rotation.succeeded"
    ROTATION_ROLLED_BACK = "rotation.rolled-back"
    ROTATION_PARKED = "rotation.parked"
    ROTATION_RETRIED = "rotation.retried"
    ROTATION_ABORTED = "rotation.aborted"
    ROTATION_UNDO_REQUESTED = "rotation.undo-requested"
    ROTATION_RECOVERED = "rotation.recovered"
    STEP_INTENDED = "step.intended"
    STEP_DONE = "step.done"
    STEP_WAITING = "step.waiting"
    STEP_FAILED = "step.failed"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_ENDED = "rollout.ended"
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_RESUMED = "rollout.resumed"
    ROLLOUT_WAITING = "rollout.waiting"
    ROLLOUT_OVERTAKEN = "rollout.overtaken"
    RELEASE_CREATING = "release.creating"
    RELEASE_CREATED = "release.created"
    RELEASE_ENDED = "release.ended"
    REHEARSAL_STARTED = "rehearsal.started"
    REHEARSAL_ENDED = "rehearsal.ended"
    MACHINE_DRAINING = "machine.draining"
    MACHINE_UPDATING = "machine.updating"
    MACHINE_CLONING = "machine.cloning"
    MACHINE_REPLACED = "machine.replaced"
    MACHINE_DESTROYING = "machine.destroying"
    MACHINE_DESTROYED = "machine.destroyed"
    MACHINE_RESTARTED = "machine.restarted"
    KEYS_REWRAPPED = "keys.rewrapped"
    WORKER_STARTED = "worker.started"
    WORKER_STOPPED = "worker.stopped"
    CHECKPOINT_SIGNED = "checkpoint.signed"
    AUDIT_ARCHIVED = "audit.archived"
    DELIVERY_FAILING = "delivery.failing"
    DELIVERY_RESUMED = "delivery.resumed"


class Outcome(StrEnum):
    """How it went. INTENT stands before an effect, the others after it."""

    INTENT = "intent"
    OK = "ok"
    WAITING = "waiting"
    FAILED = "failed"
    UNKNOWN = "unknown"
    INFO = "info"


@dataclass(frozen=True)
class Event:
    """What happened, before it has a place in the log. No value is ever in it (P6)."""

    action: Action
    outcome: Outcome
    actor: Actor
    at: datetime
    reason: str = ""
    credential: str | None = None
    kind: str | None = None
    organization: str | None = None
    app: str | None = None
    target: str | None = None
    machine: str | None = None
    rotation_id: str | None = None
    rollout_id: str | None = None
    request_id: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedEvent:
    """An event in its place: `sequence` has no gaps, `hash` covers `previous` and the event.

    `version` is the schema that the event was written under.
    """

    sequence: int
    event: Event
    previous: str
    hash: str
    version: int = SCHEMA_VERSION


def leaf_values(event: Event) -> LogRow:
    """The columns of a new event that are hashed."""
    actor = event.actor
    return (
        SCHEMA_VERSION,
        (event.at - _EPOCH) // _MICROSECOND,
        event.action.value,
        event.outcome.value,
        actor.kind,
        actor.name,
        actor.host,
        actor.uid,
        actor.machine,
        actor.region,
        event.reason,
        event.credential,
        event.kind,
        event.organization,
        event.app,
        event.target,
        event.machine,
        event.rotation_id,
        event.rollout_id,
        event.request_id,
        json.dumps(dict(event.detail), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    )


def leaf_bytes(row: LogRow, sequence: int | None = None) -> bytes:
    """The bytes of a row's leaf. `sequence` is another place that it may have been written for,
    which only the first version's bytes tell.

    Raises:
        ValueError: no rotator wrote such a row.
    """
    if row[VERSION_AT] != 1:
        return orjson.dumps(row[LEAF_STARTS:])
    event = to_event(row).event
    if event.actor != Actor(event.actor.kind, event.actor.name):
        raise ValueError("the first version knew no more of an actor than kind and name")
    return _first_version(event, row[0] if sequence is None else sequence)


def _first_version(event: Event, sequence: int | str | None) -> bytes:
    fields = {
        "v": 1,
        "sequence": sequence,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": [event.actor.kind, event.actor.name],
        "action": event.action.value,
        "outcome": event.outcome.value,
        "reason": event.reason,
        "credential": event.credential,
        "kind": event.kind,
        "organization": event.organization,
        "app": event.app,
        "target": event.target,
        "machine": event.machine,
        "rotation_id": event.rotation_id,
        "rollout_id": event.rollout_id,
        "request_id": event.request_id,
        "detail": dict(event.detail),
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def chained(previous: str, row: LogRow, data: bytes) -> str:
    """The chain's hash behind a row with these leaf bytes, in hex."""
    if row[VERSION_AT] == 1:
        return hashlib.sha256(bytes.fromhex(previous) + data).hexdigest()
    return chain_hash(previous, leaf_hash(data))


def chain_hash(previous: str, leaf: bytes) -> str:
    """SHA-256 over the previous hash and a leaf's, in hex."""
    return hashlib.sha256(bytes.fromhex(previous) + leaf).hexdigest()


def to_event(row: LogRow) -> LoggedEvent:
    """A row as an event.

    Raises:
        ValueError: no rotator wrote such a row.
    """
    sequence, previous, found, version, at, action, outcome, *more = row
    if not isinstance(at, int) or not isinstance(version, int):
        raise ValueError("a number is missing")
    actor_kind, actor_name, host, uid, worker_machine, region, reason, *about, detail = more
    credential, kind, organization, app, target, machine, *ids = (_text(each) for each in about)
    rotation_id, rollout_id, request_id = ids
    event = Event(
        action=Action(str(action)),
        outcome=Outcome(str(outcome)),
        actor=Actor(
            kind=str(actor_kind),
            name=str(actor_name),
            host=_text(host),
            uid=None if uid is None else int(uid),
            machine=_text(worker_machine),
            region=_text(region),
        ),
        at=_EPOCH + _MICROSECOND * at,
        reason=str(reason),
        credential=credential,
        kind=kind,
        organization=organization,
        app=app,
        target=target,
        machine=machine,
        rotation_id=rotation_id,
        rollout_id=rollout_id,
        request_id=request_id,
        detail={str(k): str(v) for k, v in orjson.loads(str(detail)).items()},
    )
    return LoggedEvent(int(sequence or 0), event, str(previous), str(found), version)


def _text(value: int | str | None) -> str | None:
    return None if value is None else str(value)


def to_row(logged: LoggedEvent) -> LogRow:
    """An event as its row, as it was written under its version."""
    values = leaf_values(logged.event)
    return (logged.sequence, logged.previous, logged.hash, logged.version, *values[1:])


def place(event: Event, *, after: LoggedEvent | None) -> LoggedEvent:
    """Give an event the place behind `after` (None for the first one)."""
    sequence = after.sequence + 1 if after else 1
    previous = after.hash if after else GENESIS
    found = chain_hash(previous, leaf_hash(orjson.dumps(leaf_values(event))))
    return LoggedEvent(sequence, event, previous, found, SCHEMA_VERSION)


def row_problem(row: LogRow, sequence: int, previous: str) -> str | None:
    """What is wrong with a row that should stand here, or None. Hashes only its own content."""
    if row[0] != sequence:
        return "number"
    if row[1] != previous:
        return "link"
    return None if is_sound(row) else "hash"


def is_sound(row: LogRow, sequence: int | None = None) -> bool:
    """Whether a row's own hash covers what it holds, wherever it stands."""
    try:
        return chained(str(row[1]), row, leaf_bytes(row, sequence)) == row[2]
    except (ValueError, TypeError):
        return False


def leaf_of(row: LogRow, sequence: int | None = None) -> bytes | None:
    """A row's leaf hash; None where no rotator wrote such a row."""
    try:
        return leaf_hash(leaf_bytes(row, sequence))
    except (ValueError, TypeError):
        return None


class Damage(StrEnum):
    """What can be wrong with a log."""

    EDITED = "edited"
    DELETED = "deleted"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"


@dataclass(frozen=True)
class Fault:
    """The first bad place of a log."""

    sequence: int
    damage: Damage
    message: str
