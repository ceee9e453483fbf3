"""The promises of DESIGN.md, held against each state and each transition: by what is true outside
and what the journal says, not by what a worker believes."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.domain.credential import VERSION_MOVES, VersionState
from rotator.domain.protocol import latest_pass
from rotator.domain.rotation import ROTATION_MOVES, Mode, RotationState, StepName
from tests.exploration.domain import pass_of, steps_of
from tests.exploration.state import OLD, Journal, Scenario, State, World

MOST_DOWN = 1
"""What the policy allows: max_unavailable = 1."""
_ENDED_WELL = (RotationState.SUCCEEDED, RotationState.ROLLED_BACK)


def broken(scenario: Scenario, before: State | None, state: State) -> str | None:
    """The first promise that does not hold, with what is wrong; None where all hold."""
    return next(_broken(scenario, before, state), None)


def _broken(scenario: Scenario, before: State | None, state: State) -> Iterator[str]:
    journal, world = state.journal, state.world
    if not _gap_is_meant(scenario, journal):
        yield from _gap(world)
    if sum(not m.up for m in world.machines) > MOST_DOWN:
        yield "P4: both machines are out of service at once"
    if journal.state in _ENDED_WELL:
        yield from _ended(journal, world)
    if journal.state is RotationState.PARKED:
        yield from _parked(journal, world)
        if not latest_pass(steps_of(journal.steps)):
            yield from _ended(journal, world)
    if before is not None:
        yield from _moved(before, state)


def _gap_is_meant(scenario: Scenario, journal: Journal) -> bool:
    """`--revoke-first` accepts a gap from the revocation to the end of the rollout."""
    retired = any(s.name is StepName.RETIRE and s.attempt for s in pass_of(journal))
    return scenario.mode is Mode.REVOKE_FIRST and retired and journal.state not in _ENDED_WELL


def _gap(world: World) -> Iterator[str]:
    if world.value not in world.living:
        yield f"P1: the target holds value {world.value}, which the issuer refuses"
    for number, machine in enumerate(world.machines):
        if machine.up and machine.value not in world.living:
            yield f"P1: machine {number} runs with value {machine.value}, which is refused"


def _ended(journal: Journal, world: World) -> Iterator[str]:
    held = {
        v.value
        for v in journal.versions
        if v.value is not None and v.state in (VersionState.CURRENT, VersionState.RETIRING)
    }
    if world.living != held:
        yield f"P2: the issuer holds {sorted(world.living)}, the inventory {sorted(held)}"
    if any(v.state is VersionState.RETIRING for v in journal.versions):
        yield f"P5: {journal.state}, but a value still waits to be revoked"
    current = [v.value for v in journal.versions if v.state is VersionState.CURRENT]
    if len(current) != 1:
        yield f"P5: {journal.state} with {len(current)} current values"
    if journal.state is RotationState.ROLLED_BACK and OLD not in current:
        yield "P5: rolled back, but the old value is not the current one"
    in_use = {world.value, *(m.value for m in world.machines)}
    if in_use != set(current):
        yield f"P5: {journal.state}, but {sorted(in_use)} are in use instead of {current}"


def _parked(journal: Journal, world: World) -> Iterator[str]:
    """What a person is told to be safe has to be true."""
    if not journal.parked:
        yield "P5: parked without a cause"
    old_works = OLD in world.living
    if ("old value still works" in journal.safe or "both values" in journal.safe) and not old_works:
        yield f"P5: a person is told {journal.safe!r}, but the old value is revoked"


def _moved(before: State, state: State) -> Iterator[str]:
    was, now = before.journal, state.journal
    if was.state is not now.state and now.state not in ROTATION_MOVES[was.state]:
        yield f"P5: a rotation that is {was.state} became {now.state}"
    for old, new in zip(was.versions, now.versions, strict=False):
        if old.state is not new.state and new.state not in VERSION_MOVES[old.state]:
            yield f"P5: a version that was {old.state} became {new.state}"
    for number, (machine, after) in enumerate(
        zip(before.world.machines, state.world.machines, strict=True)
    ):
        if after.release < machine.release:
            yield f"P8: machine {number} went back from release {machine.release}"
