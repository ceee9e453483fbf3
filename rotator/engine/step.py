"""What a step's effect gets and gives: the seam between the walk and the effects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from rotator.domain.credential import Credential, Version
from rotator.domain.errors import InputError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import CallCount, Kind, MintRequest, Target, Unit
from rotator.domain.rotation import Claim, Rotation, RotationState, Step, StepName
from rotator.domain.schedule import expires_at
from rotator.engine.journal import step_event
from rotator.engine.parts import Parts

Commit = Callable[[Unit], Awaitable[None]]


@dataclass
class StepContext:
    """One try of one step. `notes` is public and kept with the step whatever the outcome; `halted`
    is set when a step that runs beside this one has failed for good."""

    parts: Parts
    claim: Claim
    credential: Credential
    rotation: Rotation
    steps: Sequence[Step]
    step: Step
    notes: dict[str, str] = field(default_factory=dict)
    counted: CallCount | None = None
    halted: asyncio.Event = field(default_factory=asyncio.Event)

    def charged(self) -> Rotation:
        """The rotation with the outside calls of this try added."""
        calls = self.counted.count if self.counted is not None else 0
        return replace(self.rotation, api_calls=self.rotation.api_calls + calls)

    @property
    def kind(self) -> Kind:
        """The kind of this credential."""
        name = self.credential.spec.kind
        if name not in self.parts.kinds:
            raise InputError(
                f"{self.credential.name} is of the kind {name!r}, which is not installed",
                next_step="install the plug-in that registers it, or mend the manifest",
            )
        return self.parts.kinds[name]

    def target(self, key: str) -> Target:
        """The adapter for the target `key` of this credential."""
        spec = next(t for t in self.credential.spec.targets if t.key == key)
        return self.parts.targets[spec.type]

    def mint_request(self) -> MintRequest:
        """The request whose name carries this rotation's id: the same on every try."""
        spec = self.credential.spec
        return MintRequest(
            spec=spec,
            rotation_id=self.rotation.id,
            issue_name=self.kind.issue_name(spec, self.rotation.id),
            expires_at=expires_at(spec.policy, self.rotation.requested_at),
        )

    def done_steps(self, name: StepName) -> tuple[Step, ...]:
        """Steps of this name that have ended."""
        return tuple(s for s in self.steps if s.name is name and s.ended)


@dataclass(frozen=True)
class Result:
    """How a step went well.

    `commit` writes what belongs to the outcome in its transaction; `state` moves the rotation in
    it; `reopen` names earlier steps that have to run again before this one counts as done.
    """

    commit: Commit | None = None
    events: tuple[Event, ...] = ()
    request_id: str | None = None
    state: RotationState | None = None
    reopen: tuple[Step, ...] = ()


async def version_of(unit: Unit, version_id: str | None) -> Version | None:
    """The version, or None where the rotation has none."""
    return None if version_id is None else await unit.version(version_id)


def told(
    ctx: StepContext,
    action: Action,
    outcome: Outcome,
    at: datetime,
    error: Exception | None = None,
) -> Event:
    """The event that tells of the context's step."""
    return step_event(
        action,
        outcome,
        credential=ctx.credential,
        rotation=ctx.rotation,
        step=ctx.step,
        actor=ctx.parts.actor,
        at=at,
        error=None if error is None else str(error),
    )
