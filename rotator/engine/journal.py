"""Step intents and outcomes: each one transaction, each with its event (P7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from rotator.domain.credential import Credential
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.protocol import DRIFTED
from rotator.domain.rotation import Actor, Rotation, Step, StepName, StepState

SINCE = "since"
"""Key in a step's detail: when it was first intended, for its patience."""
FIRST = "first_intended"
"""Key in a step's detail: the same, and not forgotten when its patience is renewed."""
FIRST_VERSION = "first_secrets_version"
"""Key in a delivery's detail: the secrets version with which it first wrote its value."""
HELD = "held"
"""Key in a step's detail: when it was first held back on purpose."""


def step_event(
    action: Action,
    outcome: Outcome,
    *,
    credential: Credential,
    rotation: Rotation,
    step: Step,
    actor: Actor,
    at: datetime,
    error: str | None = None,
) -> Event:
    """The event that tells of one step."""
    detail = {"step": step.name.value, "attempt": str(step.attempt), **step.detail}
    for private in (FIRST, FIRST_VERSION, SINCE, HELD):
        detail.pop(private, None)
    if error is not None:
        detail["error"] = error
    return Event(
        action=action,
        outcome=outcome,
        actor=actor,
        at=at,
        reason=rotation.reason,
        credential=credential.name,
        kind=credential.spec.kind,
        organization=credential.spec.organization,
        app=_app_of(credential, step),
        target=step.subject if step.name in (StepName.DELIVER, StepName.RESTORE) else None,
        rotation_id=rotation.id,
        request_id=step.request_id,
        detail=detail,
    )


def _app_of(credential: Credential, step: Step) -> str | None:
    if step.name in (StepName.ROLL_OUT, StepName.ROLL_BACK):
        return step.subject
    for target in credential.spec.targets:
        if target.key == step.subject:
            return target.app
    return main_app(credential)


def main_app(credential: Credential) -> str | None:
    """The app that a credential is about: where it lives, else the first that reads it."""
    app = credential.spec.params.get("app")
    if isinstance(app, str):
        return app
    return next((t.app for t in credential.spec.targets if t.app is not None), None)


def rotation_event(
    action: Action,
    outcome: Outcome,
    *,
    credential: Credential,
    rotation: Rotation,
    actor: Actor,
    at: datetime,
    detail: Mapping[str, str] | None = None,
) -> Event:
    """An event about a rotation as a whole, or about a version in it."""
    return Event(
        action=action,
        outcome=outcome,
        actor=actor,
        at=at,
        reason=rotation.reason,
        credential=credential.name,
        kind=credential.spec.kind,
        organization=credential.spec.organization,
        app=main_app(credential),
        rotation_id=rotation.id,
        detail=detail or {},
    )


def intended(step: Step, at: datetime) -> Step:
    """The step with one more intent."""
    since_then = step.detail.get(SINCE, at.isoformat())
    detail = {FIRST: since_then, SINCE: since_then, **step.detail}
    return replace(
        step,
        state=StepState.INTENDED,
        attempt=step.attempt + 1,
        intent_at=at,
        outcome_at=None,
        not_before=None,
        error=None,
        request_id=None,
        detail=detail,
    )


def since(step: Step, now: datetime) -> datetime:
    """When the step was first intended since its patience was last renewed."""
    text = step.detail.get(SINCE)
    return datetime.fromisoformat(text) if text else now


def first_intended(step: Step, now: datetime) -> datetime:
    """When the step was intended for the very first time: its effect may have been there since."""
    text = step.detail.get(FIRST) or step.detail.get(SINCE)
    return datetime.fromisoformat(text) if text else now


def held(step: Step, at: datetime) -> Step:
    """The step as rotator itself holds it back: its tries and its patience are not used up."""
    detail = {HELD: at.isoformat(), **step.detail}
    detail.pop(SINCE, None)
    return replace(step, attempt=min(step.attempt, 1), detail=detail)


def held_since(step: Step, now: datetime) -> datetime:
    """When the step was first held back."""
    text = step.detail.get(HELD)
    return datetime.fromisoformat(text) if text else now


def planned_again(step: Step) -> Step:
    """The step as it was before its last tries, with a fresh patience.

    One attempt stays on record, so that a mint still looks for what an earlier try left behind.
    """
    forgotten = (SINCE, HELD, DRIFTED)
    detail = {key: value for key, value in step.detail.items() if key not in forgotten}
    return replace(
        step,
        state=StepState.PLANNED,
        attempt=min(step.attempt, 1),
        outcome_at=None,
        not_before=None,
        error=None,
        detail=detail,
    )
