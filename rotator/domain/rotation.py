"""Rotations, their steps and rollouts: the rows of the journal as types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rotator.domain.policy import RolloutPolicy


class RotationState(StrEnum):
    """Where a rotation stands. The three last ones are ends (P5)."""

    QUEUED = "queued"
    RUNNING = "running"
    RETIRING = "retiring"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    PARKED = "parked"


ROTATION_MOVES: Mapping[RotationState, frozenset[RotationState]] = {
    RotationState.QUEUED: frozenset(
        {RotationState.RUNNING, RotationState.PARKED, RotationState.ROLLED_BACK}
    ),
    RotationState.RUNNING: frozenset(
        {RotationState.RETIRING, RotationState.UNDOING, RotationState.PARKED}
    ),
    RotationState.RETIRING: frozenset(
        {RotationState.SUCCEEDED, RotationState.UNDOING, RotationState.PARKED}
    ),
    RotationState.UNDOING: frozenset({RotationState.ROLLED_BACK, RotationState.PARKED}),
    RotationState.PARKED: frozenset(
        {
            RotationState.QUEUED,
            RotationState.RUNNING,
            RotationState.RETIRING,
            RotationState.UNDOING,
            RotationState.ROLLED_BACK,
        }
    ),
    RotationState.SUCCEEDED: frozenset(),
    RotationState.ROLLED_BACK: frozenset(),
}
"""Which state may follow which. Only a person moves a rotation out of PARKED."""

ENDED = frozenset({RotationState.SUCCEEDED, RotationState.ROLLED_BACK, RotationState.PARKED})
ACTIVE = frozenset({RotationState.QUEUED, RotationState.RUNNING, RotationState.UNDOING})
"""States of which a credential has at most one rotation at a time (P3)."""


class Mode(StrEnum):
    """How fast the old value goes."""

    NORMAL = "normal"
    EMERGENCY = "emergency"
    REVOKE_FIRST = "revoke-first"


class StepName(StrEnum):
    """The steps of the protocol, forwards and back."""

    MINT = "mint"
    PROVE = "prove"
    DELIVER = "deliver"
    ROLL_OUT = "roll-out"
    CONFIRM = "confirm"
    PROMOTE = "promote"
    RETIRE = "retire"
    RESTORE = "restore"
    ROLL_BACK = "roll-back"
    DISCARD = "discard"


class StepState(StrEnum):
    """The life of a step. INTENDED without an outcome means: the effect may have happened."""

    PLANNED = "planned"
    INTENDED = "intended"
    DONE = "done"
    WAITING = "waiting"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One journaled unit with one outside effect.

    `subject` is the target key or the app that the step is about, "" otherwise. `attempt` counts
    intents. `detail` is public: what the effect answered (digest, secrets version, evidence).
    """

    id: str
    rotation_id: str
    position: int
    name: StepName
    subject: str
    state: StepState
    attempt: int = 0
    intent_at: datetime | None = None
    outcome_at: datetime | None = None
    not_before: datetime | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    request_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the walk may go on past this step."""
        return self.state in (StepState.DONE, StepState.SKIPPED)


class ActorKind(StrEnum):
    """What kinds of actors there are."""

    USER = "user"
    WORKER = "worker"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"


@dataclass(frozen=True)
class Actor:
    """Who caused something: a person at the CLI, the schedule, a worker on its own, a webhook.

    `name` tells actors of one kind apart. A person has a host and a uid, a worker a host and, on
    Fly, the machine and region that it runs in.
    """

    kind: str
    name: str
    host: str | None = None
    uid: int | None = None
    machine: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class Parked:
    """Why a rotation stopped for a person: the cause, what is safe, and the one next command."""

    cause: str
    safe: str
    next_command: str


@dataclass(frozen=True)
class Rotation:
    """One run of the protocol for one credential.

    `resume_at` is when it next wants a worker (None once ended). `old_version_id` is what it
    replaces, None for the first value. `remints` counts values that the issuer refused.
    `abort_requested_at` asks the worker that holds the claim to turn back at the next step or wave.
    """

    id: str
    credential_id: str
    credential_name: str
    state: RotationState
    mode: Mode
    actor: Actor
    reason: str
    reason_code: str
    old_version_id: str | None
    new_version_id: str | None
    requested_at: datetime
    resume_at: datetime | None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    remints: int = 0
    parked: Parked | None = None
    api_calls: int = 0
    abort_requested_at: datetime | None = None


@dataclass(frozen=True)
class Claim:
    """A worker's time-limited right to advance a rotation. `fence` only grows."""

    rotation_id: str
    worker_id: str
    fence: int
    expires_at: datetime


class RolloutState(StrEnum):
    """The life of a rollout. PAUSED waits for a person; PARTIAL ended within its failure budget."""

    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    ABANDONED = "abandoned"


OPEN_ROLLOUTS = frozenset({RolloutState.RUNNING, RolloutState.PAUSED})
"""States of which an app has at most one rollout at a time (P3)."""


class RolloutWish(StrEnum):
    """What a person has asked a running rollout for."""

    PAUSE = "pause"


@dataclass(frozen=True)
class Rollout:
    """A staggered rolling restart of one app, up to `secrets_version`.

    It asks for the newest version that is known, so that it serves every delivery made before it.
    `release_id` and `release_version` are of the release that it made, `release_asked_at` is the
    intent to make one.
    """

    id: str
    app: str
    secrets_version: int
    policy: RolloutPolicy
    state: RolloutState
    waves: int
    started_at: datetime
    ended_at: datetime | None = None
    error: str | None = None
    organization: str = ""
    release_id: str | None = None
    release_version: int | None = None
    release_asked_at: datetime | None = None
    wish: RolloutWish | None = None


class RestartState(StrEnum):
    """Where one machine stands in a rollout."""

    PLANNED = "planned"
    LEASING = "leasing"
    DRAINING = "draining"
    CLONING = "cloning"
    UPDATING = "updating"
    STARTING = "starting"
    CHECKING = "checking"
    SWITCHING = "switching"
    HEALTHY = "healthy"
    REPLACED = "replaced"
    REHEARSED = "rehearsed"
    ASLEEP = "asleep"
    AT_NEXT_START = "at-next-start"
    UP_TO_DATE = "up-to-date"
    LEFT_OUT = "left-out"
    UNREACHABLE = "unreachable"
    GONE = "gone"
    FAILED = "failed"


OUT_OF_SERVICE = frozenset(
    {
        RestartState.LEASING,
        RestartState.DRAINING,
        RestartState.UPDATING,
        RestartState.STARTING,
        RestartState.CHECKING,
    }
)
"""States in which a machine counts against the disruption budget."""
RESTART_DONE = frozenset(
    {
        RestartState.HEALTHY,
        RestartState.REPLACED,
        RestartState.REHEARSED,
        RestartState.ASLEEP,
        RestartState.UP_TO_DATE,
        RestartState.LEFT_OUT,
        RestartState.GONE,
    }
)


@dataclass(frozen=True)
class MachineRestart:
    """The record of one machine in one rollout, with every time that it passed.

    `drained_at` is when its traffic was first taken away by us: the intent, so that a crash never
    leaves it cordoned. `replaced_by` is the machine that took over in a blue-green rollout.
    """

    rollout_id: str
    machine_id: str
    machine_name: str
    region: str
    process_group: str
    wave: int
    state: RestartState
    old_instance_id: str
    new_instance_id: str | None = None
    secrets_version: int | None = None
    admitted_at: datetime | None = None
    leased_at: datetime | None = None
    drained_at: datetime | None = None
    updated_at: datetime | None = None
    stopped_at: datetime | None = None
    started_at: datetime | None = None
    healthy_at: datetime | None = None
    released_at: datetime | None = None
    ended_at: datetime | None = None
    replaced_by: str | None = None
    note: str = ""
