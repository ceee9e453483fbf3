"""The planner: waves that never take too much away, whatever the machines are like."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.machines import MARK_ROLLOUT, MARK_SECRETS_VERSION, Machine
from rotator.domain.policy import Share
from rotator.domain.rollout import RolloutPlan, plan_rollout, unavailable_budget
from tests.unit.builders import a_machine, a_policy

KEY = frozenset({"KEY"})
STATES = ("started", "starting", "stopped", "suspended", "created", "failed", "destroyed")

shares = st.one_of(
    st.builds(Share, count=st.integers(1, 20)),
    st.builds(Share, percent=st.integers(1, 100)),
)
machine_lists = st.lists(
    st.builds(
        a_machine,
        state=st.sampled_from(STATES),
        region=st.sampled_from(("fra", "iad", "sin")),
        group=st.sampled_from(("app", "worker")),
        healthy=st.booleans(),
        host_status=st.sampled_from(("ok", "ok", "ok", "unreachable")),
        auto_destroy=st.sampled_from((False, False, True)),
    ),
    max_size=25,
)


def plan(machines: list[Machine], share: Share, canary: int = 0, **more: object) -> RolloutPlan:
    policy = a_policy(share, canary=canary)
    return plan_rollout(machines, policy, secrets_version=5, names=KEY, **more)  # type: ignore[arg-type]


@given(machine_lists, shares, st.integers(0, 3))
def test_no_wave_takes_more_of_a_group_than_the_budget(
    machines: list[Machine], share: Share, canary: int
) -> None:
    planned = plan(machines, share, canary)
    for wave in planned.waves:
        for group in {m.process_group for m in wave}:
            taken = sum(m.process_group == group for m in wave)
            assert taken <= planned.budgets[group]


@given(machine_lists, shares, st.integers(0, 3))
def test_every_machine_has_exactly_one_place_in_the_plan(
    machines: list[Machine], share: Share, canary: int
) -> None:
    planned = plan(machines, share, canary)
    placed = [m.id for wave in planned.waves for m in wave]
    placed += [m.id for m in (*planned.asleep, *planned.up_to_date, *planned.unreachable)]
    placed += [left.machine.id for left in planned.left_out]
    assert sorted(placed) == sorted(m.id for m in machines if m.state != "destroyed")


@given(machine_lists, shares)
def test_nothing_that_is_down_is_restarted(machines: list[Machine], share: Share) -> None:
    planned = plan(machines, share)
    for wave in planned.waves:
        assert all(m.running or m.state == "failed" for m in wave)
    assert all(not m.running for m in planned.asleep)


@given(shares, st.integers(1, 500))
def test_one_machine_of_a_group_always_stays_unless_it_is_the_only_one(
    share: Share, size: int
) -> None:
    budget = unavailable_budget(a_policy(share), size)
    assert 1 <= budget <= max(1, size - 1)


def test_percentages_are_rounded_down() -> None:
    assert unavailable_budget(a_policy(Share(percent=33)), 10) == 3
    assert unavailable_budget(a_policy(Share(percent=33)), 2) == 1


def test_a_canary_goes_first_and_alone_in_its_group() -> None:
    planned = plan([a_machine() for _ in range(6)], Share(count=3), canary=1)
    assert [len(wave) for wave in planned.waves] == [1, 3, 2]
    assert planned.canary_waves == 1


def test_machines_go_region_by_region() -> None:
    machines = [a_machine(region=region) for region in ("sin", "fra", "iad", "fra")]
    planned = plan(machines, Share(count=1))
    assert [wave[0].region for wave in planned.waves] == ["fra", "fra", "iad", "sin"]


def test_a_machine_that_runs_with_the_version_already_is_skipped() -> None:
    marked = a_machine(metadata={MARK_SECRETS_VERSION: "5"})
    older = a_machine(metadata={MARK_SECRETS_VERSION: "4"})
    planned = plan([marked, older], Share(count=1))
    assert planned.up_to_date == (marked,)
    assert planned.waves == ((older,),)


def test_a_machine_that_this_rollout_updated_but_never_saw_healthy_is_looked_at_again() -> None:
    marks = {MARK_SECRETS_VERSION: "5", MARK_ROLLOUT: "ours"}
    sick = a_machine(healthy=False, metadata=marks)
    planned = plan([sick, a_machine()], Share(count=1), rollout_id="ours")
    assert sick in [m for wave in planned.waves for m in wave]


def test_repairing_begins_with_what_is_out_of_service_already() -> None:
    machines = [a_machine(f"{n:014x}") for n in range(3)]
    sick = replace(a_machine("f" * 14), checks=())
    planned = plan([*machines, sick], Share(count=1), canary=1, repairing=True)
    assert planned.waves[0] == (sick,)
    assert planned.canary_waves == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"group": "fly_app_release_command"}, "for its own ends"),
        ({"metadata": {"fly_builder_id": "x"}}, "builder"),
        ({"schedule": "daily"}, "schedule"),
        ({"auto_destroy": True}, "destroys itself"),
        ({"reads": frozenset({"OTHER"})}, "does not read"),
    ],
)
def test_what_is_none_of_a_rollouts_business_is_listed_with_the_reason(
    more: dict[str, object], why: str
) -> None:
    (left,) = plan([a_machine(**more)], Share(count=1)).left_out  # type: ignore[arg-type]
    assert why in left.reason


def test_a_single_machine_and_an_unreachable_one_are_said_before_it_starts() -> None:
    away = a_machine(host_status="unreachable", config=None, group="worker")
    notes = " ".join(plan([a_machine(), away], Share(count=1)).notes)
    assert "one machine" in notes
    assert "can't be reached" in notes
