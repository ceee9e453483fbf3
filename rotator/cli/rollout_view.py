"""What the database says of a rollout at one moment: its machines, whom it serves, its waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from rotator.cli.text import elapsed, moment
from rotator.domain.ports import Unit
from rotator.domain.rotation import (
    OPEN_ROLLOUTS,
    RESTART_DONE,
    MachineRestart,
    RestartState,
    Rollout,
    RolloutState,
    RolloutWish,
    Rotation,
    Step,
    StepName,
    StepState,
)
from rotator.engine.journal import held_since, since

_ROLLING = frozenset({StepName.ROLL_OUT, StepName.ROLL_BACK})


@dataclass(frozen=True)
class Wait:
    """Why a rollout does not go on now, and when it looks again."""

    rotation_id: str
    credential: str
    why: str
    until: datetime | None


@dataclass(frozen=True)
class RolloutView:
    """A rollout, its machines in the order of their waves, and the rotations that it serves.

    `repairing` says that it puts an old value back.
    """

    rollout: Rollout
    restarts: tuple[MachineRestart, ...]
    served: tuple[Rotation, ...] = ()
    repairing: bool = False
    waits: tuple[Wait, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it is under way."""
        return self.rollout.state in OPEN_ROLLOUTS

    @property
    def kind(self) -> str:
        """What the protocol calls it."""
        return StepName.ROLL_BACK.value if self.repairing else StepName.ROLL_OUT.value

    @property
    def done(self) -> int:
        """How many machines need nothing more."""
        return sum(each.state in RESTART_DONE for each in self.restarts)

    @property
    def in_hand(self) -> tuple[MachineRestart, ...]:
        """The machines that are being worked on."""
        return tuple(
            each
            for each in self.restarts
            if each.admitted_at is not None
            and each.ended_at is None
            and each.state not in RESTART_DONE | {RestartState.PLANNED}
        )


async def read_rollout(unit: Unit, rollout: Rollout, now: datetime) -> RolloutView:
    """One rollout with all that belongs to it, and what it waits for now."""
    restarts = await unit.machine_restarts(rollout.id)
    served: list[Rotation] = []
    waits: list[Wait] = []
    repairing = False
    for rotation_id in await unit.rotations_of(rollout.id):
        rotation = await unit.rotation(rotation_id)
        if rotation is None:
            continue
        served.append(rotation)
        for step in await unit.steps(rotation_id):
            if step.name not in _ROLLING or step.subject != rollout.app:
                continue
            repairing = repairing or _puts_back(step, rollout)
            wait = _wait(step, rotation, now) if rollout.state in OPEN_ROLLOUTS else None
            waits += [wait] if wait is not None else []
    ordered = sorted(restarts, key=_place)
    return RolloutView(rollout, tuple(ordered), tuple(served), repairing, tuple(waits))


def _wait(step: Step, rotation: Rotation, now: datetime) -> Wait | None:
    """Why the step is not worked on; None where it is, or where its time has come."""
    if step.state is not StepState.WAITING or (step.not_before and step.not_before <= now):
        return None
    why = step.error or "it is not said why"
    return Wait(rotation.id, rotation.credential_name, why, step.not_before)


def _place(restart: MachineRestart) -> tuple[int, str, str, str]:
    return (restart.wave, restart.process_group, restart.region, restart.machine_id)


def _puts_back(step: Step, rollout: Rollout) -> bool:
    """Whether this rollout is the work of this roll-back step: it names it, or began before it."""
    if step.name is not StepName.ROLL_BACK:
        return False
    if step.detail.get("rollout"):
        return step.detail["rollout"] == rollout.id
    if step.intent_at is None:
        return False
    begun = min(step.intent_at, since(step, step.intent_at), held_since(step, step.intent_at))
    return begun <= rollout.started_at


def rollout_state(view: RolloutView) -> str:
    """The state in a word, with what a person has asked for."""
    rollout = view.rollout
    if rollout.state is RolloutState.RUNNING and rollout.wish is RolloutWish.PAUSE:
        return "pausing"
    if rollout.state is RolloutState.RUNNING and view.waits:
        return "waiting"
    return rollout.state.value


def headline(view: RolloutView, now: datetime) -> str:
    """The rollout in one line."""
    rollout = view.rollout
    what = "roll-back" if view.repairing else "rollout"
    took = elapsed((rollout.ended_at or now) - rollout.started_at)
    span = f"after {took}" if rollout.ended_at else f"for {took}"
    return (
        f"{what} {rollout.id} of {rollout.app}: {rollout_state(view)} {span}, "
        f"{view.done} of {len(view.restarts)} machines done"
    )


def standing_lines(view: RolloutView) -> Iterator[str]:
    """Why it stands still or what went wrong, and what can be done about it."""
    rollout = view.rollout
    if rollout.state is RolloutState.PAUSED:
        yield f"paused: {rollout.error or 'by hand'}"
        yield f"next: `rotator rollout resume {rollout.id}` or `rotator rollout abort {rollout.id}`"
    elif rollout.error:
        yield f"{'why' if rollout.state is RolloutState.ABANDONED else 'failure'}: {rollout.error}"
    if rollout.state is RolloutState.RUNNING and rollout.wish is RolloutWish.PAUSE:
        ids = ", ".join(each.machine_id for each in view.in_hand) or "none"
        yield f"pausing: before the next wave; machines in hand are finished first ({ids})"
    if rollout.state is not RolloutState.PAUSED:
        for wait in dict.fromkeys((each.why, each.until) for each in view.waits):
            until = f"; looks again at {moment(wait[1])}" if wait[1] else ""
            yield f"waits: {wait[0]}{until}"
    leases = [each.machine_id for each in view.in_hand if each.state is RestartState.LEASING]
    if leases:
        yield f"waits for the lease of {', '.join(leases)}"


def rollout_changes(old: RolloutView | None, new: RolloutView) -> Iterator[str]:
    """A line for everything about a rollout that is different."""
    before = _by_machine(old)
    for restart in new.restarts:
        earlier = before.get(restart.machine_id)
        fresh = earlier is None or earlier.state is not restart.state
        if fresh and restart.state is not RestartState.PLANNED:
            yield restart_line(restart)
    if old is None or rollout_state(old) != rollout_state(new):
        rollout = new.rollout
        what = "roll-back" if new.repairing else "rollout"
        word = rollout_state(new)
        yield f"{what} {rollout.id} of {rollout.app}: {word}{_told_error(new)}"
        if rollout.state is RolloutState.PAUSED:
            yield from (line for line in standing_lines(new) if line.startswith("next: "))


def _told_error(view: RolloutView) -> str:
    error = view.rollout.error
    if error is None and view.waits and view.rollout.state is RolloutState.RUNNING:
        error = view.waits[0].why
    return f" ({error})" if error else ""


def _by_machine(view: RolloutView | None) -> Mapping[str, MachineRestart]:
    return {each.machine_id: each for each in view.restarts} if view else {}


def restart_line(restart: MachineRestart) -> str:
    """A machine in one line."""
    took = restart_time(restart, None)
    wave = f"wave {restart.wave}  " if restart.wave else ""
    return (
        f"{wave}{restart.machine_id} {restart.region} {restart.process_group}: "
        f"{restart.state.value}{f' after {took}' if took and restart.ended_at else ''}"
        f"{f' ({restart.note})' if restart.note else ''}"
    )


def restart_time(restart: MachineRestart, now: datetime | None) -> str:
    """How long a machine has been or was worked on; empty before it began."""
    begins = [at for at in (restart.admitted_at, restart.updated_at) if at is not None]
    last = restart.released_at if restart.state in RESTART_DONE else None
    end = restart.ended_at or last or now
    if not begins or end is None:
        return ""
    return elapsed(end - min(begins))
