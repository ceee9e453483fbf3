"""Where a rotation turns: after a failure, at a person's word, out of a park. Pure.

The engine and the explorer (`tests/exploration`) ask the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rotator.domain.credential import Version, VersionState
from rotator.domain.protocol import BACK, RULES, OnStepFailure, may_be_revoked, undo_obstacle
from rotator.domain.rotation import Rotation, RotationState, Step, StepName

REMINTS_ALLOWED: Final = 1
"""How many values of one rotation the issuer may refuse before it is undone."""


def course_after_failure(
    rotation: Rotation, steps: Sequence[Step], failed: StepName, old: Version | None
) -> OnStepFailure:
    """What follows a step that has failed for good: what its rule says, as far as that can be."""
    if rotation.state is not RotationState.RUNNING:
        return OnStepFailure.PARK
    wanted = RULES[failed].on_failure
    if wanted is OnStepFailure.REMINT:
        if rotation.remints < REMINTS_ALLOWED:
            return OnStepFailure.REMINT
        wanted = OnStepFailure.UNDO
    if wanted is OnStepFailure.UNDO and undo_obstacle(steps, old) is not None:
        return OnStepFailure.PARK
    return wanted


def state_turned_back(state: RotationState, obstacle: str | None) -> RotationState | None:
    """What a rotation becomes when a person asks to turn it back; None where it goes on, because
    both values work and stopping half way helps nobody."""
    if state is RotationState.QUEUED:
        return RotationState.ROLLED_BACK
    if state in (RotationState.RUNNING, RotationState.RETIRING) and obstacle is None:
        return RotationState.UNDOING
    return None


def state_resumed(rotation: Rotation, steps: Sequence[Step]) -> RotationState:
    """Where a parked rotation goes on, by the steps of its latest pass."""
    if rotation.started_at is None:
        return RotationState.QUEUED
    if any(s.name in BACK for s in steps):
        return RotationState.UNDOING
    if any(s.name is StepName.PROMOTE and s.ended for s in steps):
        return RotationState.RETIRING
    return RotationState.RUNNING


def what_is_safe(rotation: Rotation, steps: Sequence[Step], old: Version | None) -> str:
    """One sentence on what works while the rotation is parked."""
    if rotation.state is RotationState.RETIRING:
        return "the new value is in use everywhere; the old one may still be accepted"
    if old is not None and (old.state is VersionState.REVOKED or may_be_revoked(steps)):
        return "the old value may be revoked; the new one is valid and stands where it is delivered"
    obstacle = undo_obstacle(steps, old)
    if obstacle is None:
        return "the old value still works and is in use wherever the new one is not"
    return f"both values work, so nothing is broken; it can't be undone by itself: {obstacle}"


def mint_was_unclear(steps: Sequence[Step]) -> bool:
    """Whether a value may exist whose response was lost: more than one try, or none that ended."""
    return any(
        s.name is StepName.MINT and (s.attempt > 1 or (s.attempt == 1 and not s.ended))
        for s in steps
    )
