"""A rotation killed after any of its durable effects ends well. Some points each run of the tests;
`python -m tests.simulation.crash_points` has all of them."""

from __future__ import annotations

import pytest

from rotator.domain.rotation import Mode
from rotator.engine import issue
from rotator.engine.step import StepContext
from tests.simulation.crash_points import CASES, MOST_POINTS, Case, crash_everywhere

EVERY = 15


@pytest.mark.parametrize(
    ("number", "case"), list(enumerate(CASES)), ids=[str(case) for case in CASES]
)
def test_a_rotation_killed_after_a_durable_effect_converges(number: int, case: Case) -> None:
    result = crash_everywhere(case, range(1 + number % EVERY, MOST_POINTS, EVERY))
    assert result.converged == result.tried, result.problems
    assert result.tried >= result.points // EVERY


def test_a_rotation_that_forgets_what_was_lost_does_not_converge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def forgotten(_: StepContext, *, keep: object) -> None:
        return None

    monkeypatch.setattr(issue, "revoke_leftovers", forgotten)
    result = crash_everywhere(Case("deploy-token", Mode.EMERGENCY), range(1, 8))
    assert result.converged < result.tried
    assert any("POST /graphql: the issuer holds" in problem for problem in result.problems)
