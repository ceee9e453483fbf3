"""What a plan may do and has to do, said a second time without the planner: by its promises.

The proof of adoption is the one that the step `confirm` demands (`engine.adoption.judge`), not
the planner's own notion of what is done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import combinations

from rotator.domain.machines import DOWN_STATES, MARK_SECRETS_VERSION, Machine
from rotator.domain.policy import Asleep, RolloutPolicy
from rotator.domain.sorting import Aim, left_out_reason
from rotator.engine.adoption import judge


def updated(machine: Machine, version: int) -> Machine:
    """The machine after an update of ours that asked for this secrets version."""
    version = max(version, machine.marked_secrets_version)
    return replace(
        machine, metadata={**machine.metadata, MARK_SECRETS_VERSION: str(version)}, events=()
    )


def lacking(
    machines: Iterable[Machine], touched: Collection[str], policy: RolloutPolicy, aim: Aim
) -> tuple[str, ...]:
    """Who lacks proof of the value after these machines were updated."""
    after = [updated(m, aim.floor) if m.id in touched else m for m in machines]
    assert aim.delivered_at is not None
    return judge(
        after, policy, names=aim.names, floor=aim.floor, delivered_at=aim.delivered_at
    ).stale


def in_motion(machine: Machine) -> bool:
    """Whether updating it means a boot: the executor lets only those down that are down."""
    return machine.state not in DOWN_STATES


def least_restarts(machines: Sequence[Machine], policy: RolloutPolicy, aims: Sequence[Aim]) -> int:
    """By brute force: the smallest set of restarts after which nobody lacks any of the values.
    Machines that are down cost no restart, and are updated as they are where the policy says so."""
    ids = [m.id for m in machines if in_motion(m)]
    free = {m.id for m in machines if m.reachable and not in_motion(m)}
    free = free if policy.asleep is Asleep.UPDATE else set()
    for size in range(len(ids) + 1):
        for chosen in combinations(ids, size):
            if not any(lacking(machines, {*chosen, *free}, policy, aim) for aim in aims):
                return size
    raise AssertionError("not even restarting all of them proves the value")


def meant_to_serve(machines: Iterable[Machine], group: str, aim: Aim) -> list[Machine]:
    """The machines of a group that should be in service, whether they are or not. A rehearsal's
    is none of them."""
    return [
        m
        for m in machines
        if m.process_group == group
        and m.state != "destroyed"
        and not m.rehearses
        and left_out_reason(m, aim.names) is None
        and (m.state not in DOWN_STATES or not m.reachable or stopped_for_good(m))
    ]


def stopped_for_good(machine: Machine) -> bool:
    """Somebody stopped it: nothing starts it by itself."""
    return (
        machine.state == "stopped"
        and machine.reachable
        and not machine.autostarts
        and not machine.standby_for
    )


def keeps_p4(group: Sequence[Machine], wave: Collection[Machine], policy: RolloutPolicy) -> bool:
    """Whether the group can spare this wave: the policy allows so many to be away, one stays. One
    machine at a time may always go, or nothing ever could."""
    away = len(wave) + sum(stopped_for_good(machine) for machine in group)
    return len(wave) == 1 or (
        away <= policy.max_unavailable.of(len(group)) and len(group) - away >= 1
    )


def least_waves(
    group: Sequence[Machine],
    phases: Sequence[Sequence[Machine]],
    policy: RolloutPolicy,
) -> int:
    """By brute force over every way to cut each phase: the fewest waves that all keep P4. A phase
    begins when the one before has ended: canaries, the rest, standbys."""
    return sum(_fewest(group, phase, policy) for phase in phases)


def _fewest(group: Sequence[Machine], left: Sequence[Machine], policy: RolloutPolicy) -> int:
    if not left:
        return 0
    return 1 + min(
        _fewest(group, [m for m in left if m not in wave], policy)
        for size in range(1, len(left) + 1)
        for wave in combinations(left, size)
        if keeps_p4(group, wave, policy)
    )
