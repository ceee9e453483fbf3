"""The planner: waves that never take too much away, whatever the machines are like."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.machines import (
    DOWN_STATES,
    MARK_CLONE_OF,
    MARK_REHEARSAL,
    MARK_ROLLOUT,
    MARK_SECRETS_VERSION,
    Machine,
    MachineEvent,
)
from rotator.domain.policy import Asleep, Order, RolloutPolicy, Share, Strategy
from rotator.domain.rollout import Method, RolloutPlan, plan_rollout, unavailable_budget
from rotator.domain.sorting import Aim
from tests.unit.builders import NOW, a_machine, a_policy, minutes
from tests.unit.rollout_oracle import keeps_p4, meant_to_serve, stopped_for_good

KEY = frozenset({"KEY"})
STATES = (
    "started",
    "starting",
    "stopped",
    "suspended",
    "created",
    "failed",
    "launch_failed",
    "creating",
    "destroyed",
)

shares = st.one_of(
    st.builds(Share, count=st.integers(1, 20)),
    st.builds(Share, percent=st.integers(1, 100)),
)
policies = st.builds(
    RolloutPolicy,
    strategy=st.sampled_from(list(Strategy)),
    max_unavailable=shares,
    allow_single=st.booleans(),
    order=st.sampled_from(list(Order)),
    first=st.sampled_from(((), ("sin",))),
    last=st.sampled_from(((), ("fra",))),
    canary=st.integers(0, 3),
    asleep=st.sampled_from(list(Asleep)),
    groups=st.sampled_from(((), ("app",))),
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
        autostarts=st.booleans(),
        has_volume=st.sampled_from((False, False, True)),
        standby_for=st.sampled_from(((), (), ("primary",))),
        metadata=st.sampled_from(
            ({}, {}, {MARK_SECRETS_VERSION: "5"}, {MARK_CLONE_OF: "gone"}, {MARK_REHEARSAL: "app"})
        ),
    ),
    max_size=25,
)


AIM = Aim(KEY, 5, delivered_at=NOW, rollout_id="ours")


def plan(machines: list[Machine], policy: RolloutPolicy, **more: object) -> RolloutPlan:
    return plan_rollout(machines, policy, AIM, **more)  # type: ignore[arg-type]


def sizes(planned: RolloutPlan) -> list[list[int]]:
    return [[len(wave) for wave in each.waves] for each in planned.chains]


@given(machine_lists, policies, st.booleans())
def test_no_wave_takes_more_of_a_group_than_it_can_spare(
    machines: list[Machine], policy: RolloutPolicy, repairing: bool
) -> None:
    for each in plan(machines, policy, repairing=repairing).chains:
        group = meant_to_serve(machines, each.group, AIM)
        for wave in each.waves:
            assert wave
            assert {m.process_group for m in wave} == {each.group}
            if each.method is Method.IN_PLACE and policy.strategy is not Strategy.IMMEDIATE:
                assert keeps_p4(group, wave, policy)
                assert len(wave) <= each.budget
        if each.method is Method.IN_PLACE and policy.strategy is not Strategy.IMMEDIATE:
            assert keeps_p4(group, group[: each.budget], policy)


@given(machine_lists, policies, st.booleans())
def test_every_machine_has_exactly_one_place_in_the_plan(
    machines: list[Machine], policy: RolloutPolicy, repairing: bool
) -> None:
    planned = plan(machines, policy, repairing=repairing)
    placed = [m.id for each in planned.chains for wave in each.waves for m in wave]
    for kind in ("asleep", "at_next_start", "waiting", "up_to_date", "unreachable", "leftovers"):
        placed += [m.id for m in getattr(planned, kind)]
    placed += [left.machine.id for left in planned.left_out]
    assert sorted(placed) == sorted(m.id for m in machines if m.state != "destroyed")
    assert all(left.reason for left in planned.left_out)
    told = " ".join(planned.notes)
    assert all(m.id in told for m in (*planned.unreachable, *planned.at_next_start))
    assert not planned.waiting or f"{len(planned.waiting)} machines run on" in told


@given(machine_lists, policies)
def test_nothing_that_is_down_is_restarted_and_no_snapshot_is_resumed(
    machines: list[Machine], policy: RolloutPolicy
) -> None:
    planned = plan(machines, policy)
    for each in planned.chains:
        assert all(m.state not in DOWN_STATES for wave in each.waves for m in wave)
    assert all(m.state in DOWN_STATES for m in (*planned.asleep, *planned.at_next_start))


@given(machine_lists, policies)
def test_a_machine_is_left_to_serve_or_the_plan_asks_for_leave(
    machines: list[Machine], policy: RolloutPolicy
) -> None:
    planned = plan(machines, policy)
    blocked = " ".join(planned.blockers)
    for each in planned.chains:
        group = meant_to_serve(machines, each.group, AIM)
        serving = {m.id for m in group if not stopped_for_good(m)}
        alone = len(serving) == 1 and any(m.healthy for wave in each.waves for m in wave)
        in_place = each.method is Method.IN_PLACE
        if policy.strategy is Strategy.IMMEDIATE or not in_place:
            continue
        for wave in each.waves:
            assert serving - {m.id for m in wave} or len(serving) == 1
        assert (f"{each.group} has one machine in service" in blocked) == (
            alone and not policy.allow_single
        )


@given(shares, st.integers(1, 500), st.integers(0, 20))
def test_one_machine_of_a_group_always_stays_unless_it_is_the_only_one(
    share: Share, size: int, down: int
) -> None:
    down = min(down, size - 1)
    budget = unavailable_budget(a_policy(share), size, down)
    assert 1 <= budget <= max(1, size - down - 1)


def test_percentages_are_rounded_down() -> None:
    assert unavailable_budget(a_policy(Share(percent=33)), 10) == 3
    assert unavailable_budget(a_policy(Share(percent=33)), 2) == 1


def test_machines_that_are_stopped_for_good_count_against_the_budget() -> None:
    machines = [a_machine() for _ in range(6)] + [a_machine(state="stopped")]
    assert plan(machines, a_policy(Share(count=3))).chains[0].budget == 2
    asleep = [*machines[:6], a_machine(state="stopped", autostarts=True)]
    assert plan(asleep, a_policy(Share(count=3))).chains[0].budget == 3


def test_a_canary_goes_first_and_alone_in_its_group() -> None:
    planned = plan([a_machine() for _ in range(6)], a_policy(Share(count=3), canary=1))
    assert sizes(planned) == [[1, 3, 2]]
    assert planned.chains[0].canary_waves == 1


def test_what_is_out_of_service_already_goes_before_the_canary_and_is_told() -> None:
    sick = a_machine(healthy=False)
    planned = plan(
        [a_machine(), a_machine(), sick, a_machine()], a_policy(Share(count=1), canary=1)
    )
    assert planned.chains[0].waves[0] == (sick,)
    assert sizes(planned) == [[1, 1, 1, 1]]
    assert any(sick.id in told and "restarted first" in told for told in planned.notes)


def test_the_canary_strategy_means_at_least_one_canary() -> None:
    policy = a_policy(Share(count=3), strategy=Strategy.CANARY)
    assert sizes(plan([a_machine() for _ in range(4)], policy)) == [[1, 3]]


def test_groups_are_chains_of_their_own() -> None:
    machines = [a_machine(group=group) for group in ("app", "app", "worker", "worker", "worker")]
    planned = plan(machines, a_policy(Share(count=1)))
    assert {each.group: len(each.waves) for each in planned.chains} == {"app": 2, "worker": 3}
    assert planned.waves == 3


@pytest.mark.parametrize(
    ("more", "order"),
    [
        ({}, ["fra", "fra", "iad", "sin"]),
        ({"first": ("sin",)}, ["sin", "fra", "fra", "iad"]),
        ({"last": ("fra",)}, ["iad", "sin", "fra", "fra"]),
        ({"order": Order.SPREAD}, ["fra", "iad", "sin", "fra"]),
        ({"order": Order.SPREAD, "first": ("iad",)}, ["iad", "fra", "sin", "fra"]),
    ],
)
def test_machines_go_in_the_order_of_the_policy(more: dict[str, object], order: list[str]) -> None:
    machines = [a_machine(region=region) for region in ("sin", "fra", "iad", "fra")]
    planned = plan(machines, a_policy(Share(count=1), **more))
    assert [wave[0].region for wave in planned.chains[0].waves] == order


def test_standbys_go_after_their_primaries_never_with_them() -> None:
    primaries = [a_machine() for _ in range(3)]
    standby = replace(a_machine(), standby_for=(primaries[0].id,))
    planned = plan([standby, *primaries], a_policy(Share(count=3)))
    assert planned.chains[0].waves == (tuple(primaries), (standby,))


def test_a_machine_that_runs_with_the_version_already_is_skipped() -> None:
    marked = a_machine(metadata={MARK_SECRETS_VERSION: "5"})
    older = a_machine(metadata={MARK_SECRETS_VERSION: "4"})
    planned = plan([marked, older], a_policy(Share(count=1)))
    assert planned.up_to_date == (marked,)
    assert planned.chains[0].waves == ((older,),)


def event(type_: str, after_minutes: float) -> MachineEvent:
    return MachineEvent(type_, "x", "user", NOW + minutes(after_minutes))


def test_a_machine_that_somebody_renewed_after_the_delivery_is_skipped() -> None:
    deployed = a_machine(events=(event("start", 2), event("launch", 2)))
    assert plan([deployed, a_machine()], a_policy(Share(count=1))).up_to_date == (deployed,)


@pytest.mark.parametrize("kind", ["start", "restart"])
def test_a_mere_start_proves_nothing_because_fly_promises_nothing(kind: str) -> None:
    started = a_machine(events=(event(kind, 5), event("launch", -5)))
    assert plan([started, a_machine()], a_policy(Share(count=1))).restarts == 2


def test_a_renewal_within_the_clocks_uncertainty_proves_nothing() -> None:
    close = a_machine(events=(event("launch", 0.25),))
    assert plan([close, a_machine()], a_policy(Share(count=1))).restarts == 2


def test_a_machine_that_this_rollout_updated_but_never_saw_healthy_is_looked_at_again() -> None:
    marks = {MARK_SECRETS_VERSION: "5", MARK_ROLLOUT: "ours"}
    sick = a_machine(healthy=False, metadata=marks)
    planned = plan([sick, a_machine()], a_policy(Share(count=1)))
    assert sick in [m for wave in planned.chains[0].waves for m in wave]


def test_repairing_begins_with_what_is_out_of_service_already() -> None:
    machines = [a_machine(f"{n:014x}") for n in range(3)]
    sick = replace(a_machine("f" * 14), checks=())
    planned = plan([*machines, sick], a_policy(Share(count=1), canary=1), repairing=True)
    assert planned.chains[0].waves[0] == (sick,)
    assert planned.chains[0].canary_waves == 0


def test_repairing_is_never_blocked_and_clones_nothing() -> None:
    policy = a_policy(Share(count=1), strategy=Strategy.BLUE_GREEN)
    planned = plan([a_machine()], policy, repairing=True)
    assert planned.chains[0].method is Method.IN_PLACE
    assert not planned.blockers


def test_a_group_of_one_is_refused_with_both_ways_out() -> None:
    (blocker,) = plan([a_machine()], a_policy()).blockers
    assert "allow_single" in blocker
    assert "blue-green" in blocker
    assert not plan([a_machine()], a_policy(allow_single=True)).blockers
    assert not plan([a_machine()], a_policy(strategy=Strategy.BLUE_GREEN)).blockers
    assert not plan([a_machine(healthy=False)], a_policy()).blockers
    assert plan([a_machine(), a_machine(state="stopped")], a_policy()).blockers
    assert not plan([a_machine()], a_policy(), forced=True).blockers


def test_volumes_forbid_blue_green_and_the_plan_says_so() -> None:
    machines = [a_machine(has_volume=True), a_machine(has_volume=True)]
    planned = plan(machines, a_policy(strategy=Strategy.BLUE_GREEN))
    assert planned.chains[0].method is Method.IN_PLACE
    assert "volumes" in " ".join(planned.notes)


def test_immediate_takes_everything_at_once_and_says_what_that_means() -> None:
    policy = a_policy(Share(count=1), strategy=Strategy.IMMEDIATE)
    planned = plan([a_machine() for _ in range(5)], policy)
    assert sizes(planned) == [[5]]
    assert "nothing serves" in " ".join(planned.notes)


def test_next_start_updates_what_sleeps_and_leaves_what_runs() -> None:
    running, asleep = a_machine(), a_machine(state="stopped")
    planned = plan([running, asleep], a_policy(strategy=Strategy.NEXT_START))
    assert planned.waiting == (running,)
    assert planned.asleep == (asleep,)
    assert not planned.chains


def test_next_release_touches_nothing() -> None:
    machines = [a_machine(), a_machine(state="stopped")]
    planned = plan(machines, a_policy(strategy=Strategy.NEXT_RELEASE))
    assert Counter(m.id for m in planned.waiting) == Counter(m.id for m in machines)


def test_sleeping_machines_are_left_until_they_start_where_the_policy_says_so() -> None:
    asleep = a_machine(state="suspended")
    planned = plan([asleep], a_policy(asleep=Asleep.NEXT_START))
    assert planned.at_next_start == (asleep,)
    assert not planned.asleep


def test_clones_and_rehearsals_of_a_dead_rollout_are_leftovers() -> None:
    original = a_machine()
    ours = a_machine(metadata={MARK_CLONE_OF: original.id, MARK_ROLLOUT: "ours"})
    dead = a_machine(metadata={MARK_CLONE_OF: original.id, MARK_ROLLOUT: "dead"})
    rehearsal = a_machine(metadata={MARK_REHEARSAL: "app", MARK_ROLLOUT: "dead"})
    planned = plan([original, ours, dead, rehearsal], a_policy(allow_single=True))
    assert {m.id for m in planned.leftovers} == {dead.id, rehearsal.id}
    assert [left.machine for left in planned.left_out] == [ours]
    assert planned.chains[0].waves == ((original,),)


def test_a_clone_is_a_leftover_once_somebody_elses_deploy_has_renewed_its_original() -> None:
    original = a_machine(metadata={MARK_SECRETS_VERSION: "5"})
    clone = a_machine(metadata={MARK_CLONE_OF: original.id, MARK_ROLLOUT: "ours"})
    planned = plan([original, clone], a_policy())
    assert planned.up_to_date == (original,)
    assert planned.leftovers == (clone,)


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_a_rehearsal_is_a_leftover_once_its_group_has_nothing_to_restart(state: str) -> None:
    machine = a_machine(state=state)
    rehearsal = a_machine(metadata={MARK_REHEARSAL: "app", MARK_ROLLOUT: "ours"})
    planned = plan([machine, a_machine(state=state), rehearsal], a_policy())
    assert planned.leftovers == (() if state == "started" else (rehearsal,))


def test_a_clone_whose_original_is_gone_is_a_machine_like_any_other() -> None:
    clone = a_machine(metadata={MARK_CLONE_OF: "gone", MARK_ROLLOUT: "dead"})
    assert plan([clone, a_machine()], a_policy()).restarts == 2


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"group": "fly_app_release_command"}, "for its own ends"),
        ({"metadata": {"fly_builder_id": "x"}}, "builder"),
        ({"metadata": {"fly-managed-postgres": "true"}}, "managed Postgres"),
        ({"metadata": {"fly_platform_version": "fks"}}, "another platform"),
        ({"schedule": "daily"}, "schedule"),
        ({"auto_destroy": True}, "destroys itself"),
        ({"reads": frozenset({"OTHER"})}, "does not read"),
    ],
)
def test_what_is_none_of_a_rollouts_business_is_listed_with_the_reason(
    more: dict[str, object], why: str
) -> None:
    (left,) = plan([a_machine(**more)], a_policy()).left_out  # type: ignore[arg-type]
    assert why in left.reason


def test_loose_machines_without_a_platform_are_the_apps_own() -> None:
    machines = [a_machine(), a_machine(metadata={"fly_platform_version": "v2"})]
    assert plan(machines, a_policy()).restarts == 2


def test_groups_that_do_not_read_the_value_are_left_out_by_policy() -> None:
    machines = [a_machine(group="worker"), a_machine(), a_machine()]
    planned = plan(machines, a_policy(groups=("app",)))
    assert [left.machine.process_group for left in planned.left_out] == ["worker"]
    assert planned.restarts == 2


def test_a_single_machine_and_an_unreachable_one_are_said_before_it_starts() -> None:
    away = a_machine(host_status="unreachable", config=None, group="worker")
    notes = " ".join(plan([a_machine(), away], a_policy(allow_single=True)).notes)
    assert "one machine" in notes
    assert "can't be reached" in notes
