"""How an emergency sweep stands: counts, the apps that restart now, and how long it still takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.cli.lines import wrapped_lines
from rotator.cli.rollout_view import RolloutView, read_rollout
from rotator.cli.text import Canvas, clock_time, elapsed
from rotator.domain.ports import Store, Unit
from rotator.domain.protocol import latest_pass, rolled_apps
from rotator.domain.rotation import (
    ENDED,
    OPEN_ROLLOUTS,
    RESTART_DONE,
    Rotation,
    RotationState,
    Step,
    StepName,
    StepState,
)
from rotator.domain.sweep import Pending, time_left
from rotator.engine.sweep import Sweep

if TYPE_CHECKING:
    from rich.console import Group

STAGES: Final = ("queued", "minting", "delivering", "restarting", "revoking", "replaced", "stuck")
_STAGE_OF: Final[Mapping[StepName, str]] = {
    StepName.MINT: "minting",
    StepName.PROVE: "minting",
    StepName.DELIVER: "delivering",
    StepName.ROLL_OUT: "restarting",
    StepName.CONFIRM: "restarting",
    StepName.PROMOTE: "revoking",
    StepName.RETIRE: "revoking",
}
_STUCK: Final = frozenset({RotationState.PARKED, RotationState.ROLLED_BACK})
_BOOT: Final = timedelta(seconds=15)
_BAR: Final = 20
_MOST_APPS: Final = 12
TELL_EVERY: Final = timedelta(seconds=15)
"""How often a pipe is told where it stands if nothing has changed."""


@dataclass
class SweepView:
    """What is shown, read again each second; what has ended is not read again."""

    sweep: Sweep
    at: datetime
    rotations: dict[str, Rotation] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    rolls_out: dict[str, bool] = field(default_factory=dict)
    rollouts: tuple[RolloutView, ...] = ()

    @property
    def total(self) -> int:
        """How many there are, those that wait for their turn included."""
        return len(self.rotations) + len(self.sweep.late) + len(self.sweep.blocked)

    @property
    def replaced(self) -> int:
        """How many are done."""
        return sum(r.state is RotationState.SUCCEEDED for r in self.rotations.values())

    @property
    def stuck(self) -> Sequence[Rotation]:
        """Those that ended without replacing anything."""
        return [r for r in self.rotations.values() if r.state in _STUCK]

    @property
    def over(self) -> bool:
        """Whether nothing is left that could go on by itself."""
        return not self.sweep.late and all(r.state in ENDED for r in self.rotations.values())

    def left(self, lanes: int) -> timedelta:
        """How long it still takes, as far as can be told."""
        took = [
            r.ended_at - r.started_at
            for r in self.rotations.values()
            if r.state is RotationState.SUCCEEDED and r.ended_at and r.started_at
        ]
        by_rotation = {
            r.id: _rollout_left(view, self.at) for view in self.rollouts for r in view.served
        }
        pending = [
            Pending(
                None if r.started_at is None else self.at - r.started_at,
                self.rolls_out.get(r.id, True),
                by_rotation.get(r.id),
            )
            for r in self.rotations.values()
            if r.state not in ENDED
        ]
        return time_left(pending, took, lanes)


def _rollout_left(view: RolloutView, now: datetime) -> timedelta:
    """What is left of a rollout: its waves so far tell how long one takes."""
    waves = {each.wave for each in view.restarts}
    done = {
        wave
        for wave in waves
        if all(each.state in RESTART_DONE for each in view.restarts if each.wave == wave)
    }
    left = max(len(waves) - len(done), 1 if view.open else 0)
    one = view.rollout.policy.stagger + _BOOT
    if done:
        one = max((now - view.rollout.started_at) / len(done), _BOOT / 3)
    return left * one


async def look(store: Store, view: SweepView, now: datetime) -> None:
    """Read what can have changed."""
    view.at = now
    async with store.view() as unit:
        for known in view.sweep.rotations:
            seen = view.rotations.get(known.id)
            if seen is not None and seen.state in ENDED:
                continue
            rotation = await unit.rotation(known.id)
            assert rotation is not None
            view.rotations[rotation.id] = rotation
            if rotation.id not in view.rolls_out:
                credential = await unit.credential_by_id(rotation.credential_id)
                view.rolls_out[rotation.id] = bool(rolled_apps(credential.spec))
            view.stages[rotation.id] = await _stage(unit, rotation)
        found = await unit.rollouts(states=OPEN_ROLLOUTS, limit=500)
        read = [await read_rollout(unit, each, now) for each in found]
    ids = set(view.rotations)
    view.rollouts = tuple(each for each in read if any(r.id in ids for r in each.served))


async def _stage(unit: Unit, rotation: Rotation) -> str:
    if rotation.state is RotationState.SUCCEEDED:
        return "replaced"
    if rotation.state in _STUCK or rotation.state is RotationState.UNDOING:
        return "stuck"
    if rotation.started_at is None:
        return "queued"
    steps = latest_pass(await unit.steps(rotation.id))
    return _STAGE_OF.get(_in_hand(steps), "minting")


def _in_hand(steps: Sequence[Step]) -> StepName:
    for step in steps:
        if not step.ended and step.state is not StepState.PLANNED:
            return step.name
    undone = [step.name for step in steps if not step.ended]
    return undone[0] if undone else StepName.RETIRE


def headline(view: SweepView, lanes: int) -> str:
    """Where it stands in one line."""
    done = f"{view.replaced} of {view.total} replaced"
    began = elapsed(view.at - view.sweep.asked_at)
    if view.over:
        return f"{view.sweep.scope}: {done} after {began}"
    return f"{view.sweep.scope}: {done} after {began}, about {elapsed(view.left(lanes))} left"


def counts(view: SweepView) -> str:
    """How many are in which stage."""
    found = Counter(view.stages.values())
    found["queued"] += len(view.sweep.late)
    found["stuck"] += len(view.sweep.blocked)
    return "  ".join(f"{stage} {found[stage]}" for stage in STAGES if found[stage])


def picture(view: SweepView, lanes: int, canvas: Canvas) -> Group:
    """The sweep as a terminal shows it."""
    from rich.console import Group
    from rich.text import Text

    width = canvas.width
    lines = wrapped_lines(headline(view, lanes), width, style="bold", fold=True)
    lines += wrapped_lines(counts(view), width, label="  ", fold=True)
    room = max(3, min(_MOST_APPS, canvas.height - len(lines) - 4))
    shown = sorted(view.rollouts, key=lambda each: each.rollout.started_at)[:room]
    names = max((len(each.rollout.app) for each in shown), default=0)
    full, empty = ("#", "-") if canvas.ascii_only else ("█", "░")
    for each in shown:
        total = max(1, len(each.restarts))
        filled = _BAR * each.done // total
        bar = full * filled + empty * (_BAR - filled)
        machines = f"{each.done} of {len(each.restarts)} machines"
        lines.append(Text(f"  {each.rollout.app:<{names}}  {bar}  {machines}"))
    if len(view.rollouts) > len(shown):
        lines.append(Text(f"  and {len(view.rollouts) - len(shown)} more apps restart"))
    for rotation in view.stuck[:3]:
        lines.append(Text(f"  stuck: {rotation.credential_name}", style="red"))
    return Group(*lines)


@dataclass
class Told:
    """What a pipe has been told already."""

    ended: set[str] = field(default_factory=set)
    at: datetime | None = None


def news(view: SweepView, told: Told, lanes: int) -> Iterator[str]:
    """Lines for a pipe: each end of a replacement, and now and then where it stands."""
    stamp = clock_time(view.at)
    for rotation in view.rotations.values():
        if rotation.state in ENDED and rotation.id not in told.ended:
            told.ended.add(rotation.id)
            state = (
                "replaced" if rotation.state is RotationState.SUCCEEDED else rotation.state.value
            )
            yield f"{stamp}  {rotation.credential_name}  {state.replace('_', ' ')}"
    if told.at is None or view.over or view.at - told.at >= TELL_EVERY:
        told.at = view.at
        yield f"{stamp}  {headline(view, lanes)}; {counts(view)}"
