"""Worlds in which rotator once broke a promise: each a plan of its own, as small as it could be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.engine.keepalive import Tenure
from rotator.simulator.switches import Switches
from tests.simulation.plan import (
    AppPlan,
    Backend,
    CredentialPlan,
    Freeze,
    GroupPlan,
    Plan,
)
from tests.simulation.runner import live_through, run_seed

WORLD = Plan(
    seed=1,
    days=1.0,
    backend=Backend.POSTGRESQL_LIKE,
    workers=2,
    apps=(AppPlan("web", (GroupPlan("app", ("fra", "iad")),)),),
    credentials=(),
    switches=Switches(),
)
PEER = CredentialPlan(
    "office", "wireguard-peer", "web", (("file", "/files/wg.conf"),), every_hours=72,
    overlap_minutes=0,
)  # fmt: skip
TOKEN = CredentialPlan(
    "ci", "deploy-token", "web", (("fly-secret", "web", "CI"),), every_hours=72, overlap_minutes=0
)


def frozen(credential: CredentialPlan, step: str, phase: str) -> Plan:
    """A worker stands still at a step until another one has taken its rotation over."""
    freezes = tuple(Freeze(who, 130.0, step, phase, 1) for who in (0, 1))
    return replace(WORLD, credentials=(credential,), freezes=freezes)


@pytest.mark.parametrize("credential", [PEER, TOKEN], ids=["peer", "token"])
@pytest.mark.parametrize("step", ["mint", "deliver", "retire"])
def test_a_worker_that_stood_still_past_its_claim_changes_nothing_any_more(
    credential: CredentialPlan, step: str
) -> None:
    outcome = live_through(frozen(credential, step, "before"))
    assert outcome.broken is None, outcome.why
    assert outcome.counts["freeze"]


def test_that_world_breaks_where_the_worker_does_not_look_at_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tenure, "lasts", lambda _: True)
    assert live_through(frozen(TOKEN, "deliver", "before")).broken == "P3"


SEEDS = {
    118: "the end of a failed rollout was not committed, and the next try went on elsewhere",
    398: "a drained machine came back from an absent host, and another one was drained beside it",
    844: "one group of a rollout went on while another one that had failed ended its checks",
    976: "a paused blue-green rollout was resumed with the clone that had been destroyed",
    2771: "a failure was forgotten where the next try died as well",
    484: "a job that somebody restarted was thought to have the new value",
}
"""Worlds that broke as their seeds draw them; those up to 250 are in test_seeds anyway."""


@pytest.mark.parametrize("seed", SEEDS, ids=SEEDS.get)
def test_a_world_that_broke_once_holds(seed: int) -> None:
    outcome = run_seed(seed)
    assert outcome.broken is None, outcome.why
