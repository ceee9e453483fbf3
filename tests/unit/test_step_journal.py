"""What a step keeps of its tries."""

from __future__ import annotations

from datetime import timedelta

from rotator.domain.rotation import Step, StepName, StepState
from rotator.engine.journal import SINCE, first_intended, held, intended, planned_again, since
from tests.unit.builders import NOW

LATER = NOW + timedelta(hours=3)
STEP = Step("step", "rotation", 3, StepName.DELIVER, "fly-secret:web/KEY", StepState.PLANNED)


def test_renewed_patience_does_not_hide_when_a_step_was_first_intended() -> None:
    for again in (planned_again(intended(STEP, NOW)), held(intended(STEP, NOW), LATER)):
        step = intended(again, LATER)
        assert since(step, LATER) == LATER
        assert first_intended(step, LATER) == NOW


def test_a_step_of_an_older_release_is_as_old_as_its_patience() -> None:
    old = Step(**{**vars(STEP), "detail": {SINCE: NOW.isoformat()}})
    assert first_intended(old, LATER) == NOW
    assert first_intended(intended(old, LATER), LATER) == NOW
