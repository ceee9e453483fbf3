"""What the database says of some rotations at one moment, and what changed between two moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.cli.rollout_view import RolloutView, read_rollout, rollout_changes
from rotator.cli.text import clock_time, moment
from rotator.domain.ports import Store, Unit
from rotator.domain.rotation import (
    ENDED,
    RolloutState,
    Rotation,
    RotationState,
    Step,
    StepState,
)
from rotator.engine.journal import HELD, held_since

PATIENCE: Final = timedelta(seconds=60)
"""An overlap, or a wait on purpose, that lasts longer than this is not sat out at a terminal."""


@dataclass(frozen=True)
class RotationView:
    """A rotation, its steps and its rollouts."""

    rotation: Rotation
    steps: tuple[Step, ...]
    rollouts: tuple[RolloutView, ...]

    @property
    def current_step(self) -> Step | None:
        """The step in hand, or the last one."""
        for step in self.steps:
            if not step.ended and step.state is not StepState.PLANNED:
                return step
        ended = [step for step in self.steps if step.ended]
        return ended[-1] if ended else None

    @property
    def revokes_at(self) -> datetime | None:
        """When the old value goes; None unless the new one is in use and the overlap runs."""
        if self.rotation.state is not RotationState.RETIRING:
            return None
        return self.rotation.resume_at


@dataclass(frozen=True)
class Snapshot:
    """Several rotations at one moment."""

    at: datetime
    rotations: tuple[RotationView, ...]


def settled(view: RotationView, now: datetime) -> bool:
    """Whether nothing more will be seen soon: it has ended, or only a long wait is left."""
    if view.rotation.state in ENDED:
        return True
    revokes = view.revokes_at
    return (revokes is not None and revokes - now > PATIENCE) or waits_long(view, now)


def waits_long(view: RotationView, now: datetime) -> bool:
    """Whether rotator holds it back on purpose, for longer than a person would look on: until
    machines start, a window opens or, after a while, somebody resumes a paused rollout."""
    step = view.current_step
    if step is None or step.state is not StepState.WAITING or HELD not in step.detail:
        return False
    if now - held_since(step, now) >= PATIENCE:
        return True
    paused = any(each.rollout.state is RolloutState.PAUSED for each in view.rollouts)
    return not paused and step.not_before is not None and step.not_before - now > PATIENCE


def good(view: RotationView) -> bool:
    """Whether the new value is in use."""
    return view.rotation.state in (RotationState.SUCCEEDED, RotationState.RETIRING)


async def take(store: Store, rotation_ids: Sequence[str], now: datetime) -> Snapshot:
    """Read these rotations."""
    async with store.view() as unit:
        views = [await read_rotation(unit, each, now) for each in rotation_ids]
    return Snapshot(now, tuple(view for view in views if view is not None))


async def read_rotation(unit: Unit, rotation_id: str, now: datetime) -> RotationView | None:
    """One rotation with all that belongs to it."""
    rotation = await unit.rotation(rotation_id)
    if rotation is None:
        return None
    rollouts = [
        await read_rollout(unit, rollout, now) for rollout in await unit.rollouts_of(rotation_id)
    ]
    return RotationView(rotation, tuple(await unit.steps(rotation_id)), tuple(rollouts))


def changes(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    """A line for everything that is different, for logs and pipes."""
    known = {view.rotation.id: view for view in before.rotations} if before else {}
    stamp = clock_time(after.at)
    for view in after.rotations:
        name = view.rotation.credential_name
        for line in _differences(known.get(view.rotation.id), view):
            yield f"{stamp}  {name}  {line}"


def _differences(old: RotationView | None, new: RotationView) -> Iterator[str]:
    steps = {step.id: step for step in old.steps} if old else {}
    rollouts = {each.rollout.id: each for each in old.rollouts} if old else {}
    for step in new.steps:
        was = steps.get(step.id)
        if step.state is not StepState.PLANNED and (was is None or was.state is not step.state):
            yield step_line(step)
    for rollout in new.rollouts:
        yield from rollout_changes(rollouts.get(rollout.rollout.id), rollout)
    if old is None or old.rotation.state is not new.rotation.state:
        yield f"rotation {new.rotation.id}: {told_state(new)}"


def step_line(step: Step) -> str:
    """A step in one line."""
    subject = f" {step.subject}" if step.subject else ""
    line = f"{step.name.value}{subject}: {step.state.value}"
    if step.state is StepState.WAITING and step.not_before is not None:
        line += f" until {moment(step.not_before)}"
    if step.state in (StepState.WAITING, StepState.FAILED) and step.error:
        line += f" ({step.error})"
    return line


def told_state(view: RotationView) -> str:
    """The rotation's state, and what a person should know with it."""
    rotation = view.rotation
    if rotation.abort_requested_at is not None and rotation.state not in ENDED:
        return f"{rotation.state.value}, and asked to turn back"
    if rotation.state is RotationState.RETIRING and view.revokes_at is not None:
        return f"retiring: the new value is in use, the old one goes at {moment(view.revokes_at)}"
    if rotation.state is RotationState.PARKED and rotation.parked is not None:
        return f"parked: {rotation.parked.cause}"
    if rotation.state is RotationState.ROLLED_BACK:
        failed = [s for s in view.steps if s.state is StepState.FAILED and s.error]
        return f"rolled back{f': {failed[0].error}' if failed else ''}"
    return rotation.state.value.replace("_", " ")
