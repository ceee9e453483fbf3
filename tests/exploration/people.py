"""What others do: people at the command line, people who deploy, machines that reboot
by themselves, and time."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.domain.errors import InputError
from rotator.domain.protocol import WaitUntil, latest_pass, next_move
from rotator.domain.rotation import ENDED, Rotation, RotationState, StepName
from rotator.engine.request import going_on, refuse_abort, refuse_undo, turned_round
from tests.exploration.domain import (
    CREDENTIAL,
    LATER,
    NOW,
    changed,
    deliveries,
    new_id,
    pass_of,
    rotation_of,
    steps_of,
    version_of,
)
from tests.exploration.state import (
    NOBODY,
    OLD,
    Journal,
    MachineRow,
    Move,
    Scenario,
    State,
    with_machine,
)


def wishes(scenario: Scenario, state: State) -> Iterator[Move]:
    """Abort, undo and retry, each where the engine does not refuse it."""
    journal = state.journal
    rotation = rotation_of(journal, scenario.mode)
    steps = latest_pass(steps_of(journal.steps))
    old = version_of(journal.versions, OLD)
    if not journal.abort:
        try:
            refuse_abort(rotation, steps, old)
        except InputError:
            pass
        else:
            yield Move(
                "somebody aborts it", state._replace(journal=_aborted(journal, rotation)), 0, 1
            )
        try:
            refuse_undo(rotation, steps, old, rotation.id)
        except InputError:
            pass
        else:
            wished = journal._replace(abort=True)
            yield Move("somebody undoes it", state._replace(journal=wished), 0, 1)
    if journal.state is RotationState.PARKED:
        yield Move("somebody retries it", retried(scenario, state), 0, 1)


def _aborted(journal: Journal, rotation: Rotation) -> Journal:
    if rotation.state is not RotationState.PARKED:
        return journal._replace(abort=True)
    steps = latest_pass(steps_of(journal.steps))
    turned, back = turned_round(rotation, steps, CREDENTIAL, new_id, NOW)
    return changed(journal, back)._replace(state=turned.state, parked=False)


def retried(scenario: Scenario, state: State) -> State:
    """A parked rotation goes on, as `rotator rotate retry` lets it."""
    journal = state.journal
    rotation = rotation_of(journal, scenario.mode)
    resumed, steps = going_on(rotation, steps_of(journal.steps), CREDENTIAL, new_id, NOW)
    journal = changed(journal, steps)._replace(
        state=resumed.state,
        new=journal.new if resumed.new_version_id is not None else None,
        remints=resumed.remints,
        parked=False,
        abort=False,
        safe="",
    )
    return state._replace(journal=journal)


def passing_time(scenario: Scenario, state: State) -> Iterator[Move]:
    """The overlap ends."""
    journal = state.journal
    if journal.overlap_over or journal.state in ENDED:
        return
    move = next_move(rotation_of(journal, scenario.mode), pass_of(journal), NOW)
    if isinstance(move, WaitUntil) and move.at == LATER:
        yield Move("the overlap ends", state._replace(journal=journal._replace(overlap_over=True)))


def mishaps(state: State) -> Iterator[Move]:
    """A machine that reboots by itself, and somebody else's deploy of one that nobody leases."""
    world = state.world
    for number, machine in enumerate(world.machines):
        if not machine.up:
            continue
        rebooted = machine._replace(value=world.value, booted=True)
        if rebooted != machine:
            yield _changed(state, number, rebooted, f"machine {number} reboots by itself")
        if machine.lease == NOBODY:
            deployed = rebooted._replace(
                instance=machine.instance + 1,
                release=machine.release + 1,
                renewed=_after_the_delivery(state),
            )
            yield _changed(state, number, deployed, f"somebody deploys machine {number}")


def _changed(state: State, number: int, machine: MachineRow, what: str) -> Move:
    return Move(what, state._replace(world=with_machine(state.world, number, machine)), faults=1)


def _after_the_delivery(state: State) -> bool:
    """Whether what was written last is committed, so that a boot now counts as proof of it."""
    steps = pass_of(state.journal)
    back = any(s.name is StepName.RESTORE for s in steps)
    done = deliveries(steps, StepName.RESTORE if back else StepName.DELIVER)
    return bool(done) and state.journal.ledger == state.world.version
