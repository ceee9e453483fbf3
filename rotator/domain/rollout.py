"""The rollout planner: which machines restart together, and which not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rotator.domain.machines import (
    GONE_STATES,
    MARK_ROLLOUT,
    RESERVED_GROUPS,
    Machine,
)
from rotator.domain.policy import RolloutPolicy


@dataclass(frozen=True)
class LeftOut:
    """A machine that the rollout does not touch, and why."""

    machine: Machine
    reason: str


@dataclass(frozen=True)
class RolloutPlan:
    """Waves in order; machines that are updated without being started; and the others.

    `budgets` gives, for each process group, how many of its machines may be out of service at
    once; the first `canary_waves` waves are canaries. `notes` are sentences that a person should
    read before it starts.
    """

    waves: tuple[tuple[Machine, ...], ...]
    asleep: tuple[Machine, ...]
    up_to_date: tuple[Machine, ...]
    unreachable: tuple[Machine, ...]
    left_out: tuple[LeftOut, ...]
    budgets: Mapping[str, int]
    canary_waves: int = 0
    notes: tuple[str, ...] = ()

    @property
    def restarts(self) -> int:
        """How many machines go down and come back."""
        return sum(len(wave) for wave in self.waves)


def left_out_reason(machine: Machine, names: frozenset[str]) -> str | None:
    """Why a machine is none of a rollout's business, or None."""
    if machine.process_group in RESERVED_GROUPS:
        return f"Fly runs it for its own ends ({machine.process_group})"
    if "fly_builder_id" in machine.metadata:
        return "it is a builder"
    if machine.schedule is not None:
        return f"it is started on a schedule ({machine.schedule}) and takes the value then"
    if machine.auto_destroy:
        return "it destroys itself when it is done"
    if names and not any(machine.reads_secret(name) for name in names):
        return "it does not read the secret"
    return None


def plan_rollout(
    machines: Iterable[Machine],
    policy: RolloutPolicy,
    *,
    secrets_version: int,
    names: frozenset[str],
    rollout_id: str | None = None,
    repairing: bool = False,
) -> RolloutPlan:
    """Cut an app's machines into waves so that P4 holds.

    Groups are rolled side by side; within a group the machines go region by region. The first
    `canary` machines of each group form a wave of their own. `rollout_id` is given when a crashed
    rollout goes on: machines that it has updated but not seen healthy are looked at again.
    When `repairing`, what is out of service already goes first: it costs nothing, and nothing else
    could be restarted within the budget before it is back; canaries would only delay it.
    """
    sorted_out = _SortedOut(secrets_version, names, rollout_id)
    canary = 0 if repairing else policy.canary

    def order(machine: Machine) -> tuple[object, ...]:
        later = repairing and machine.healthy
        return (machine.process_group, later, machine.region, machine.id)

    for machine in sorted(machines, key=order):
        sorted_out.add(machine)
    budgets = {
        group: unavailable_budget(policy, sorted_out.group_sizes[group])
        for group in sorted_out.groups
    }
    chains = [
        _group_waves(members, budgets[group], canary)
        for group, members in sorted_out.groups.items()
    ]
    return RolloutPlan(
        waves=_side_by_side(chains, canary=canary > 0),
        asleep=tuple(sorted_out.asleep),
        up_to_date=tuple(sorted_out.up_to_date),
        unreachable=tuple(sorted_out.unreachable),
        left_out=tuple(sorted_out.left_out),
        budgets=budgets,
        canary_waves=len(chains) if canary > 0 else 0,
        notes=_notes(sorted_out),
    )


def unavailable_budget(policy: RolloutPolicy, size: int) -> int:
    """How many machines of a group of `size` may be out of service at once: at least one, and
    never all of them unless the group is a single machine."""
    return min(policy.max_unavailable.of(size), max(1, size - 1))


class _SortedOut:
    """Machines by what a rollout does with them."""

    def __init__(self, secrets_version: int, names: frozenset[str], rollout_id: str | None) -> None:
        self._floor = secrets_version
        self._names = names
        self._rollout_id = rollout_id
        self.groups: dict[str, list[Machine]] = {}
        self.group_sizes: dict[str, int] = {}
        self.asleep: list[Machine] = []
        self.up_to_date: list[Machine] = []
        self.unreachable: list[Machine] = []
        self.left_out: list[LeftOut] = []

    def add(self, machine: Machine) -> None:
        """Put one machine where it belongs."""
        if machine.state in GONE_STATES:
            return
        reason = left_out_reason(machine, self._names)
        if reason is not None:
            self.left_out.append(LeftOut(machine, reason))
            return
        if machine.running or not machine.reachable:
            group = machine.process_group
            self.group_sizes[group] = self.group_sizes.get(group, 0) + 1
        if self._is_done(machine):
            self.up_to_date.append(machine)
        elif not machine.reachable:
            self.unreachable.append(machine)
        elif machine.running or machine.state == "failed":
            self.groups.setdefault(machine.process_group, []).append(machine)
            if not machine.running:
                group = machine.process_group
                self.group_sizes[group] = self.group_sizes.get(group, 0) + 1
        else:
            self.asleep.append(machine)

    def _is_done(self, machine: Machine) -> bool:
        if machine.marked_secrets_version < self._floor:
            return False
        ours = machine.metadata.get(MARK_ROLLOUT) == self._rollout_id
        return machine.healthy or not (machine.running and ours)


def _group_waves(members: Sequence[Machine], budget: int, canary: int) -> list[list[Machine]]:
    """One group's machines, first the canary in slices of the budget, then the rest."""
    first, rest = list(members[:canary]), list(members[canary:])
    return [*_slices(first, budget), *_slices(rest, budget)]


def _slices(machines: Sequence[Machine], size: int) -> list[list[Machine]]:
    return [list(machines[i : i + size]) for i in range(0, len(machines), size)]


def _side_by_side(
    chains: Sequence[Sequence[Sequence[Machine]]], *, canary: bool
) -> tuple[tuple[Machine, ...], ...]:
    """Wave n holds the nth slice of every group; a canary goes group by group, alone."""
    waves: list[tuple[Machine, ...]] = []
    if canary:
        waves += [tuple(chain[0]) for chain in chains if chain]
        chains = [chain[1:] for chain in chains]
    for slices in zip_longest(*chains, fillvalue=()):
        waves.append(tuple(machine for part in slices for machine in part))
    return tuple(wave for wave in waves if wave)


def _notes(sorted_out: _SortedOut) -> tuple[str, ...]:
    single = [g for g in sorted_out.groups if sorted_out.group_sizes.get(g) == 1]
    notes = [
        f"{group or 'the app'} has one machine: it is away while it restarts" for group in single
    ]
    notes += [
        f"{m.id} in {m.region} can't be reached ({m.host_status}): it keeps the old value for now"
        for m in sorted_out.unreachable
    ]
    return tuple(notes)
