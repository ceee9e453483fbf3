"""The step confirm: proof that every target shows the new value and every machine runs with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rotator.domain.errors import NotYet
from rotator.domain.machines import DOWN_STATES, GONE_STATES, Machine
from rotator.domain.ports import Fleet
from rotator.domain.protocol import rolled_apps
from rotator.domain.rollout import left_out_reason
from rotator.domain.rotation import Mode, Step, StepName, StepState
from rotator.engine.deliver import SECRETS_VERSION, receipt_of
from rotator.engine.step import Result, StepContext

ROLLOUT_PASSES = 10
"""How often a confirm sends the walk back to the rollout."""


@dataclass(frozen=True)
class Adoption:
    """What the machines of one app show. Each list holds machine ids.

    `finishing` are machines that rollouts leave alone (jobs, consoles) and that still run with
    what they started with.
    """

    proven: tuple[str, ...]
    stale: tuple[str, ...]
    unreachable: tuple[str, ...]
    finishing: tuple[str, ...] = ()


async def confirm(ctx: StepContext) -> Result:
    """Every target shows what was delivered; every machine that reads it has taken it up.

    Machines that came or came back since the rollout and hold an old value send the walk back to
    the rollout. Machines that can't be reached hold back the promotion, because their value is in
    use; so do jobs that still run with the old one, unless this is an emergency.
    """
    await _confirm_targets(ctx)
    waiting: list[str] = []
    reopen: list[Step] = []
    for app, deliveries in _by_app(ctx).items():
        adoption = await _look(ctx, app, deliveries)
        ctx.notes[f"machines:{app}"] = f"{len(adoption.proven)} proven"
        if adoption.unreachable:
            waiting.append(f"{app}: unreachable {', '.join(adoption.unreachable)}")
        if adoption.finishing and ctx.rotation.mode is Mode.NORMAL:
            waiting.append(
                f"{app}: still at work with the old value {', '.join(adoption.finishing)}"
            )
        if adoption.stale and app in rolled_apps(ctx.credential.spec):
            reopen += [s for s in ctx.steps if s.name is StepName.ROLL_OUT and s.subject == app]
        elif adoption.stale:
            waiting.append(f"{app}: not started since the delivery {', '.join(adoption.stale)}")
    if reopen and ctx.step.attempt <= ROLLOUT_PASSES:
        return Result(reopen=tuple(reopen))
    waiting += [
        f"{step.subject}: machines without the value after {ROLLOUT_PASSES} rollouts"
        for step in reopen
    ]
    if waiting:
        raise NotYet("; ".join(waiting), after_seconds=30)
    return Result()


async def _confirm_targets(ctx: StepContext) -> None:
    for spec in ctx.credential.spec.targets:
        step = _delivery(ctx, spec.key)
        if step is None:
            continue
        evidence = await ctx.target(spec.key).confirm(spec, receipt_of(step))
        ctx.notes[f"target:{spec.key}"] = evidence.statement


def _delivery(ctx: StepContext, key: str) -> Step | None:
    for step in ctx.steps:
        if step.name is StepName.DELIVER and step.subject == key and step.state is StepState.DONE:
            return step
    return None


def _by_app(ctx: StepContext) -> dict[str, list[tuple[str, Step]]]:
    """For each app: (secret name, delivery) of every app secret of this credential in it."""
    found: dict[str, list[tuple[str, Step]]] = {}
    for spec in ctx.credential.spec.targets:
        step = _delivery(ctx, spec.key)
        name = ctx.parts.targets[spec.type].secret_name(spec.params)
        if spec.app is not None and name is not None and step is not None:
            found.setdefault(spec.app, []).append((name, step))
    return found


async def _look(ctx: StepContext, app: str, deliveries: Sequence[tuple[str, Step]]) -> Adoption:
    names = frozenset(name for name, _ in deliveries)
    floor = max(int(step.detail.get(SECRETS_VERSION, "0")) for _, step in deliveries)
    since = max(step.outcome_at for _, step in deliveries if step.outcome_at is not None)
    machines = await all_machines(ctx.parts.fleet, app)
    return judge(machines, names=names, floor=floor, delivered_at=since)


async def all_machines(fleet: Fleet, app: str) -> Sequence[Machine]:
    """The app's machines. One empty list proves nothing (Fly: lists can be stale or even empty):
    it is held against the count that the app itself tells."""
    machines = await fleet.machines(app)
    if machines:
        return machines
    overview = await fleet.app(app)
    if overview.machine_count:
        raise NotYet(
            f"{app} has {overview.machine_count} machines, but the list came back empty",
            after_seconds=5,
        )
    return machines


def judge(
    machines: Iterable[Machine], *, names: frozenset[str], floor: int, delivered_at: datetime
) -> Adoption:
    """Sort machines by what they prove. A machine holds the value when our own update asked for
    at least `floor`, or when it has started since the delivery was answered."""
    proven: list[str] = []
    stale: list[str] = []
    unreachable: list[str] = []
    finishing: list[str] = []
    for machine in machines:
        if machine.state in GONE_STATES or not any(map(machine.reads_secret, names)):
            continue
        if left_out_reason(machine, names):
            if machine.running and not _started_since(machine, delivered_at):
                finishing.append(machine.id)
        elif machine.marked_secrets_version >= floor or _started_since(machine, delivered_at):
            proven.append(machine.id)
        elif not machine.reachable:
            unreachable.append(machine.id)
        else:
            stale.append(machine.id)
    return Adoption(tuple(proven), tuple(stale), tuple(unreachable), tuple(finishing))


def took_up(machine: Machine, *, floor: int, delivered_at: datetime) -> bool:
    """Whether a machine may hold a value that was delivered then as secrets version `floor`."""
    marked = bool(floor) and machine.marked_secrets_version >= floor
    return marked or not machine.reachable or _started_since(machine, delivered_at)


def _started_since(machine: Machine, at: datetime) -> bool:
    """Whether the newest boot is after `at`. A resume from suspension is no boot: the old memory
    comes back. A machine that is down has yet to start, and will start with the new value, unless
    it is suspended."""
    if machine.state in DOWN_STATES:
        return False
    boots = [e.at for e in machine.events if e.type in ("launch", "start", "restart")]
    resumed = any(e.type == "suspend" for e in machine.events)
    return bool(boots) and max(boots) > at and not resumed
