"""What a worker writes to the journal: what comes next, intents, outcomes, turns. The decisions are
`next_move`, `course_after_failure`, `undo_steps` and their like, the engine's own."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.credential import VersionState
from rotator.domain.protocol import (
    BEFORE,
    Finish,
    OnStepFailure,
    WaitUntil,
    next_move,
    undo_obstacle,
    undo_steps,
)
from rotator.domain.rotation import ENDED, Mode, RotationState, Step, StepName, StepState
from rotator.domain.turning import (
    course_after_failure,
    mint_was_unclear,
    state_turned_back,
    what_is_safe,
)
from rotator.engine.advance import _TURNABLE as TURNABLE
from rotator.engine.journal import held, intended, planned_again
from tests.exploration.domain import (
    LATER,
    NOW,
    SPEC,
    changed,
    new_id,
    noted,
    pass_of,
    rotation_of,
    version_of,
)
from tests.exploration.effects import new_value
from tests.exploration.state import OLD, Journal, Scenario, VersionRow, Worker

Next = tuple[Journal, Worker | None]


def decide(scenario: Scenario, journal: Journal) -> Next | None:
    """A worker claims the rotation and looks what there is to do. None where there is nothing."""
    if journal.state in ENDED:
        return None
    if journal.abort and journal.state in TURNABLE:
        return _turned_back(scenario, journal), None
    if journal.state is RotationState.QUEUED:
        return journal, Worker(-1, ("look", "begin"))
    now = LATER if journal.overlap_over else NOW
    move = next_move(rotation_of(journal, scenario.mode), pass_of(journal), now)
    if isinstance(move, WaitUntil):
        return None
    if isinstance(move, Finish):
        return journal._replace(state=move.state), None
    step = move.step
    looks = step.name is StepName.DELIVER and BEFORE not in step.detail
    return journal, Worker(step.position, ("look", "intent") if looks else ("intent",))


def _turned_back(scenario: Scenario, journal: Journal) -> Journal:
    steps = pass_of(journal)
    journal = journal._replace(abort=False)
    obstacle = undo_obstacle(steps, version_of(journal.versions, OLD))
    state = state_turned_back(journal.state, obstacle)
    if state is RotationState.UNDOING:
        journal = changed(journal, undo_steps(steps, SPEC, "rotation", new_id))
    return journal if state is None else journal._replace(state=state)


def begin(journal: Journal) -> Journal:
    """QUEUED becomes RUNNING."""
    return journal._replace(state=RotationState.RUNNING, started=True)


def intend(journal: Journal, worker: Worker) -> Next:
    """Commit the intent, and know what it takes."""
    step = _step(journal, worker)
    if step.name is StepName.DELIVER:
        step = replace(step, detail={BEFORE: "digest", **step.detail})
    if step.name is StepName.MINT:
        journal = _with_pending(journal)
    step = intended(step, NOW)
    journal = changed(journal, [step])
    return journal, worker._replace(ops=_program(journal, step))


def _with_pending(journal: Journal) -> Journal:
    if journal.new is not None and journal.versions[journal.new].state is VersionState.PENDING:
        return journal
    row = VersionRow(VersionState.PENDING, None, sealed=False)
    return journal._replace(versions=(*journal.versions, row), new=len(journal.versions))


def _program(journal: Journal, step: Step) -> tuple[str, ...]:
    """The effects of one step, in the order of its module in the engine."""
    unclear = mint_was_unclear(pass_of(journal))
    old = journal.versions[OLD]
    match step.name:
        case StepName.MINT:
            repeated = step.attempt > 1 or journal.remints > 0
            return ("leftovers", "mint", "commit") if repeated else ("mint", "commit")
        case StepName.PROVE:
            return ("prove", "commit")
        case StepName.DELIVER | StepName.RESTORE:
            return ("write", "commit")
        case StepName.ROLL_OUT | StepName.ROLL_BACK:
            return ("plan", "commit")
        case StepName.CONFIRM:
            return ("confirm", "commit")
        case StepName.PROMOTE:
            return ("commit",)
        case StepName.RETIRE:
            ops = ("leftovers",) if unclear else ()
            if old.state in (VersionState.REVOKED, VersionState.DISCARDED):
                return (*ops, "commit")
            revoke = () if "revoked" in step.detail else ("revoke-old",)
            return (*ops, *revoke, "disprove", "commit")
        case StepName.DISCARD:
            if journal.new is None:
                return ("commit",)
            ops = () if new_value(journal) is None else ("revoke-new",)
            return ("restored", *ops, *(("leftovers",) if unclear else ()), "commit")


def reopen(journal: Journal, worker: Worker) -> Journal:
    """A look at the machines sends the walk back to the rollout, or to the roll-back."""
    step = _step(journal, worker)
    name = StepName.ROLL_BACK if step.name is StepName.DISCARD else StepName.ROLL_OUT
    again = [planned_again(s) for s in pass_of(journal) if s.name is name]
    return changed(journal, [replace(step, state=StepState.PLANNED), *again])


def commit(scenario: Scenario, journal: Journal, worker: Worker) -> Journal:
    """Commit the outcome of a step that went well, with what belongs to it."""
    step = noted(_step(journal, worker), floor=worker.floor, revoked=worker.revoked)
    step = replace(step, state=StepState.DONE, outcome_at=NOW)
    journal = changed(journal, [step])
    match step.name:
        case StepName.MINT:
            assert journal.new is not None
            minted = VersionRow(VersionState.PENDING, worker.minted, sealed=True)
            return _with_version(journal, journal.new, minted)
        case StepName.DELIVER | StepName.RESTORE:
            return journal._replace(ledger=max(journal.ledger, worker.floor))
        case StepName.PROMOTE:
            return _promoted(journal, overlap=scenario.mode is Mode.NORMAL)
        case StepName.RETIRE:
            return _ended(journal, OLD, VersionState.REVOKED)
        case StepName.DISCARD if journal.new is not None:
            return _discarded(journal, journal.new)
        case _:
            return journal


def _promoted(journal: Journal, *, overlap: bool) -> Journal:
    for index, version in enumerate(journal.versions):
        if version.state is VersionState.CURRENT:
            row = version._replace(state=VersionState.RETIRING)
            journal = _with_version(journal, index, row)
    assert journal.new is not None
    row = journal.versions[journal.new]._replace(state=VersionState.CURRENT)
    journal = _with_version(journal, journal.new, row)
    retire = [s for s in pass_of(journal) if s.name is StepName.RETIRE and not s.ended]
    if overlap:
        journal = changed(journal, [replace(s, not_before=LATER) for s in retire])
    return journal._replace(state=RotationState.RETIRING)


def _ended(journal: Journal, index: int, state: VersionState) -> Journal:
    version = journal.versions[index]
    if version.state in (VersionState.REVOKED, VersionState.DISCARDED):
        return journal
    return _with_version(journal, index, version._replace(state=state, sealed=False))


def _discarded(journal: Journal, new: int) -> Journal:
    was_current = journal.versions[new].state is VersionState.CURRENT
    journal = _ended(journal, new, VersionState.DISCARDED)
    old = journal.versions[OLD]
    if was_current and old.state is VersionState.RETIRING:
        journal = _with_version(journal, OLD, old._replace(state=VersionState.CURRENT))
    return journal


def _with_version(journal: Journal, index: int, row: VersionRow) -> Journal:
    versions = list(journal.versions)
    versions[index] = row
    return journal._replace(versions=tuple(versions))


def wait(journal: Journal, worker: Worker, *, on_purpose: bool) -> Journal:
    """The step comes back later. (That it waits makes no difference to what comes next.)"""
    if journal.state is RotationState.QUEUED:
        return journal
    step = noted(_step(journal, worker), floor=worker.floor, revoked=worker.revoked)
    step = step if step.attempt else intended(step, NOW)
    if "look" not in worker.ops and step.name is StepName.DELIVER:
        step = replace(step, detail={BEFORE: "digest", **step.detail})
    return changed(journal, [held(step, NOW) if on_purpose else step])


def fail(scenario: Scenario, journal: Journal, worker: Worker) -> Journal:
    """The step has failed for good: the table says where the walk turns."""
    if journal.state is RotationState.QUEUED:
        return journal._replace(state=RotationState.PARKED, parked=True)
    rotation, steps = rotation_of(journal, scenario.mode), pass_of(journal)
    old = version_of(journal.versions, OLD)
    step = noted(_step(journal, worker), floor=worker.floor, revoked=worker.revoked)
    step = replace(step, state=StepState.FAILED)
    course = course_after_failure(rotation, steps, step.name, old)
    if course is OnStepFailure.REMINT:
        return _reminted(journal, steps)
    journal = changed(journal, [step])
    if course is OnStepFailure.UNDO:
        back = undo_steps(pass_of(journal), SPEC, "rotation", new_id)
        parked = journal.parked or step.name is StepName.PROVE
        return changed(journal, back)._replace(state=RotationState.UNDOING, parked=parked)
    safe = what_is_safe(rotation, steps, old)
    return journal._replace(state=RotationState.PARKED, parked=True, safe=safe)


def _reminted(journal: Journal, steps: tuple[Step, ...]) -> Journal:
    if journal.new is not None:
        version = journal.versions[journal.new]
        row = version._replace(state=VersionState.DISCARDED, sealed=False)
        journal = _with_version(journal, journal.new, row)
    again = [planned_again(s) for s in steps if s.name in (StepName.MINT, StepName.PROVE)]
    return changed(journal, again)._replace(remints=journal.remints + 1)


def _step(journal: Journal, worker: Worker) -> Step:
    return next(s for s in pass_of(journal) if s.position == worker.position)
