"""The audit log: one schema, a closed list of actions, and the hash chain (P7)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from rotator.domain.rotation import Actor

SCHEMA_VERSION: Final = 1
GENESIS: Final = "0" * 64
"""`previous` of the first event."""


class Action(StrEnum):
    """Everything that an event can tell. The list only grows."""

    MANIFEST_APPLIED = "manifest.applied"
    CREDENTIAL_ADDED = "credential.added"
    CREDENTIAL_CHANGED = "credential.changed"
    CREDENTIAL_UNMANAGED = "credential.unmanaged"
    CREDENTIAL_DUE = "credential.due"
    CREDENTIAL_OVERDUE = "credential.overdue"
    VERSION_ADOPTED = "version.adopted"
    VERSION_PROMOTED = "version.promoted"
    VERSION_REVOKED = "version.revoked"
    VERSION_DISCARDED = "version.discarded"
    VERSION_EXPIRING = "version.expiring"
    VERSION_GONE = "version.gone"
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
    WORKER_STARTED = "worker.started"
    WORKER_STOPPED = "worker.stopped"
    CHECKPOINT_SIGNED = "checkpoint.signed"


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
    """An event in its place: `sequence` has no gaps, `hash` covers `previous` and the event."""

    sequence: int
    event: Event
    previous: str
    hash: str


def canonical(sequence: int, event: Event) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, no spaces, UTC times in microseconds."""
    fields = {
        "v": SCHEMA_VERSION,
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


def chain_hash(previous: str, sequence: int, event: Event) -> str:
    """SHA-256 over the previous hash and the event's canonical bytes, in hex."""
    return hashlib.sha256(bytes.fromhex(previous) + canonical(sequence, event)).hexdigest()


def place(event: Event, *, after: LoggedEvent | None) -> LoggedEvent:
    """Give an event the place behind `after` (None for the first one)."""
    sequence = after.sequence + 1 if after else 1
    previous = after.hash if after else GENESIS
    return LoggedEvent(sequence, event, previous, chain_hash(previous, sequence, event))


class Damage(StrEnum):
    """What can be wrong with a log."""

    EDITED = "edited"
    MISSING = "missing"
    RELINKED = "relinked"


@dataclass(frozen=True)
class Fault:
    """The first bad place of a log."""

    sequence: int
    damage: Damage
    message: str


def first_fault(events: Iterable[LoggedEvent], after: LoggedEvent | None = None) -> Fault | None:
    """Walk a log in order and name its first bad row, or None where the chain holds."""
    expected = after.sequence + 1 if after else 1
    previous = after.hash if after else GENESIS
    for logged in events:
        if logged.sequence != expected:
            return Fault(
                expected,
                Damage.MISSING,
                f"event {expected} is missing: after {expected - 1} comes {logged.sequence}",
            )
        if logged.previous != previous:
            return Fault(
                expected,
                Damage.RELINKED,
                f"event {expected} does not follow event {expected - 1}: "
                "a row was inserted, reordered or rewritten",
            )
        if chain_hash(previous, logged.sequence, logged.event) != logged.hash:
            return Fault(
                expected, Damage.EDITED, f"event {expected} was edited after it was written"
            )
        expected += 1
        previous = logged.hash
    return None
