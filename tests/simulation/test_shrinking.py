"""A broken world is made small, and told as a story."""

from __future__ import annotations

import pytest

from tests.simulation.drawing import draw
from tests.simulation.runner import live_through
from tests.simulation.sabotage_patches import repeat_an_unsafe_call
from tests.simulation.shrinking import shrink, told

SEED = 2


def test_a_broken_world_shrinks_to_the_one_fault_that_breaks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repeat_an_unsafe_call(monkeypatch)
    plan = draw(SEED)
    whole = live_through(plan)
    assert whole.broken == "P2"
    search = shrink(plan, whole)
    small = search.plan
    assert search.outcome.broken == "P2"
    assert [loss.step for loss in small.losses] == ["mint"]
    assert not (small.acts or small.kills or small.freezes or small.jumps or small.script)
    assert len(small.credentials) == 1
    assert sum(len(group.regions) for app in small.apps for group in app.groups) <= 2
    assert small.days < plan.days / 10
    *_, asked, _ = told(search).split("(the answer is lost)")[0].splitlines()
    assert "createLimitedAccessToken" in asked
    assert told(search).splitlines()[-1].split(maxsplit=2)[1:] == [
        "checks",
        search.outcome.why.removeprefix("Broken: "),
    ]
