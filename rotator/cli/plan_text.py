"""A plan in words: what would happen, to which machines, when, and what to know before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rotator.cli.policies import care_text, failure_text, strategy_text
from rotator.cli.text import moment
from rotator.domain.durations import format_duration
from rotator.domain.machines import Machine
from rotator.domain.policy import WAITING_STRATEGIES, Strategy
from rotator.domain.rollout import Chain, Method
from rotator.domain.rotation import Mode, StepName
from rotator.engine.plan import AppRollout, CredentialPlan, Shared

_INDENT = "       "


def plan_lines(plan: CredentialPlan) -> Iterator[str]:
    """The plan for one credential."""
    spec = plan.credential.spec
    yield f"{spec.name}  ({spec.kind}, {spec.place}, {plan.mode.value})"
    for blocker in plan.blockers:
        yield f"  can't start: {blocker}"
    for warning in plan.warnings:
        yield f"  note: {warning}"
    for number, step in enumerate(plan.steps, start=1):
        subject = f" {step.subject}" if step.subject else ""
        yield f"  {number}. {step.step.value}{subject}: {step.effect}"
        for call in step.calls:
            yield f"{_INDENT}{call}"
        if step.step is StepName.ROLL_OUT:
            for rollout in plan.rollouts:
                if rollout.app == step.subject:
                    yield from _rollout(rollout)
    yield from _end(plan)


def _end(plan: CredentialPlan) -> Iterator[str]:
    """How long it takes, and what becomes of the old value."""
    overlap = plan.credential.spec.policy.overlap if plan.mode is Mode.NORMAL else None
    told = format_duration(overlap) if overlap else "none"
    yield f"  takes about {plan.minutes:g} min until the new value is everywhere" + (
        ", but for those that are waited for:" if plan.held_by else ""
    )
    for each in plan.held_by:
        yield f"    {each}"
    if plan.revoke_at is None:
        yield f"  then revokes {plan.revokes}"
    elif plan.held_by:
        yield f"  then revokes {plan.revokes} once they have renewed (overlap {told});"
        yield f"  at the earliest {moment(plan.revoke_at)}"
    else:
        yield f"  then revokes {plan.revokes} about {moment(plan.revoke_at)} (overlap {told})"


def shared_line(shared: Shared) -> str:
    """What rotating several credentials together saves."""
    restarts = "1 restart" if shared.saved == 1 else f"{shared.saved} restarts"
    return (
        f"{shared.app}: one rollout serves {', '.join(shared.credentials)} when they come due "
        f"within {format_duration(shared.coalesce)} of each other; that saves {restarts}"
    )


def _rollout(rollout: AppRollout) -> Iterator[str]:
    policy, plan = rollout.policy, rollout.plan
    yield f"{_INDENT}strategy {strategy_text(policy)}"
    care = care_text(policy)
    if (care and plan.chains) or policy.strategy in WAITING_STRATEGIES:
        yield f"{_INDENT}care {care}"
    if plan.chains:
        yield f"{_INDENT}on failure {failure_text(policy)}"
        release = "made, so that `fly releases` tells of it" if policy.release else "none (policy)"
        yield f"{_INDENT}release {release}"
    budget = policy.disruption
    if plan.chains and budget.limited:
        limits = ", ".join(f"{name} {v}" for name, v in vars(budget).items() if v is not None)
        yield f"{_INDENT}organisation's disruption budget {limits}"
    for chain in plan.chains:
        yield from _chain(chain)
    yield from _apart(rollout)


def _chain(chain: Chain) -> Iterator[str]:
    machines = sum(len(wave) for wave in chain.waves)
    named = f"{_INDENT}process group {chain.group}, {_counted(machines)}"
    if chain.method is Method.BLUE_GREEN:
        yield f"{named}, all replaced by clones that are healthy first:"
        yield f"{_INDENT}  {_listed(m for wave in chain.waves for m in wave)}"
        return
    yield f"{named}, at most {chain.budget} away at once:"
    for number, wave in enumerate(chain.waves, start=1):
        canary = " (canary)" if number <= chain.canary_waves else ""
        yield f"{_INDENT}  wave {number}{canary}: {_listed(wave)}"


def _apart(rollout: AppRollout) -> Iterator[str]:
    """Machines that don't restart, each with the reason."""
    plan = rollout.plan
    until = "release" if rollout.policy.strategy is Strategy.NEXT_RELEASE else "start"
    for what, machines in (
        ("asleep, updated without being started", plan.asleep),
        ("asleep, left until they start (policy)", plan.at_next_start),
        (f"left alone until their next {until}", plan.waiting),
        ("up to date already", plan.up_to_date),
        ("host unreachable, not waited for", plan.unreachable),
        ("left over from an earlier rollout, destroyed", plan.leftovers),
    ):
        if machines:
            yield f"{_INDENT}{what}: {_listed(machines, states=True)}"
    for left in plan.left_out:
        yield f"{_INDENT}not touched: {left.machine.id} {left.machine.region}: {left.reason}"


def _listed(machines: Sequence[Machine] | Iterator[Machine], *, states: bool = False) -> str:
    return ", ".join(f"{m.id} {m.region}" + (f" {m.state}" if states else "") for m in machines)


def _counted(machines: int) -> str:
    return "1 machine" if machines == 1 else f"{machines} machines"
