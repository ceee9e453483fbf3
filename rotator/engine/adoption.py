"""The step confirm: proof that every target shows the new value and every machine runs with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import Drift, Held, NotYet
from rotator.domain.events import Action, Outcome
from rotator.domain.machines import CLOCK_SKEW, DOWN_STATES, GONE_STATES, Machine
from rotator.domain.policy import Asleep, RolloutPolicy, Strategy
from rotator.domain.ports import Fleet
from rotator.domain.protocol import DRIFTED, rolled_apps
from rotator.domain.rotation import Mode, Step, StepName, StepState
from rotator.domain.sorting import left_alone_reason, reads_value
from rotator.engine.deliver import SECRETS_VERSION, first_version_of, receipt_of
from rotator.engine.drift import noticed
from rotator.engine.journal import first_intended, held_since
from rotator.engine.step import Result, StepContext, told

ROLLOUT_PASSES = 10
"""How often a step that looks at the machines sends the walk back to the rollout."""
WARNED = "warned"
"""Key in the step's detail: that the wait has been told as too long."""
_LOOK_SECONDS = 30.0
_LONGEST_LOOK = timedelta(hours=1)
BOOTS = frozenset({"launch", "start", "restart", "update"})
"""Types of events in a machine's history that go with a boot."""
_PATIENCE_SHARE = 0.2
"""Of the time that it has waited: a machine that has slept since Monday need not be looked at every
few minutes, and each look is an event in the log."""


@dataclass(frozen=True)
class Adoption:
    """What the machines of one app show. Each list holds machine ids.

    `sleeping` are left down by policy until they start by themselves; `finishing` are machines
    that rollouts leave alone (jobs, consoles) and that still run with what they started with.
    """

    proven: tuple[str, ...]
    stale: tuple[str, ...]
    unreachable: tuple[str, ...]
    sleeping: tuple[str, ...] = ()
    finishing: tuple[str, ...] = ()


async def confirm(ctx: StepContext) -> Result:
    """Every target shows what was delivered; every machine that reads it has taken it up.

    Machines that came or came back since the rollout and hold an old value send the walk back to
    the rollout. Machines that can't be reached hold back the promotion, because their value is in
    use; so do machines that sleep by policy, and jobs that still run with the old value, unless
    this is an emergency.
    """
    await _confirm_targets(ctx)
    waiting: list[str] = []
    reopen: list[Step] = []
    for app, deliveries in _by_app(ctx).items():
        adoption = await _look(ctx, app, deliveries)
        ctx.notes[f"machines:{app}"] = f"{len(adoption.proven)} proven"
        waiting += _held_back(ctx, app, adoption)
        if adoption.stale and app in rolled_apps(ctx.credential.spec):
            reopen += [s for s in ctx.steps if s.name is StepName.ROLL_OUT and s.subject == app]
        elif adoption.stale:
            waiting.append(f"{app}: not renewed since the delivery {', '.join(adoption.stale)}")
    if reopen and ctx.step.attempt <= ROLLOUT_PASSES:
        return Result(reopen=tuple(reopen))
    if reopen:
        raise NotYet(
            "; ".join(
                f"{step.subject}: machines without the value after {ROLLOUT_PASSES} rollouts"
                for step in reopen
            ),
            after_seconds=_LOOK_SECONDS,
        )
    if waiting:
        await _warn_once(ctx, waiting)
        raise Held("; ".join(waiting), after_seconds=_pause(ctx).total_seconds())
    return Result()


def _held_back(ctx: StepContext, app: str, adoption: Adoption) -> list[str]:
    """For whom the promotion waits, a sentence each."""
    found = []
    if adoption.unreachable:
        found.append(f"{app}: unreachable {', '.join(adoption.unreachable)}")
    if adoption.sleeping:
        found.append(f"{app}: at their next start {', '.join(adoption.sleeping)}")
    if adoption.finishing and ctx.rotation.mode is Mode.NORMAL:
        found.append(f"{app}: still at work with the old value {', '.join(adoption.finishing)}")
    return found


def _pause(ctx: StepContext) -> timedelta:
    """The longer it has waited, the rarer it looks."""
    now = ctx.parts.clock.now()
    waited = now - held_since(ctx.step, now)
    return min(max(waited * _PATIENCE_SHARE, timedelta(seconds=_LOOK_SECONDS)), _LONGEST_LOOK)


async def _warn_once(ctx: StepContext, waiting: Sequence[str]) -> None:
    """Escalate by policy: past `max_wait` the wait is told, once, with for whom it is."""
    now = ctx.parts.clock.now()
    longest = min(
        (t.rollout.max_wait for t in ctx.credential.spec.targets if t.app), default=timedelta.max
    )
    if now - held_since(ctx.step, now) < longest or WARNED in ctx.step.detail:
        return
    ctx.notes[WARNED] = "yes"
    event = told(ctx, Action.ROLLOUT_WAITING, Outcome.WAITING, now)
    async with ctx.parts.store.unit() as unit:
        detail = {**event.detail, "waiting_for": "; ".join(waiting)[:2000]}
        await unit.append(replace(event, detail=detail))


async def _confirm_targets(ctx: StepContext) -> None:
    for spec in ctx.credential.spec.targets:
        step = _delivery(ctx, spec.key)
        if step is None:
            continue
        target = ctx.target(spec.key)
        try:
            evidence = await target.confirm(spec, receipt_of(step))
        except Drift as error:
            ctx.notes[DRIFTED] = spec.key
            raise await _attributed(ctx, spec, error) from None
        ctx.notes[f"target:{spec.key}"] = evidence.statement


async def _attributed(ctx: StepContext, spec: TargetSpec, error: Drift) -> Drift:
    """The error with who wrote there, as far as that is told."""
    if spec.app is None:
        return error
    state = await ctx.target(spec.key).inspect(spec)
    watch = await noticed(ctx.parts, ctx.credential, spec, state, rotating=True, lag=timedelta(0))
    if watch is None or not watch.who:
        return error
    return Drift(
        f"{error.message} (it was {watch.who})",
        next_step=error.next_step,
        request_id=error.request_id,
    )


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
    policy = next(t.rollout for t in ctx.credential.spec.targets if t.app == app)
    if ctx.rotation.mode is not Mode.NORMAL:
        policy = replace(policy, asleep=Asleep.UPDATE)
    machines = await all_machines(ctx.parts.fleet, app)
    return judge(machines, policy, names=names, floor=floor, delivered_at=since)


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
    machines: Iterable[Machine],
    policy: RolloutPolicy,
    *,
    names: frozenset[str],
    floor: int,
    delivered_at: datetime,
) -> Adoption:
    """Sort machines by what they prove. A machine holds the value when our own update asked for
    at least `floor`, or when a version of it was made after the delivery was answered."""
    proven: list[str] = []
    stale: list[str] = []
    unreachable: list[str] = []
    sleeping: list[str] = []
    finishing: list[str] = []
    leaves_asleep = policy.asleep is Asleep.NEXT_START and policy.strategy is not Strategy.NONE
    for machine in machines:
        if machine.state in GONE_STATES or not reads_value(machine, names, policy.groups):
            continue
        if left_alone_reason(machine):
            if machine.remembers and not machine.renewed_since(delivered_at):
                finishing.append(machine.id)
        elif machine.holds(floor=floor, delivered_at=delivered_at):
            proven.append(machine.id)
        elif not machine.reachable:
            unreachable.append(machine.id)
        elif leaves_asleep and machine.state in DOWN_STATES:
            sleeping.append(machine.id)
        else:
            stale.append(machine.id)
    return Adoption(
        tuple(proven), tuple(stale), tuple(unreachable), tuple(sleeping), tuple(finishing)
    )


async def confirm_restored(ctx: StepContext) -> tuple[Step, ...]:
    """Before the new value is revoked on the way back: no machine may still hold it.

    Gives the roll-backs that have to run once more, for machines that may hold it and that rotator
    can restart (one that rebooted by itself meanwhile). `Held` while another one may hold it.
    """
    waiting: list[str] = []
    again: list[Step] = []
    restored = {s.subject: s for s in ctx.steps if s.name is StepName.RESTORE and s.ended}
    for app in dict.fromkeys(t.app for t in ctx.credential.spec.targets if t.app):
        targets = [t for t in ctx.credential.spec.targets if t.app == app and t.key in restored]
        if not targets:
            continue
        holding = await _still_holding(ctx, app, targets, restored)
        back = [s for s in ctx.steps if s.name is StepName.ROLL_BACK and s.subject == app]
        stuck = [m for m in holding if not back or not _can_restart(m, targets[0].rollout)]
        waiting += [f"{app}: {machine.id} may still hold the new value" for machine in stuck]
        again += back if len(stuck) < len(holding) else []
    if again and ctx.step.attempt <= ROLLOUT_PASSES:
        return tuple(again)
    if again:
        apps = ", ".join(step.subject for step in again)
        raise NotYet(
            f"{apps}: machines may hold the new value after {ROLLOUT_PASSES} roll-backs",
            after_seconds=_LOOK_SECONDS,
        )
    if waiting:
        raise Held("; ".join(waiting), after_seconds=_pause(ctx).total_seconds())
    return ()


async def _still_holding(
    ctx: StepContext, app: str, targets: Sequence[TargetSpec], restored: Mapping[str, Step]
) -> list[Machine]:
    """Machines of an app that may hold the new value, and are not proven to hold the old one."""
    begun = min(first_intended(_begun(ctx, t.key), ctx.parts.clock.now()) for t in targets)
    back = [restored[t.key] for t in targets]
    floor = max(int(step.detail.get(SECRETS_VERSION, "0")) for step in back)
    at = max(step.outcome_at for step in back if step.outcome_at is not None)
    first = min(first_version_of(_begun(ctx, t.key)) for t in targets)
    names = frozenset(n for t in targets if (n := ctx.parts.targets[t.type].secret_name(t.params)))
    return [
        machine
        for machine in await all_machines(ctx.parts.fleet, app)
        if machine.state not in GONE_STATES
        and reads_value(machine, names, targets[0].rollout.groups)
        and not (left_alone_reason(machine) and not machine.remembers)
        and may_hold(machine, floor=first, delivered_at=begun)
        and not machine.holds(floor=floor, delivered_at=at)
    ]


def _can_restart(machine: Machine, policy: RolloutPolicy) -> bool:
    """Whether a roll-back would bring the machine to the old value."""
    if left_alone_reason(machine) is not None or not machine.reachable:
        return False
    return not (machine.state in DOWN_STATES and policy.asleep is Asleep.NEXT_START)


def _begun(ctx: StepContext, key: str) -> Step:
    return next(s for s in ctx.steps if s.name is StepName.DELIVER and s.subject == key)


def may_hold(machine: Machine, *, floor: int, delivered_at: datetime) -> bool:
    """Whether a machine may hold a value that was delivered then as secrets version `floor`: also
    one that merely started since, or that can't be looked at."""
    marked = bool(floor) and machine.marked_secrets_version >= floor
    return marked or not machine.reachable or _booted_since(machine, delivered_at - CLOCK_SKEW)


def _booted_since(machine: Machine, at: datetime) -> bool:
    """Whether any boot that its history shows was after `at`. A resume is no boot: the old memory
    comes back."""
    starts = [e.at for e in machine.events if e.type in BOOTS]
    return max([*starts, machine.created_at]) > at
