"""No chance: in a small world every commit, and every answer of Fly's, is lost once, in turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.simulator.switches import Switches
from tests.simulation.plan import (
    Act,
    AppPlan,
    Backend,
    CredentialPlan,
    GroupPlan,
    Injection,
    Kill,
    Plan,
)
from tests.simulation.runner import live_through

TOKEN = CredentialPlan(
    "ci", "deploy-token", "web", (("fly-secret", "web", "CI"),), every_hours=24, overlap_minutes=0
)
PEER = CredentialPlan(
    "office", "wireguard-peer", "web", (("file", "/files/wg.conf"),), every_hours=24,
    overlap_minutes=0,
)  # fmt: skip
WORLD = Plan(
    seed=1,
    days=0.05,
    backend=Backend.SQLITE_LIKE,
    workers=1,
    apps=(AppPlan("web", (GroupPlan("app", ("fra", "iad")),)),),
    credentials=(TOKEN,),
    switches=Switches(),
    script=(),
)
MOST = 200


@pytest.mark.parametrize("credential", [TOKEN, PEER], ids=["token", "peer"])
@pytest.mark.parametrize(
    ("where", "kind"),
    [("database", "lost_before"), ("database", "lost_after"), ("network", "lost")],
)
def test_a_rotation_ends_well_whatever_is_lost_once(
    credential: CredentialPlan, where: str, kind: str
) -> None:
    world = replace(WORLD, credentials=(credential,))
    broken, lived = [], 0
    for nth in range(1, MOST):
        outcome = live_through(replace(world, script=(Injection(where, nth, kind),)))
        if not outcome.counts.get(f"{where}: {kind}"):
            break  # nothing is left to lose
        lived += 1
        if outcome.broken or outcome.ends.keys() != {"succeeded"}:
            broken.append(f"{kind} at {nth}: {outcome.why or outcome.ends}")
    assert not broken, "\n".join(broken)
    assert 5 < lived < MOST - 1


@pytest.mark.parametrize("credential", [TOKEN, PEER], ids=["token", "peer"])
def test_an_abort_tells_how_the_step_went_that_a_crash_had_cut_short(
    credential: CredentialPlan,
) -> None:
    """What the log began it ends: `everything_was_told` is held at the end of the world."""
    world = replace(
        WORLD,
        kills=(Kill(0, 600.0, None, "mint", "before", 1),),
        acts=(Act(100.0, "abort", 1),),
        credentials=(replace(credential, adopted=True),),
    )
    outcome = live_through(world)
    assert outcome.broken is None, outcome.why
    assert outcome.counts["act: abort"]
    assert outcome.ends["rolled_back"] == 1
