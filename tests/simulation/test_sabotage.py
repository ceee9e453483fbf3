"""The checks can fail: each sabotage is noticed, by the promise that it breaks."""

from __future__ import annotations

import pytest

from tests.simulation.drawing import draw
from tests.simulation.runner import live_through
from tests.simulation.sabotages import SABOTAGES, Sabotage, caught

SHOWN_BY = {
    "forget_what_a_lost_answer_left": 2,
    "revoke_before_confirm": 1,
    "promote_before_confirm": 1,
    "neither_restart_nor_confirm": 1,
    "forget_to_restore": 1,
    "repeat_an_unsafe_call": 2,
    "claim_what_is_claimed": 1,
    "take_an_app_that_is_locked": 4,
    "rotate_twice_at_a_time": 1,
    "keep_leases": 1,
    "forget_a_rotation_that_waits": 1,
    "leave_machines_out_of_the_proxy": 16,
    "log_a_value": 1,
    "store_values_unsealed": 1,
    "put_a_value_into_an_event": 1,
    "skip_outcomes": 1,
    "skip_the_intent_of_an_update": 1,
    "edit_an_event": 1,
    "give_leases_back_early": 1,
    "wake_what_sleeps": 3,
    "overwrite_a_deploy": 4,
}
"""A seed that notices each; `python -m tests.simulation --sabotage` looks for them from seed 1."""


KNOWN = [each for each in SABOTAGES if each.apply.__name__ in SHOWN_BY]


@pytest.mark.parametrize("sabotage", KNOWN, ids=lambda sabotage: sabotage.apply.__name__)
def test_a_sabotage_is_noticed_by_the_promise_that_it_breaks(sabotage: Sabotage) -> None:
    assert caught(sabotage, [SHOWN_BY[sabotage.apply.__name__]]) is not None


@pytest.mark.parametrize("seed", sorted(set(SHOWN_BY.values())))
def test_the_same_worlds_hold_without_sabotage(seed: int) -> None:
    outcome = live_through(draw(seed))
    assert outcome.broken is None, outcome.why
