"""The rotation protocol as one table, and the walk over it (DESIGN.md section 3). Pure.

The engine runs what `next_move` says; it holds no order of its own. Tests enumerate `RULES`,
plans and docs print it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from rotator.domain.credential import CredentialSpec, Version
from rotator.domain.policy import Strategy
from rotator.domain.rotation import Mode, Rotation, RotationState, Step, StepName, StepState


class Fan(StrEnum):
    """Of what a step is made once each."""

    ONCE = "once"
    TARGET = "target"
    APP = "app"


class OnStepFailure(StrEnum):
    """Where the walk turns when a step has failed for good."""

    REMINT = "remint"
    UNDO = "undo"
    PARK = "park"


@dataclass(frozen=True)
class StepRule:
    """One row of the protocol.

    `patience` bounds how long the step may keep waiting for the world (`RetryLater`) since its
    first intent; `attempts` bounds how often it is tried. Past either bound it has failed.
    """

    name: StepName
    fan: Fan
    effect: str
    idempotent_because: str
    on_failure: OnStepFailure
    patience: timedelta
    attempts: int


_HOUR: Final = timedelta(hours=1)

RULES: Final[Mapping[StepName, StepRule]] = {
    rule.name: rule
    for rule in (
        StepRule(
            StepName.MINT,
            Fan.ONCE,
            "create the new value at the issuer, under a name that carries the rotation's id",
            "a retry first revokes what an earlier try left under that name",
            OnStepFailure.UNDO,
            _HOUR,
            12,
        ),
        StepRule(
            StepName.PROVE,
            Fan.ONCE,
            "use the new value once against the issuer",
            "read-only",
            OnStepFailure.REMINT,
            timedelta(minutes=30),
            20,
        ),
        StepRule(
            StepName.DELIVER,
            Fan.TARGET,
            "write the new value to the target",
            "a write of the same value",
            OnStepFailure.UNDO,
            _HOUR,
            12,
        ),
        StepRule(
            StepName.ROLL_OUT,
            Fan.APP,
            "restart the machines that read it, wave by wave",
            "a machine that runs with the wanted secrets version is skipped",
            OnStepFailure.UNDO,
            timedelta(hours=6),
            60,
        ),
        StepRule(
            StepName.CONFIRM,
            Fan.ONCE,
            "look at every target and every machine for proof of adoption",
            "read-only",
            OnStepFailure.PARK,
            timedelta(days=7),
            3000,
        ),
        StepRule(
            StepName.PROMOTE,
            Fan.ONCE,
            "none: the new version becomes current, the old one retiring",
            "one transaction",
            OnStepFailure.PARK,
            _HOUR,
            20,
        ),
        StepRule(
            StepName.RETIRE,
            Fan.ONCE,
            "revoke the old value, then try it: it must be refused",
            "revoking a revoked value is success",
            OnStepFailure.PARK,
            timedelta(hours=24),
            60,
        ),
        StepRule(
            StepName.RESTORE,
            Fan.TARGET,
            "put the old value back, or take a first one away",
            "a write of the same value",
            OnStepFailure.PARK,
            timedelta(hours=24),
            60,
        ),
        StepRule(
            StepName.ROLL_BACK,
            Fan.APP,
            "restart the machines that took up the new value",
            "a machine that runs with the wanted secrets version is skipped",
            OnStepFailure.PARK,
            timedelta(hours=6),
            60,
        ),
        StepRule(
            StepName.DISCARD,
            Fan.ONCE,
            "revoke the new value and whatever the mint left under the rotation's name",
            "revoking a revoked value is success",
            OnStepFailure.PARK,
            timedelta(hours=24),
            60,
        ),
    )
}

FORWARD: Final = (
    StepName.MINT,
    StepName.PROVE,
    StepName.DELIVER,
    StepName.ROLL_OUT,
    StepName.CONFIRM,
    StepName.PROMOTE,
    StepName.RETIRE,
)
REVOKE_FIRST: Final = (
    StepName.MINT,
    StepName.PROVE,
    StepName.RETIRE,
    StepName.DELIVER,
    StepName.ROLL_OUT,
    StepName.CONFIRM,
    StepName.PROMOTE,
)
BACK: Final = (StepName.RESTORE, StepName.ROLL_BACK, StepName.DISCARD)

SEQUENCES: Final[Mapping[Mode, tuple[StepName, ...]]] = {
    Mode.NORMAL: FORWARD,
    Mode.EMERGENCY: FORWARD,
    Mode.REVOKE_FIRST: REVOKE_FIRST,
}


def subjects(spec: CredentialSpec, fan: Fan) -> tuple[str, ...]:
    """What a step is made of: target keys, apps to roll out, or one step about nothing else."""
    if fan is Fan.TARGET:
        return tuple(target.key for target in spec.targets)
    if fan is Fan.APP:
        return rolled_apps(spec)
    return ("",)


def rolled_apps(spec: CredentialSpec) -> tuple[str, ...]:
    """Apps whose machines rotator restarts for this credential, each once, in manifest order."""
    apps = [
        target.app
        for target in spec.targets
        if target.app is not None and target.rollout.strategy is not Strategy.NONE
    ]
    return tuple(dict.fromkeys(apps))


def planned_steps(
    spec: CredentialSpec,
    mode: Mode,
    rotation_id: str,
    new_id: Callable[[], str],
    *,
    first_position: int = 0,
) -> tuple[Step, ...]:
    """All forward steps of a new rotation, in order."""
    pairs = [
        (name, subject) for name in SEQUENCES[mode] for subject in subjects(spec, RULES[name].fan)
    ]
    return _numbered(pairs, rotation_id, new_id, first_position)


def undo_steps(
    steps: Sequence[Step], spec: CredentialSpec, rotation_id: str, new_id: Callable[[], str]
) -> tuple[Step, ...]:
    """What takes a rotation back: only what was begun, last delivery first."""
    begun = {step.subject for step in begun_deliveries(steps)}
    delivered = [target for target in reversed(spec.targets) if target.key in begun]
    apps = dict.fromkeys(t.app for t in delivered if t.app in rolled_apps(spec) and t.app)
    about: Mapping[Fan, Iterable[str]] = {
        Fan.TARGET: [target.key for target in delivered],
        Fan.APP: apps,
        Fan.ONCE: ("",),
    }
    pairs = [(name, subject) for name in BACK for subject in about[RULES[name].fan]]
    return _numbered(pairs, rotation_id, new_id, max(s.position for s in steps) + 1)


def _numbered(
    pairs: Iterable[tuple[StepName, str]],
    rotation_id: str,
    new_id: Callable[[], str],
    first_position: int,
) -> tuple[Step, ...]:
    return tuple(
        Step(
            id=new_id(),
            rotation_id=rotation_id,
            position=first_position + offset,
            name=name,
            subject=subject,
            state=StepState.PLANNED,
        )
        for offset, (name, subject) in enumerate(pairs)
    )


BEFORE: Final = "before"
"""Key in a delivery's detail: what stood at the target, noted before the first intent."""
ABSENT: Final = "absent"
"""`before` of a delivery to a target that was empty."""


MARKER: Final = "marker"
"""Key in a delivery's detail: what the target showed after it."""
DRIFTED: Final = "drifted"
"""Key in the detail of a confirm: the target where somebody else's value stood instead of ours."""


def written_again(steps: Sequence[Step], spec: CredentialSpec) -> tuple[Step, ...]:
    """Finished steps that a person's retry does once more: what somebody has overwritten since is
    delivered again, and its app rolled out."""
    drifted = {s.detail[DRIFTED] for s in steps if DRIFTED in s.detail and not s.ended}
    apps = {target.app for target in spec.targets if target.key in drifted}
    return tuple(
        s
        for s in steps
        if s.ended
        and (
            (s.name is StepName.DELIVER and s.subject in drifted)
            or (s.name is StepName.ROLL_OUT and s.subject in apps)
        )
    )


def begun_deliveries(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Deliveries that may have had an effect: what stood before is noted with the intent."""
    return tuple(s for s in steps if s.name is StepName.DELIVER and BEFORE in s.detail)


def latest_pass(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps since the last finished undo: a rotation that is retried after it starts over."""
    undone = [s.position for s in steps if s.name is StepName.DISCARD and s.ended]
    start = max(undone, default=-1)
    return tuple(s for s in steps if s.position > start)


def may_be_revoked(steps: Sequence[Step]) -> bool:
    """Whether the old value may be revoked already: the intent is enough."""
    return any(s.name is StepName.RETIRE and s.attempt for s in steps)


def undo_obstacle(steps: Sequence[Step], old: Version | None) -> str | None:
    """Why the old value can't be put back, or None where it can.

    A first delivery is undone by taking the value away, so it needs no old value.
    """
    if old is not None and may_be_revoked(steps):
        return "the old value is revoked, or is about to be"
    begun = begun_deliveries(steps)
    for step in begun:
        if step.detail[BEFORE] == ABSENT:
            continue
        if old is None or not old.sealed:
            return f"rotator never knew the old value of {step.subject}, so it can't put it back"
    return None


@dataclass(frozen=True)
class RunStep:
    """Run this step now."""

    step: Step


@dataclass(frozen=True)
class WaitUntil:
    """Nothing to do before this instant."""

    at: datetime


@dataclass(frozen=True)
class Finish:
    """All steps have ended: the rotation takes this state."""

    state: RotationState


Move = RunStep | WaitUntil | Finish


def next_move(rotation: Rotation, steps: Sequence[Step], now: datetime) -> Move:
    """What comes next for a rotation that a worker has claimed."""
    back = rotation.state is RotationState.UNDOING
    for step in sorted(steps, key=lambda s: s.position):
        if (step.name in BACK) is not back or step.ended:
            continue
        if step.not_before is not None and step.not_before > now:
            return WaitUntil(step.not_before)
        return RunStep(step)
    if back:
        return Finish(RotationState.PARKED if rotation.parked else RotationState.ROLLED_BACK)
    return Finish(RotationState.SUCCEEDED)


def backoff(attempt: int, wish_seconds: float | None, *, spread: float) -> timedelta:
    """How long to wait before try `attempt + 1`: doubling from 1 s to 5 min, +-25 % by `spread`.

    `spread` is a random number in [0, 1). The other side's wish counts where it is longer.
    """
    seconds = min(300.0, float(2 ** min(attempt - 1, 9)))
    seconds *= 0.75 + spread / 2
    return timedelta(seconds=max(seconds, wish_seconds or 0.0))


HELD_PATIENCE: Final = timedelta(days=90)
"""How long rotator may hold a step back on purpose before a person has to look."""


def exhausted(step: Step, first_intent: datetime, now: datetime) -> bool:
    """Whether a step has used up its tries or its patience."""
    rule = RULES[step.name]
    return step.attempt >= rule.attempts or now - first_intent >= rule.patience
