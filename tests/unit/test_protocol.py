"""The protocol as a table: what comes next, what is undone, what is bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.credential import VERSION_MOVES, VersionState
from rotator.domain.policy import RolloutPolicy, Strategy
from rotator.domain.protocol import (
    BACK,
    BEFORE,
    RULES,
    SEQUENCES,
    Finish,
    RunStep,
    WaitUntil,
    backoff,
    exhausted,
    latest_pass,
    next_move,
    planned_steps,
    undo_obstacle,
    undo_steps,
)
from rotator.domain.rotation import (
    ACTIVE,
    ENDED,
    ROTATION_MOVES,
    Mode,
    RotationState,
    Step,
    StepName,
    StepState,
)
from tests.unit.builders import NOW, a_rotation, a_spec, a_target, a_version, new_id


def steps_of(mode: Mode = Mode.NORMAL, *apps: str | None) -> list[Step]:
    spec = a_spec(*(a_target(app) for app in apps or ("web",)))
    return list(planned_steps(spec, mode, "rotation", new_id))


def done(step: Step, **detail: str) -> Step:
    return replace(step, state=StepState.DONE, attempt=1, detail=detail)


def test_every_step_has_a_rule_and_every_rule_is_bounded() -> None:
    assert set(RULES) == set(StepName)
    for rule in RULES.values():
        assert rule.attempts > 0
        assert timedelta(0) < rule.patience <= timedelta(days=7)
        assert rule.effect
        assert rule.idempotent_because


def test_nothing_is_delivered_before_it_is_proven_and_nothing_promoted_before_it_is_confirmed() -> (
    None
):
    for sequence in SEQUENCES.values():
        assert sequence.index(StepName.PROVE) < sequence.index(StepName.DELIVER)
        assert sequence.index(StepName.CONFIRM) < sequence.index(StepName.PROMOTE)
    for mode in (Mode.NORMAL, Mode.EMERGENCY):
        assert SEQUENCES[mode][-1] is StepName.RETIRE


def test_every_state_that_is_active_leads_to_an_end() -> None:
    for state in ACTIVE:
        seen, front = set(), {state}
        while front:
            seen |= front
            front = {after for s in front for after in ROTATION_MOVES[s]} - seen
        assert seen & ENDED


def test_a_revoked_or_discarded_version_stays_so() -> None:
    assert not VERSION_MOVES[VersionState.REVOKED]
    assert not VERSION_MOVES[VersionState.DISCARDED]


def test_each_target_is_delivered_and_each_app_rolled_out_once() -> None:
    steps = steps_of(Mode.NORMAL, "web", "api", "web", None)
    assert [s.subject for s in steps if s.name is StepName.ROLL_OUT] == ["web", "api"]
    assert len([s for s in steps if s.name is StepName.DELIVER]) == 4


def test_an_app_without_rollout_is_not_restarted() -> None:
    still = a_target("web", rollout=RolloutPolicy(strategy=Strategy.NONE))
    steps = planned_steps(a_spec(still), Mode.NORMAL, "rotation", new_id)
    assert StepName.ROLL_OUT not in {s.name for s in steps}


@pytest.mark.parametrize("mode", list(Mode))
def test_the_walk_runs_every_step_once_in_order_and_succeeds(mode: Mode) -> None:
    steps = steps_of(mode, "web", None)
    ran = []
    while isinstance(move := next_move(a_rotation(mode=mode), steps, NOW), RunStep):
        ran.append(move.step.id)
        steps = [done(s) if s.id == move.step.id else s for s in steps]
    assert ran == [s.id for s in sorted(steps, key=lambda s: s.position)]
    assert move == Finish(RotationState.SUCCEEDED)


def test_a_step_left_open_by_a_crash_is_run_again() -> None:
    steps = steps_of()
    steps[0] = replace(steps[0], state=StepState.INTENDED, attempt=1)
    move = next_move(a_rotation(), steps, NOW)
    assert isinstance(move, RunStep)
    assert move.step.id == steps[0].id


def test_a_step_that_waits_is_not_run_before_its_time() -> None:
    steps = steps_of()
    later = NOW + timedelta(hours=1)
    steps[0] = replace(steps[0], state=StepState.WAITING, not_before=later)
    assert next_move(a_rotation(), steps, NOW) == WaitUntil(later)
    assert isinstance(next_move(a_rotation(), steps, later), RunStep)


def test_an_undo_takes_back_only_what_was_begun_and_the_last_delivery_first() -> None:
    spec = a_spec(a_target("web"), a_target("api"), a_target(None))
    steps = list(planned_steps(spec, Mode.NORMAL, "rotation", new_id))
    begun = [s for s in steps if s.name is StepName.DELIVER][:2]
    steps = [done(s, **{BEFORE: "x"}) if s in begun else s for s in steps]
    undo = undo_steps(steps, spec, "rotation", new_id)
    assert [(s.name, s.subject) for s in undo] == [
        (StepName.RESTORE, "fly-secret:api/KEY"),
        (StepName.RESTORE, "fly-secret:web/KEY"),
        (StepName.ROLL_BACK, "api"),
        (StepName.ROLL_BACK, "web"),
        (StepName.DISCARD, ""),
    ]


def test_the_walk_back_ends_rolled_back_and_a_retry_starts_over() -> None:
    spec = a_spec()
    steps = list(planned_steps(spec, Mode.NORMAL, "rotation", new_id))
    undo = [done(s) for s in undo_steps(steps, spec, "rotation", new_id)]
    undoing = a_rotation(RotationState.UNDOING)
    assert next_move(undoing, [*steps, *undo], NOW) == Finish(RotationState.ROLLED_BACK)
    assert latest_pass([*steps, *undo]) == ()


def test_an_old_value_that_was_never_held_can_not_be_put_back() -> None:
    steps = [done(s, **{BEFORE: "digest"}) for s in steps_of() if s.name is StepName.DELIVER]
    assert undo_obstacle(steps, a_version(promoted_at=NOW)) is None
    assert "never knew" in (undo_obstacle(steps, a_version(promoted_at=NOW, sealed=False)) or "")
    first = [done(s, **{BEFORE: "absent"}) for s in steps_of() if s.name is StepName.DELIVER]
    assert undo_obstacle(first, None) is None


def test_back_and_forward_steps_are_told_apart() -> None:
    assert not set(BACK) & {name for sequence in SEQUENCES.values() for name in sequence}


@given(st.integers(1, 10_000), st.none() | st.floats(0, 10_000), st.floats(0, 0.999))
def test_a_backoff_is_bounded_and_honours_the_other_sides_wish(
    attempt: int, wish: float | None, spread: float
) -> None:
    pause = backoff(attempt, wish, spread=spread).total_seconds()
    assert 0.75 <= pause <= max(375.0, wish or 0) + 1e-6
    assert pause >= (wish or 0) - 1e-6


def test_no_step_is_tried_for_ever() -> None:
    for step in steps_of():
        rule = RULES[step.name]
        assert exhausted(replace(step, attempt=rule.attempts), NOW, NOW)
        assert exhausted(replace(step, attempt=1), NOW, NOW + rule.patience)
        assert not exhausted(replace(step, attempt=1), NOW, NOW)
