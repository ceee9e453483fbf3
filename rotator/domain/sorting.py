"""Sort an app's machines by what a rollout has to do with each. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rotator.domain.machines import (
    GONE_STATES,
    MARK_REHEARSAL,
    MARK_ROLLOUT,
    RESERVED_GROUPS,
    Machine,
)
from rotator.domain.policy import Asleep, RolloutPolicy, Strategy

_OWN_PLATFORM = ("", "v2")
"""`fly_platform_version` of machines that are the app's own; loose ones made by the API have none
(Fly: `fly secrets set` forgets those, rotator must not)."""


@dataclass(frozen=True)
class LeftOut:
    """A machine that the rollout does not touch, and why."""

    machine: Machine
    reason: str


@dataclass(frozen=True)
class Aim:
    """What a rollout is for.

    A machine is done when it holds secrets version `floor`, or when it was renewed after
    `delivered_at`. `rollout_id` is given when a crashed rollout goes on: machines that it has
    updated but not seen healthy are looked at again. `untouched` are machines that need nothing,
    because they never took up what a roll-back takes back.
    """

    names: frozenset[str]
    floor: int
    delivered_at: datetime | None = None
    rollout_id: str | None = None
    untouched: frozenset[str] = frozenset()


def reads_value(machine: Machine, names: frozenset[str], groups: tuple[str, ...]) -> bool:
    """Whether one of these app secrets reaches the machine and its process group uses it."""
    if groups and machine.process_group not in groups:
        return False
    return not names or any(machine.reads_secret(name) for name in names)


def left_alone_reason(machine: Machine) -> str | None:
    """Why a machine that reads the value is not rotator's to restart, or None."""
    if machine.process_group in RESERVED_GROUPS:
        return f"Fly runs it for its own ends ({machine.process_group})"
    if "fly_builder_id" in machine.metadata:
        return "it is a builder"
    if "fly-managed-postgres" in machine.metadata:
        return "it belongs to a managed Postgres cluster"
    platform = machine.metadata.get("fly_platform_version", "")
    if platform not in _OWN_PLATFORM:
        return f"another platform runs it ({platform})"
    if machine.schedule is not None:
        # Fly: one page says that a start brings new secrets, another that an update is needed.
        return f"it is started on a schedule ({machine.schedule}), which should bring it the value"
    if machine.auto_destroy:
        return "it destroys itself when it is done"
    return None


def left_out_reason(
    machine: Machine, names: frozenset[str], groups: tuple[str, ...] = ()
) -> str | None:
    """Why a machine is none of a rollout's business, or None."""
    reason = left_alone_reason(machine)
    if reason is not None or reads_value(machine, names, groups):
        return reason
    if groups and machine.process_group not in groups:
        return f"its process group {machine.process_group} does not read the value (policy)"
    return "it does not read the secret"


@dataclass
class Group:
    """One process group: what is to be restarted, and what it has to live on meanwhile.

    `size` counts machines that are meant to be in service; `down` those of them that are stopped
    for good. Machines that the proxy puts to sleep, and standbys, are neither.
    """

    name: str
    members: list[Machine] = field(default_factory=list)
    size: int = 0
    down: int = 0

    @property
    def in_service(self) -> int:
        """How many are up, or should be."""
        return self.size - self.down


@dataclass
class Sorted:
    """The machines, each in exactly one place."""

    groups: dict[str, Group] = field(default_factory=dict)
    asleep: list[Machine] = field(default_factory=list)
    at_next_start: list[Machine] = field(default_factory=list)
    waiting: list[Machine] = field(default_factory=list)
    up_to_date: list[Machine] = field(default_factory=list)
    unreachable: list[Machine] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    leftovers: list[Machine] = field(default_factory=list)


def sort_out(machines: Iterable[Machine], policy: RolloutPolicy, aim: Aim) -> Sorted:
    """Put every machine that exists where it belongs, in the order given; those that rotator made
    last, as they depend on the others."""
    existing = [m for m in machines if m.state not in GONE_STATES]
    ids = {m.id for m in existing}
    found = Sorted()
    made = {m.id for m in existing if m.rehearses or m.stand_in_for in ids}
    for machine in existing:
        if machine.id not in made:
            _place(found, machine, policy, aim)
    for machine in existing:
        if machine.id in made:
            _disposable(found, machine, aim)
    return found


def _disposable(found: Sorted, machine: Machine, aim: Aim) -> None:
    """A machine that rotator made and that has not taken over from anything. A clone is needed for
    as long as its original still has to be replaced, a rehearsal while its group has machines to
    restart: somebody's deploy may have seen to that, and the proxy may have put them to sleep."""
    to_replace = {m.id for group in found.groups.values() for m in group.members}
    to_replace |= {m.id for m in found.unreachable}
    rehearsed = found.groups.get(machine.metadata.get(MARK_REHEARSAL, ""))
    needed = bool(rehearsed and rehearsed.members) or machine.stand_in_for in to_replace
    if machine.metadata.get(MARK_ROLLOUT) != aim.rollout_id or not needed:
        found.leftovers.append(machine)
        return
    what = f"stands in for {machine.stand_in_for}" if machine.stand_in_for else "is a rehearsal"
    found.left_out.append(LeftOut(machine, f"it {what}"))


def _place(found: Sorted, machine: Machine, policy: RolloutPolicy, aim: Aim) -> None:
    reason = left_out_reason(machine, aim.names, policy.groups)
    if reason is not None:
        found.left_out.append(LeftOut(machine, reason))
        return
    group = found.groups.setdefault(machine.process_group, Group(machine.process_group))
    counted = not machine.down or not machine.reachable
    stopped_for_good = machine.state == "stopped" and not _sleeps_by_design(machine)
    group.size += counted or stopped_for_good
    group.down += stopped_for_good and not counted
    if machine.id in aim.untouched:
        found.left_out.append(LeftOut(machine, "it never took up the new value"))
        return
    if _is_done(machine, aim):
        found.up_to_date.append(machine)
    elif not machine.reachable:
        found.unreachable.append(machine)
    elif policy.strategy is Strategy.NEXT_RELEASE:
        found.waiting.append(machine)
    elif machine.down:
        _asleep(found, machine, policy)
    elif policy.strategy is Strategy.NEXT_START:
        found.waiting.append(machine)
    else:
        group.members.append(machine)


def _asleep(found: Sorted, machine: Machine, policy: RolloutPolicy) -> None:
    """Updating a machine that is down is what makes its next start certain to hold the value."""
    leave = policy.asleep is Asleep.NEXT_START and policy.strategy is not Strategy.NEXT_START
    (found.at_next_start if leave else found.asleep).append(machine)


def _sleeps_by_design(machine: Machine) -> bool:
    return machine.autostarts or bool(machine.standby_for)


def _is_done(machine: Machine, aim: Aim) -> bool:
    marked = machine.marked_secrets_version >= aim.floor
    renewed = aim.delivered_at is not None and machine.renewed_since(aim.delivered_at)
    if not (marked or renewed):
        return False
    marked_by = machine.metadata.get(MARK_ROLLOUT)
    ours = marked_by is not None and marked_by == aim.rollout_id
    return machine.healthy or not (machine.running and ours)
