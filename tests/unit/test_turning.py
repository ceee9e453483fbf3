"""Where a rotation turns, and what a person is told meanwhile."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.protocol import latest_pass, planned_steps, undo_steps
from rotator.domain.rotation import ROTATION_MOVES, Mode, RotationState, StepState
from rotator.engine.request import turned_round
from tests.unit.builders import NOW, a_credential, a_rotation, a_spec, new_id


def test_a_parked_rotation_that_is_undone_already_may_be_given_up() -> None:
    steps = planned_steps(a_spec(), Mode.NORMAL, "rotation", new_id)
    back = undo_steps(steps, a_spec(), "rotation", new_id)
    undone = [replace(s, state=StepState.DONE) for s in (*steps, *back)]
    parked = a_rotation(RotationState.PARKED)
    turned, more = turned_round(parked, latest_pass(undone), a_credential(), new_id, NOW)
    assert (turned.state, more) == (RotationState.ROLLED_BACK, ())
    assert turned.state in ROTATION_MOVES[RotationState.PARKED]
