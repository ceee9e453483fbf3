"""What a state is: the journal as committed, the world as it is, two workers. All hashable."""

from __future__ import annotations

from typing import NamedTuple

from rotator.domain.credential import VersionState
from rotator.domain.rotation import Mode, RotationState, StepName, StepState

OLD = 0
"""The value that stands before the rotation. New ones count up from 1."""


class Scenario(NamedTuple):
    """What is explored: the mode, and whether rotator holds the old value (an adopted one not)."""

    mode: Mode
    sealed: bool = True

    def __str__(self) -> str:
        return f"{self.mode.value}, {'' if self.sealed else 'adopted '}old value"


class StepRow(NamedTuple):
    """A step as the journal has it. `late`: its `not_before` is still to come; `before`: what stood
    at the target is noted; `floor`: the secrets version that it wrote; `revoked` is noted, too."""

    position: int
    name: StepName
    subject: str
    state: StepState
    attempt: int = 0
    late: bool = False
    before: bool = False
    floor: int = 0
    revoked: bool = False


class VersionRow(NamedTuple):
    """A version: `value` is which one, None until the issuer's answer is committed."""

    state: VersionState
    value: int | None
    sealed: bool


class Journal(NamedTuple):
    """What the database holds. `new` is an index into `versions`."""

    state: RotationState
    steps: tuple[StepRow, ...]
    versions: tuple[VersionRow, ...]
    new: int | None = None
    remints: int = 0
    started: bool = False
    parked: bool = False
    abort: bool = False
    ledger: int = 1
    overlap_over: bool = False
    safe: str = ""


class MachineRow(NamedTuple):
    """A machine: the value that it booted with, the secrets version of our mark, its history."""

    value: int = OLD
    mark: int = 0
    up: bool = True
    lease: str = ""
    renewed: bool = False
    booted: bool = False
    instance: int = 0
    release: int = 1


class World(NamedTuple):
    """What is true outside: living values, the target, the machines, how many were minted."""

    living: frozenset[int] = frozenset({OLD})
    value: int = OLD
    version: int = 1
    machines: tuple[MachineRow, ...] = (MachineRow(), MachineRow())
    minted: int = 0


class Worker(NamedTuple):
    """A worker in the middle of a step: what it still has to do, and what it knows by itself."""

    position: int
    ops: tuple[str, ...]
    stale: bool = False
    floor: int = 0
    minted: int | None = None
    revoked: bool = False
    read: tuple[MachineRow | None, ...] = (None, None)


class State(NamedTuple):
    """Everything. Whoever is busy holds the claim; a frozen worker held it, or still does."""

    journal: Journal
    world: World
    busy: Worker | None = None
    frozen: Worker | None = None


class Move(NamedTuple):
    """One transition: what happened, what it cost, and where it led."""

    what: str
    state: State
    faults: int = 0
    people: int = 0


BUSY, FROZEN, NOBODY = "busy", "frozen", ""


def with_machine(world: World, number: int, machine: MachineRow) -> World:
    """The world with one machine changed."""
    machines = list(world.machines)
    machines[number] = machine
    return world._replace(machines=tuple(machines))


def leases(world: World, before: str, after: str) -> World:
    """The world with leases passed from one to another holder."""
    return world._replace(
        machines=tuple(m._replace(lease=after) if m.lease == before else m for m in world.machines)
    )
