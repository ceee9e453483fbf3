"""By brute force on small fleets: no schedule could restart fewer machines, or in fewer waves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.domain.machines import MARK_SECRETS_VERSION, Machine, MachineEvent
from rotator.domain.policy import Asleep, RolloutPolicy, Share, Strategy
from rotator.domain.rollout import Method, RolloutPlan, plan_rollout
from rotator.domain.rotation import Mode
from rotator.domain.sorting import Aim
from rotator.engine.plan import AppRollout, CredentialPlan, shared_rollouts
from tests.unit.builders import NOW, a_credential, a_machine, a_policy, minutes
from tests.unit.rollout_oracle import (
    lacking,
    least_restarts,
    least_waves,
    meant_to_serve,
    updated,
)

AIM = Aim(frozenset({"KEY"}), 5, delivered_at=NOW)
LARGEST = 5
RENEWED = (MachineEvent("launch", "created", "user", NOW + minutes(2)),)
TOO_CLOSE = (MachineEvent("launch", "created", "user", NOW + minutes(0.25)),)
OLD = (MachineEvent("launch", "created", "user", NOW - minutes(60)),)

KINDS: dict[str, dict[str, object]] = {
    "stale": {"events": OLD},
    "sick": {"events": OLD, "healthy": False},
    "failed": {"events": OLD, "state": "failed"},
    "marked": {"events": OLD, "metadata": {MARK_SECRETS_VERSION: "5"}},
    "marked and sick": {
        "events": OLD,
        "metadata": {MARK_SECRETS_VERSION: "5"},
        "healthy": False,
    },
    "marked and asleep": {
        "events": OLD,
        "metadata": {MARK_SECRETS_VERSION: "5"},
        "state": "stopped",
    },
    "marked for less": {"events": OLD, "metadata": {MARK_SECRETS_VERSION: "4"}},
    "renewed since": {"events": RENEWED},
    "renewed and sick": {"events": RENEWED, "healthy": False},
    "renewed too close to be sure": {"events": TOO_CLOSE},
    "asleep": {"events": OLD, "state": "stopped", "autostarts": True},
    "suspended": {"events": OLD, "state": "suspended"},
    "standby": {"events": OLD, "state": "stopped", "standby_for": ("primary",)},
    "stopped": {"events": OLD, "state": "stopped"},
    "launch failed": {"events": OLD, "state": "launch_failed"},
    "being created": {"events": OLD, "state": "creating"},
    "out of reach": {"events": OLD, "host_status": "unreachable"},
    "a job": {"events": OLD, "auto_destroy": True},
    "reads something else": {"events": OLD, "reads": frozenset({"OTHER"})},
    "gone": {"events": OLD, "state": "destroyed"},
}
RESTARTING = (Strategy.ROLLING, Strategy.CANARY, Strategy.IMMEDIATE, Strategy.BLUE_GREEN)


def fleets(kinds: Sequence[str], largest: int) -> Iterator[tuple[str, ...]]:
    """Every mixture of up to so many machines of these kinds."""
    for size in range(largest + 1):
        yield from combinations_with_replacement(kinds, size)


def built(kinds: Sequence[str]) -> list[Machine]:
    """The machines of a mixture."""
    return [a_machine(**KINDS[kind]) for kind in kinds]  # type: ignore[arg-type]


def restarted(plan: RolloutPlan) -> set[str]:
    """The machines that a plan restarts."""
    return {m.id for chain in plan.chains for wave in chain.waves for m in wave}


def touched(plan: RolloutPlan) -> set[str]:
    """The machines that a plan updates, with or without a boot."""
    return restarted(plan) | {m.id for m in plan.asleep}


def assert_least(machines: list[Machine], policy: RolloutPolicy) -> None:
    """The plan suffices, and nothing smaller does."""
    plan = plan_rollout(machines, policy, AIM)
    assert lacking(machines, touched(plan), policy, AIM) == ()
    assert plan.restarts == len(restarted(plan)) == least_restarts(machines, policy, [AIM])


@pytest.mark.parametrize("asleep", list(Asleep))
def test_a_plan_restarts_as_few_machines_as_prove_the_value_everywhere(asleep: Asleep) -> None:
    for strategy, kinds in product(RESTARTING, fleets(list(KINDS), 2)):
        assert_least(built(kinds), a_policy(strategy=strategy, asleep=asleep))


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(list(KINDS)), min_size=3, max_size=LARGEST),
    st.sampled_from(RESTARTING),
    st.sampled_from(list(Asleep)),
)
def test_no_smaller_set_of_restarts_would_do(
    kinds: list[str], strategy: Strategy, asleep: Asleep
) -> None:
    assert_least(built(kinds), a_policy(strategy=strategy, asleep=asleep))


IN_SERVICE = ("stale", "sick", "stopped", "standby", "marked", "out of reach", "asleep")


@pytest.mark.parametrize("canary", [0, 1, 2])
@pytest.mark.parametrize(
    "share", [Share(count=1), Share(count=2), Share(count=9), Share(percent=33), Share(percent=60)]
)
def test_a_plan_has_as_few_waves_as_keep_p4(share: Share, canary: int) -> None:
    policy = a_policy(share, canary=canary)
    for kinds in fleets(IN_SERVICE, LARGEST):
        assert_fewest(built(kinds), policy)
    for primaries, standbys in product(range(4), range(1, 4)):
        machines = built(["stale"] * (primaries + standbys))
        awake = [replace(m, standby_for=("primary",)) for m in machines[:standbys]]
        assert_fewest([*awake, *machines[standbys:]], policy)


def assert_fewest(machines: list[Machine], policy: RolloutPolicy) -> None:
    """No way to cut the machines of the plan into waves has fewer, and every wave keeps P4."""
    for chain in plan_rollout(machines, policy, AIM).chains:
        group = meant_to_serve(machines, chain.group, AIM)
        members = [m for wave in chain.waves for m in wave]
        primaries = [m for m in members if not m.standby_for]
        sick = [m for m in primaries if not m.healthy]
        well = [m for m in primaries if m.healthy]
        canaries = well[: policy.canary]
        phases = [sick, canaries, well[policy.canary :]] if policy.canary else [primaries]
        standbys = [m for m in members if m.standby_for]
        assert len(chain.waves) == least_waves(group, [*phases, standbys], policy)


@given(st.integers(1, LARGEST), st.sampled_from([Strategy.IMMEDIATE, Strategy.BLUE_GREEN]))
def test_what_may_go_all_at_once_goes_in_one_wave(size: int, strategy: Strategy) -> None:
    plan = plan_rollout(built(["stale"] * size), a_policy(strategy=strategy), AIM)
    assert plan.waves == 1
    assert (plan.chains[0].method is Method.BLUE_GREEN) == (strategy is Strategy.BLUE_GREEN)


# Several rotations of one app: each has a secret of its own, delivered one after the other.
NAMES = ("KEY", "TOKEN", "COOKIE")
AIMS = tuple(
    Aim(frozenset({name}), 5 + number, delivered_at=NOW) for number, name in enumerate(NAMES)
)
READERS: dict[str, dict[str, object]] = {
    "reads all": {"events": OLD},
    "reads the first": {"events": OLD, "reads": frozenset({"KEY"})},
    "reads the last two": {"events": OLD, "reads": frozenset({"TOKEN", "COOKIE"})},
    "reads none": {"events": OLD, "reads": frozenset()},
    "holds the first": {"events": OLD, "metadata": {MARK_SECRETS_VERSION: "5"}},
    "holds them all": {"events": OLD, "metadata": {MARK_SECRETS_VERSION: "7"}},
    "renewed since": {"events": RENEWED},
    "asleep": {"events": OLD, "state": "stopped", "autostarts": True},
}


def rolled_out(machines: list[Machine], plan: RolloutPlan, version: int) -> list[Machine]:
    """The machines after a rollout that asked for this secrets version."""
    return [updated(m, version) if m.id in touched(plan) else m for m in machines]


@pytest.mark.parametrize("order", list(permutations(range(len(AIMS)))))
def test_rotations_that_share_a_rollout_restart_as_few_machines_as_serve_them_all(
    order: tuple[int, ...],
) -> None:
    """Whoever comes first rolls out for the newest delivery; the others find their work done."""
    policy, newest = a_policy(), max(aim.floor for aim in AIMS)
    for kinds in fleets(list(READERS), 3):
        machines = [a_machine(**READERS[kind]) for kind in kinds]  # type: ignore[arg-type]
        after, restarts = machines, 0
        for number in order:
            plan = plan_rollout(after, policy, AIMS[number])
            restarts += plan.restarts
            after = rolled_out(after, plan, newest)
        assert restarts == least_restarts(machines, policy, AIMS)
        assert all(lacking(after, (), policy, aim) == () for aim in AIMS)


def test_the_plan_tells_how_many_restarts_sharing_saves() -> None:
    for kinds in fleets(list(READERS), 3):
        machines = [a_machine(**READERS[kind]) for kind in kinds]  # type: ignore[arg-type]
        alone = [plan_rollout(machines, a_policy(), aim) for aim in AIMS]
        saved = sum(p.restarts for p in alone) - least_restarts(machines, a_policy(), AIMS)
        shared = shared_rollouts([_credential_plan(plan) for plan in alone])
        assert sum(each.saved for each in shared) == saved


def _credential_plan(plan: RolloutPlan) -> CredentialPlan:
    rollouts = (AppRollout("web", plan, 0.0, a_policy()),)
    return CredentialPlan(
        a_credential(), Mode.NORMAL, (), rollouts, "", None, 0.0, (), (), (), fingerprint=""
    )
