"""Where a rotation turns, and what a person is told meanwhile."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.credential import VersionState
from rotator.domain.protocol import latest_pass, planned_steps, undo_obstacle, undo_steps
from rotator.domain.rotation import ROTATION_MOVES, Mode, RotationState, Step, StepName, StepState
from rotator.domain.turning import what_is_safe
from rotator.engine.request import turned_round
from tests.unit.builders import NOW, a_credential, a_rotation, a_spec, a_version, new_id


def test_a_parked_rotation_that_is_undone_already_may_be_given_up() -> None:
    steps = planned_steps(a_spec(), Mode.NORMAL, "rotation", new_id)
    back = undo_steps(steps, a_spec(), "rotation", new_id)
    undone = [replace(s, state=StepState.DONE) for s in (*steps, *back)]
    parked = a_rotation(RotationState.PARKED)
    turned, more = turned_round(parked, latest_pass(undone), a_credential(), new_id, NOW)
    assert (turned.state, more) == (RotationState.ROLLED_BACK, ())
    assert turned.state in ROTATION_MOVES[RotationState.PARKED]


def revoking_first(*, retired: bool) -> list[Step]:
    """A revoke-first rotation before its delivery, with or without the intent to revoke."""
    steps = planned_steps(a_spec(), Mode.REVOKE_FIRST, "rotation", new_id)
    begun = {StepName.MINT, StepName.PROVE, *([StepName.RETIRE] if retired else [])}
    return [replace(s, attempt=1) if s.name in begun else s for s in steps]


def test_once_the_old_value_may_be_revoked_nothing_is_undone_even_if_nothing_was_delivered() -> (
    None
):
    old = a_version(promoted_at=NOW)
    assert undo_obstacle(revoking_first(retired=False), old) is None
    assert "revoked" in (undo_obstacle(revoking_first(retired=True), old) or "")
    assert undo_obstacle(revoking_first(retired=True), None) is None, "there was none to revoke"


def test_a_person_is_not_told_that_a_value_works_which_may_be_revoked() -> None:
    old = a_version(promoted_at=NOW)
    running = a_rotation(mode=Mode.REVOKE_FIRST)
    assert "still works" in what_is_safe(running, revoking_first(retired=False), old)
    assert "may be revoked" in what_is_safe(running, revoking_first(retired=True), old)


def test_a_person_is_not_told_that_a_value_is_revoked_which_waits_for_its_overlap() -> None:
    old = replace(a_version(promoted_at=NOW), state=VersionState.RETIRING)
    steps = planned_steps(a_spec(), Mode.NORMAL, "rotation", new_id)
    safe = what_is_safe(a_rotation(RotationState.UNDOING), steps, old)
    assert "old value still works" in safe
