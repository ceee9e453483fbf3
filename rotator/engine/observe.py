"""What rotator would do about a credential that it only observes."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.credential import Credential, Version
from rotator.domain.durations import format_duration
from rotator.domain.events import Action, Event
from rotator.domain.protocol import RULES, SEQUENCES, subjects
from rotator.domain.rotation import Mode, StepName
from rotator.engine.inventory import credential_event
from rotator.engine.parts import Parts


def would_rotate(parts: Parts, credential: Credential, current: Version | None, why: str) -> Event:
    """The event that a rotation is due and is not begun, with the steps that it would take."""
    event = credential_event(
        parts,
        credential,
        Action.CREDENTIAL_WOULD_ROTATE,
        parts.clock.now(),
        would="; ".join(steps_told(credential, current)),
    )
    return replace(event, reason=why)


def steps_told(credential: Credential, current: Version | None) -> tuple[str, ...]:
    """The steps of a rotation, a few words each."""
    spec = credential.spec
    told = [
        f"{name.value} {subject}".strip()
        for name in SEQUENCES[Mode.NORMAL]
        for subject in subjects(spec, RULES[name].fan)
        if name is not StepName.RETIRE
    ]
    if current is not None:
        issued = current.issued.name if current.issued else current.id
        told.append(f"retire {issued} after {format_duration(spec.policy.overlap)}")
    return tuple(told)
