"""The rollout planner: which machines restart together, and which not at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, zip_longest

from rotator.domain.machines import Machine
from rotator.domain.policy import Order, RolloutPolicy, Strategy
from rotator.domain.sorting import Aim, Group, LeftOut, Sorted, sort_out


class Method(StrEnum):
    """How one process group comes to the new value."""

    IN_PLACE = "in-place"
    BLUE_GREEN = "blue-green"


@dataclass(frozen=True)
class Chain:
    """The waves of one process group, in order. Groups run side by side.

    `budget` is how many of its machines may be out of service at once; the first `canary_waves`
    waves are canaries.
    """

    group: str
    waves: tuple[tuple[Machine, ...], ...]
    budget: int
    canary_waves: int = 0
    method: Method = Method.IN_PLACE


@dataclass(frozen=True)
class RolloutPlan:
    """What becomes of each machine of an app; every one stands in exactly one place.

    `asleep` are updated without being started, `at_next_start` left until they start, `waiting`
    left until somebody renews them, `leftovers` destroyed: an earlier rollout made them and died.
    `notes` should be read before it starts; with `blockers` it can't start.
    """

    chains: tuple[Chain, ...]
    asleep: tuple[Machine, ...] = ()
    at_next_start: tuple[Machine, ...] = ()
    waiting: tuple[Machine, ...] = ()
    up_to_date: tuple[Machine, ...] = ()
    unreachable: tuple[Machine, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    leftovers: tuple[Machine, ...] = ()
    notes: tuple[str, ...] = ()
    blockers: tuple[str, ...] = ()

    @property
    def restarts(self) -> int:
        """How many machines go down and come back, or are replaced."""
        return sum(len(wave) for each in self.chains for wave in each.waves)

    @property
    def waves(self) -> int:
        """How many waves the longest chain has."""
        return max((len(each.waves) for each in self.chains), default=0)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do to any machine."""
        return not (self.chains or self.asleep or self.leftovers)


def plan_rollout(
    machines: Iterable[Machine],
    policy: RolloutPolicy,
    aim: Aim,
    *,
    repairing: bool = False,
    forced: bool = False,
    past_canaries: frozenset[str] = frozenset(),
) -> RolloutPlan:
    """Cut an app's machines into waves so that P4 holds.

    What is out of service already goes first, before any canary: it costs nothing, and while it is
    away others might not be restarted within the budget. When `repairing` (a roll-back), canaries
    would only delay, and replacing machines would only add to the change. `forced` (an emergency,
    or a roll-back) lets a group's only machine restart although the policy doesn't allow it.
    `past_canaries` are the process groups whose canaries have passed in an earlier pass.
    """
    if repairing:
        policy = _for_repair(policy)
    found = sort_out(sorted(machines, key=lambda m: m.id), policy, aim)
    groups = [group for _, group in sorted(found.groups.items()) if group.members]
    chains = tuple(
        _chain(
            group,
            replace(policy, canary=0, strategy=_without_canary(policy.strategy))
            if group.name in past_canaries
            else policy,
            repairing=repairing,
        )
        for group in groups
    )
    blockers = () if forced or repairing else _blockers(groups, chains, policy)
    return RolloutPlan(
        chains=chains,
        asleep=tuple(sorted(found.asleep, key=lambda m: (bool(m.standby_for), m.region, m.id))),
        at_next_start=tuple(found.at_next_start),
        waiting=tuple(found.waiting),
        up_to_date=tuple(found.up_to_date),
        unreachable=tuple(found.unreachable),
        left_out=tuple(found.left_out),
        leftovers=tuple(found.leftovers),
        notes=_notes(found, groups, chains, policy),
        blockers=blockers,
    )


def _for_repair(policy: RolloutPolicy) -> RolloutPolicy:
    quick = policy.strategy is Strategy.IMMEDIATE
    return replace(
        policy, strategy=policy.strategy if quick else Strategy.ROLLING, canary=0, rehearsal=None
    )


def _without_canary(strategy: Strategy) -> Strategy:
    return Strategy.ROLLING if strategy is Strategy.CANARY else strategy


def unavailable_budget(policy: RolloutPolicy, size: int, down: int = 0) -> int:
    """How many machines of a group of `size` may be out of service at once, besides the `down`
    that are stopped: at least one, and never all of them unless one machine is all there is."""
    if policy.strategy is Strategy.IMMEDIATE:
        return max(1, size)
    return max(1, min(policy.max_unavailable.of(size), size - 1) - down)


def _chain(group: Group, policy: RolloutPolicy, *, repairing: bool) -> Chain:
    members = _ordered(group.members, policy, repairing=repairing)
    if policy.strategy is Strategy.BLUE_GREEN and not _with_volumes(group):
        return Chain(group.name, (tuple(members),), len(members), method=Method.BLUE_GREEN)
    budget = unavailable_budget(policy, group.size, group.down)
    canary = 0 if policy.strategy is Strategy.IMMEDIATE else policy.canaries
    standbys = [m for m in members if m.standby_for]
    primaries = [m for m in members if not m.standby_for]
    out = [m for m in primaries if not (m.healthy or repairing)]
    well = [m for m in primaries if m not in out]
    phases = [out, well[:canary], well[canary:]] if canary else [[*out, *well]]
    cut = [_slices(phase, budget) for phase in [*phases, standbys]]
    waves = tuple(tuple(wave) for wave in chain.from_iterable(cut))
    canary_waves = len(cut[0]) + len(cut[1]) if canary else 0
    return Chain(group.name, waves, budget, canary_waves=canary_waves)


def _ordered(
    machines: Sequence[Machine], policy: RolloutPolicy, *, repairing: bool
) -> list[Machine]:
    """Region by region or one of each in turn, regions that are named first or last put there."""

    def place(region: str) -> tuple[int, int, str]:
        if region in policy.first:
            return (0, policy.first.index(region), region)
        if region in policy.last:
            return (2, policy.last.index(region), region)
        return (1, 0, region)

    regions: dict[str, list[Machine]] = {}
    for machine in sorted(machines, key=lambda m: (place(m.region), m.id)):
        regions.setdefault(machine.region, []).append(machine)
    if policy.order is Order.SPREAD:
        turns = zip_longest(*regions.values())
        ordered = [m for m in chain.from_iterable(turns) if m is not None]
    else:
        ordered = [m for members in regions.values() for m in members]
    return sorted(ordered, key=lambda m: m.healthy) if repairing else ordered


def _slices(machines: Sequence[Machine], size: int) -> list[list[Machine]]:
    return [list(machines[i : i + size]) for i in range(0, len(machines), size)]


def _with_volumes(group: Group) -> bool:
    return any(machine.has_volume for machine in group.members)


def _alone(group: Group) -> bool:
    """Whether restarting it leaves the group without a machine that serves."""
    return group.in_service == 1 and any(m.healthy for m in group.members)


def _blockers(
    groups: Sequence[Group], chains: Sequence[Chain], policy: RolloutPolicy
) -> tuple[str, ...]:
    if policy.allow_single or policy.strategy is Strategy.IMMEDIATE:
        return ()
    return tuple(
        f"{group.name} has one machine in service, and restarting it leaves none: set "
        'rollout.allow_single = true, or rollout.strategy = "blue-green"'
        + (" (which its volume forbids)" if _with_volumes(group) else "")
        for group, planned in zip(groups, chains, strict=True)
        if _alone(group) and planned.method is Method.IN_PLACE
    )


def _notes(
    found: Sorted, groups: Sequence[Group], chains: Sequence[Chain], policy: RolloutPolicy
) -> tuple[str, ...]:
    notes: list[str] = []
    for group, planned in zip(groups, chains, strict=True):
        if planned.method is Method.BLUE_GREEN:
            notes.append(f"{group.name}: {len(group.members)} machines are replaced by clones")
        elif _alone(group):
            notes.append(f"{group.name} has one machine: it is away while it restarts")
        if policy.strategy is Strategy.BLUE_GREEN and planned.method is Method.IN_PLACE:
            notes.append(
                f"{group.name} has volumes, which blue-green can't clone: its machines are "
                "restarted in place"
            )
        sick = [m.id for m in group.members if not m.healthy]
        if sick:
            notes.append(
                f"{group.name}: {', '.join(sick)} not healthy now, counted as out of service; "
                "restarted first"
            )
        if group.down:
            notes.append(f"{group.name}: {group.down} stopped, counted as out of service")
    if policy.strategy is Strategy.IMMEDIATE and chains:
        notes.append("immediate: all machines restart at once, and nothing serves meanwhile")
    notes += [
        f"{m.id} in {m.region} can't be reached ({m.host_status}): it keeps the old value for now"
        for m in found.unreachable
    ]
    notes += [
        f"{m.id} in {m.region} is {m.state}: it takes the value at its next start, and the old "
        "value stays valid until then"
        for m in found.at_next_start
    ]
    if found.waiting:
        what = "the next release" if policy.strategy is Strategy.NEXT_RELEASE else "the next start"
        notes.append(
            f"{len(found.waiting)} machines run on until {what}; the old value stays valid"
        )
    return tuple(notes)
