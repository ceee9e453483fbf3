"""The checks can fail: each sabotage is noticed, by the promise that it breaks."""

from __future__ import annotations

import pytest

from tests.simulation.drawing import draw
from tests.simulation.runner import live_through
from tests.simulation.sabotages import SABOTAGES, caught

SHOWN_BY = {
    "forget_what_a_lost_answer_left": 2,
    "revoke_before_confirm": 1,
    "promote_before_confirm": 1,
    "neither_restart_nor_confirm": 2,
    "forget_to_restore": 1,
    "repeat_an_unsafe_call": 2,
    "trust_a_list_at_once": 2,
    "drop_fencing": 1,
    "claim_what_is_claimed": 2,
    "take_an_app_that_is_locked": 4,
    "rotate_twice_at_a_time": 1,
    "restart_all_waves_at_once": 2,
    "restart_as_many_as_there_are": 2,
    "go_on_after_a_failure": 6,
    "keep_leases": 1,
    "park_without_a_cause": 9,
    "forget_a_rotation_that_waits": 1,
    "leave_machines_out_of_the_proxy": 16,
    "leave_rehearsals_behind": 3,
    "log_a_value": 1,
    "store_values_unsealed": 1,
    "put_a_value_into_an_event": 1,
    "ignore_an_unknown_commit": 2,
    "skip_outcomes": 1,
    "skip_the_intent_of_an_update": 1,
    "edit_an_event": 1,
    "give_leases_back_early": 1,
    "wake_what_sleeps": 3,
    "overwrite_a_deploy": 4,
}
"""A seed that notices each; `python -m tests.simulation --sabotage` looks for them from seed 1."""

BY_NAME = {sabotage.apply.__name__: sabotage for sabotage in SABOTAGES}


def test_every_sabotage_has_a_world_that_notices_it() -> None:
    assert BY_NAME.keys() == SHOWN_BY.keys()


@pytest.mark.parametrize(("name", "seed"), SHOWN_BY.items())
def test_a_sabotage_is_noticed_by_the_promise_that_it_breaks(name: str, seed: int) -> None:
    assert caught(BY_NAME[name], [seed]) is not None


@pytest.mark.parametrize("name", sorted(n for n, s in BY_NAME.items() if s.world is not draw))
def test_a_world_made_for_a_sabotage_holds_without_it(name: str) -> None:
    outcome = live_through(BY_NAME[name].world(SHOWN_BY[name]))
    assert outcome.broken is None, outcome.why
