"""A rollout policy in words, for plans and records."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.domain.durations import format_duration
from rotator.domain.policy import OnFailure, Order, RolloutPolicy, Strategy

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
    waves = policy.strategy in (Strategy.ROLLING, Strategy.CANARY, Strategy.NEXT_RELEASE)
    if policy.rehearsal is not None and not repairing:
        yield "rehearsal on a disposable machine" + (
            f" ({' '.join(policy.rehearsal.command)})" if policy.rehearsal.command else ""
        )
    if waves or repairing:
        if policy.canaries and not repairing:
            soak = f" with {format_duration(policy.canary_soak)} soak" if policy.canary_soak else ""
            yield f"{_counted(policy.canaries, 'canary', 'canaries')}{soak}"
        yield f"max_unavailable {policy.max_unavailable} of a group"
        yield f"{format_duration(policy.stagger)} between waves"
    if policy.drain:
        yield f"{format_duration(policy.drain)} drain"
    if policy.probe is not None:
        yield f"probe :{policy.probe.port}{policy.probe.path}"
    if policy.soak and policy.strategy is not Strategy.IMMEDIATE and not repairing:
        yield f"{format_duration(policy.soak)} soak"
    if policy.strategy is Strategy.NEXT_RELEASE:
        yield f"restarted by rotator after {format_duration(policy.deadline)}"
    if policy.strategy in (Strategy.NEXT_START, Strategy.NEXT_RELEASE):
        yield f"warns after {format_duration(policy.max_wait)}"


def failure_text(policy: RolloutPolicy, *, repairing: bool = False) -> str:
    """What happens at a machine that does not become healthy."""
    if repairing:
        return "stop and park the rotation"
    if policy.on_failure is OnFailure.UNDO:
        return "undo: stop, put the old value back, restart what had taken the new one"
    if policy.on_failure is OnFailure.PAUSE:
        return "pause: stop and wait for `rotator rollout resume` or `abort`"
    return f"continue: up to {policy.failure_budget} of the machines may fail, then undo"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
