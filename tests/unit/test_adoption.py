"""What a machine that rotator leaves alone proves of the value that it runs with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rotator.domain.machines import Machine, MachineEvent
from rotator.engine.adoption import Adoption, judge
from tests.unit.builders import a_machine, a_policy

DELIVERED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(type_: str, status: str, seconds: float) -> MachineEvent:
    return MachineEvent(type_, status, "flyd", DELIVERED + timedelta(seconds=seconds))


def a_job(*events: MachineEvent, state: str = "started") -> Machine:
    before = DELIVERED - timedelta(days=1)
    return a_machine(state=state, auto_destroy=True, events=events, created_at=before)


def judged(machine: Machine) -> Adoption:
    names = frozenset({"KEY"})
    return judge([machine], a_policy(), names=names, floor=9, delivered_at=DELIVERED)


@pytest.mark.parametrize(
    "machine",
    [
        a_job(event("start", "started", 3), event("launch", "created", -1)),
        a_job(event("start", "starting", 900), event("restart", "stopping", 899)),
        a_job(event("launch", "created", 10)),
        a_job(event("launch", "created", -900), state="suspended"),
    ],
    ids=["its boot began before", "a mere restart", "within the clocks' skew", "suspended"],
)
def test_a_job_that_may_hold_the_old_value_is_waited_for(machine: Machine) -> None:
    assert judged(machine).finishing == (machine.id,)


@pytest.mark.parametrize(
    "machine",
    [
        a_job(event("launch", "created", 60)),
        a_job(event("launch", "created", -900), state="stopped"),
    ],
    ids=["another version of it", "down"],
)
def test_a_job_that_was_renewed_or_is_down_holds_nobody_up(machine: Machine) -> None:
    assert judged(machine).finishing == ()
