"""Which promise each sabotage breaks, and the worlds that have to notice it.

A sabotage that no check notices is a hole in the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest

from tests.simulation import sabotage_patches as patches
from tests.simulation.drawing import draw
from tests.simulation.plan import Backend, Freeze, Loss, Plan
from tests.simulation.runner import Outcome, live_through

Patch = pytest.MonkeyPatch
MOST_SEEDS = 500


@dataclass(frozen=True)
class Sabotage:
    """What is broken, and the promise that breaks with it."""

    apply: Callable[[Patch], None]
    promise: str
    needs: Callable[[Plan], bool] = lambda _: True
    """What a world must have for it to matter; others are counted, but not lived through."""
    world: Callable[[int], Plan] = draw
    """The world of a seed, where what matters would be rare in the drawn ones."""

    @property
    def name(self) -> str:
        """What is done, in words."""
        return self.apply.__name__.replace("_", " ")


@dataclass(frozen=True)
class Caught:
    """The seed that noticed it, after how many."""

    seed: int
    promise: str
    needed: int


def caught(sabotage: Sabotage, seeds: Iterable[int] | None = None) -> Caught | None:
    """Try seeds until the promise is seen broken. Months of big companies are left out."""
    needed = 0
    for seed in seeds if seeds is not None else range(1, MOST_SEEDS + 1):
        plan = sabotage.world(seed)
        needed += 1
        if plan.days > 10 or not sabotage.needs(plan):
            continue
        with Patch.context() as patch:
            sabotage.apply(patch)
            found: Outcome = live_through(plan)
        if found.broken == sabotage.promise:
            return Caught(seed, found.broken, needed)
    return None


def _sickly(seed: int) -> Plan:
    """Machines that often don't become healthy, so that rotations turn back."""
    rates = (("never_healthy", 0.05),)
    return replace(draw(seed), rates=rates, database_rates=(), acts=(), kills=(), days=4.0)


def _lossy(seed: int) -> Plan:
    """Answers to mints that get lost, and lists that lag."""
    plan = draw(seed)
    losses = tuple(Loss("mint", nth) for nth in range(1, 9))
    switches = replace(plan.switches, list_lag_seconds=20.0)
    return replace(plan, losses=losses, switches=switches, rates=(), kills=(), days=4.0)


def _with_issuer(plan: Plan) -> bool:
    return any(c.kind != "secret" for c in plan.credentials)


def _with_tokens(plan: Plan) -> bool:
    return any(c.kind == "deploy-token" for c in plan.credentials)


def _loses_a_mint(plan: Plan) -> bool:
    return _with_issuer(plan) and any(loss.step == "mint" for loss in plan.losses)


def _crowded(plan: Plan) -> bool:
    return len(plan.credentials) > 3 and len(plan.apps) == 1


def _parks(plan: Plan) -> bool:
    return any(act.verb == "renew_api_token" for act in plan.acts)


def _drains(plan: Plan) -> bool:
    return any(c.rollout.drain_seconds and c.kind != "wireguard-peer" for c in plan.credentials)


def _rehearses(plan: Plan) -> bool:
    return any(c.rollout.rehearsal and c.kind != "wireguard-peer" for c in plan.credentials)


def _frosty(seed: int) -> Plan:
    """Two workers that often stand still past their claims, at every step."""
    steps = ("mint", "prove", "deliver", "confirm", "promote", "retire")
    freezes = tuple(
        Freeze(who, 130.0, step, phase, nth)
        for who in (0, 1)
        for step in steps
        for phase in ("before", "after", "amid")
        for nth in (1, 3)
    )
    plan = replace(draw(seed), backend=Backend.POSTGRESQL_LIKE, workers=2, freezes=freezes)
    return replace(plan, rates=(), database_rates=(), kills=(), jumps=(), days=4.0)


def _forgetful(seed: int) -> Plan:
    """A database that often loses the connection before a commit."""
    return replace(draw(seed), rates=(), database_rates=(("lost_before", 0.05),), days=3.0)


def _sleeps(plan: Plan) -> bool:
    return any(g.suspended or g.down for app in plan.apps for g in app.groups)


def _deploys(plan: Plan) -> bool:
    return any(act.verb == "deploy" for act in plan.acts)


SABOTAGES = (
    Sabotage(patches.forget_what_a_lost_answer_left, "P2", _loses_a_mint),
    Sabotage(patches.revoke_before_confirm, "P1"),
    Sabotage(patches.promote_before_confirm, "P1"),
    Sabotage(patches.neither_restart_nor_confirm, "P1"),
    Sabotage(patches.forget_to_restore, "P1", _with_tokens, _sickly),
    Sabotage(patches.repeat_an_unsafe_call, "P2", _loses_a_mint),
    Sabotage(patches.trust_a_list_at_once, "P2", _with_tokens, _lossy),
    Sabotage(patches.drop_fencing, "P3", world=_frosty),
    Sabotage(patches.claim_what_is_claimed, "P3", world=_frosty),
    Sabotage(patches.take_an_app_that_is_locked, "P3", _crowded),
    Sabotage(patches.rotate_twice_at_a_time, "P3"),
    Sabotage(patches.restart_all_waves_at_once, "P4"),
    Sabotage(patches.restart_as_many_as_there_are, "P4"),
    Sabotage(patches.go_on_after_a_failure, "P4", world=_sickly),
    Sabotage(patches.keep_leases, "P5"),
    Sabotage(patches.park_without_a_cause, "P5", _parks),
    Sabotage(patches.forget_a_rotation_that_waits, "P5"),
    Sabotage(patches.leave_machines_out_of_the_proxy, "P5", _drains),
    Sabotage(patches.leave_rehearsals_behind, "P5", _rehearses),
    Sabotage(patches.log_a_value, "P6"),
    Sabotage(patches.store_values_unsealed, "P6"),
    Sabotage(patches.put_a_value_into_an_event, "P6"),
    Sabotage(patches.ignore_an_unknown_commit, "P7", world=_forgetful),
    Sabotage(patches.skip_outcomes, "P7"),
    Sabotage(patches.skip_the_intent_of_an_update, "P7"),
    Sabotage(patches.edit_an_event, "P7"),
    Sabotage(patches.give_leases_back_early, "P8"),
    Sabotage(patches.wake_what_sleeps, "P8", _sleeps),
    Sabotage(patches.overwrite_a_deploy, "P8", _deploys),
)
