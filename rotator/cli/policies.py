"""A rollout policy in words, for plans and records."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.domain.durations import format_duration
from rotator.domain.policy import (
    WAITING_STRATEGIES,
    OnFailure,
    Order,
    RolloutPolicy,
    Strategy,
)

_HOW = {
    Strategy.ROLLING: "wave by wave",
    Strategy.CANARY: "canaries first, then wave by wave",
    Strategy.IMMEDIATE: "all machines at once",
    Strategy.BLUE_GREEN: "each machine is replaced by a clone that is healthy first",
    Strategy.NEXT_START: "running machines are left alone until they start anew",
    Strategy.NEXT_RELEASE: "machines are left to the team's own next release",
    Strategy.NONE: "nothing is restarted",
}


def strategy_text(policy: RolloutPolicy, *, repairing: bool = False) -> str:
    """The strategy with its meaning, and the order where it is not the usual one."""
    parts = [f"{policy.strategy.value}: {_HOW[policy.strategy]}"]
    if repairing and policy.strategy is not Strategy.IMMEDIATE:
        parts = ["roll-back: wave by wave, what is out of service first"]
    if policy.order is Order.SPREAD:
        parts.append("one of each region in turn")
    if policy.first:
        parts.append(f"{', '.join(policy.first)} first")
    if policy.last:
        parts.append(f"{', '.join(policy.last)} last")
    if policy.groups:
        parts.append(f"process groups {', '.join(policy.groups)} only")
    return "; ".join(parts)


def care_text(policy: RolloutPolicy, *, repairing: bool = False) -> str:
    """How carefully: budget, canaries, pauses, soaks, drains, probes, rehearsals."""
    return ", ".join(_care(policy, repairing=repairing))


def _care(policy: RolloutPolicy, *, repairing: bool) -> Iterator[str]:
    if policy.strategy is Strategy.NEXT_RELEASE:
        yield f"restarted by rotator after {format_duration(policy.deadline)}, then"
    if policy.strategy is not Strategy.NEXT_START:
        if not repairing:
            yield from _before_the_rest(policy)
        yield from _each_wave(policy, repairing=repairing)
        yield from _each_machine(policy, repairing=repairing)
    if policy.strategy in WAITING_STRATEGIES:
        yield f"told as overdue after {format_duration(policy.max_wait)}"


def _before_the_rest(policy: RolloutPolicy) -> Iterator[str]:
    if policy.rehearsal is not None:
        command = f" ({' '.join(policy.rehearsal.command)})" if policy.rehearsal.command else ""
        yield f"rehearsal on a disposable machine{command}"
    if policy.canaries and policy.strategy not in (Strategy.IMMEDIATE, Strategy.BLUE_GREEN):
        soak = f" with {format_duration(policy.canary_soak)} soak" if policy.canary_soak else ""
        yield f"{policy.canaries} {'canary' if policy.canaries == 1 else 'canaries'}{soak}"


def _each_wave(policy: RolloutPolicy, *, repairing: bool) -> Iterator[str]:
    if policy.strategy is Strategy.IMMEDIATE or (
        policy.strategy is Strategy.BLUE_GREEN and not repairing
    ):
        return
    yield f"max_unavailable {policy.max_unavailable} of a group"
    yield f"{format_duration(policy.stagger)} between waves"


def _each_machine(policy: RolloutPolicy, *, repairing: bool) -> Iterator[str]:
    if policy.drain:
        yield f"{format_duration(policy.drain)} drain"
    if policy.probe is not None:
        yield f"probe :{policy.probe.port}{policy.probe.path}"
    if policy.soak and policy.strategy is not Strategy.IMMEDIATE and not repairing:
        yield f"{format_duration(policy.soak)} soak"


def failure_text(policy: RolloutPolicy, *, repairing: bool = False) -> str:
    """What happens at a machine that does not become healthy."""
    if repairing:
        return "stop and park the rotation"
    if policy.on_failure is OnFailure.UNDO:
        return "undo: stop, put the old value back, restart what had taken the new one"
    if policy.on_failure is OnFailure.PAUSE:
        return "pause: stop and wait for `rotator rollout resume` or `abort`"
    return f"continue: up to {policy.failure_budget} of the machines may fail, then undo"
