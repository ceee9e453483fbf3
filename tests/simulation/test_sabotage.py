"""The checks can fail: each sabotage breaks the promise that it should, and is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.rotation import StepName
from rotator.engine import advance, issue, side_by_side
from rotator.engine.step import Result, StepContext
from rotator.fly.fleet import FlyFleet
from rotator.simulator.faults import FaultRates
from tests.simulation.runner import live_through
from tests.simulation.scenario import Scenario, draw

CALM = replace(
    draw(3),
    manifest={"every": "7d", "overlap": "0s", "unavailable": "1", "canary": "0"},
    kills=0,
    wishes=0,
    span=timedelta(days=16),
)
LOSSY = replace(CALM, rates=FaultRates(lost=0.25))


def revoke_without_adoption(patch: pytest.MonkeyPatch) -> None:
    """Neither restart nor look after the first time: a token is revoked under its consumers."""
    seen: set[str] = set()
    roll_out = side_by_side.roll_out

    async def once(ctx: StepContext) -> Result:
        if ctx.credential.name in seen:
            return Result()
        seen.add(ctx.credential.name)
        return await roll_out(ctx)

    async def unlooked(_: StepContext) -> Result:
        return Result()

    patch.setattr(side_by_side, "roll_out", once)
    patch.setattr(advance, "EFFECTS", {**advance.EFFECTS, StepName.CONFIRM: unlooked})


def forget_leftovers(patch: pytest.MonkeyPatch) -> None:
    """Never look for a value whose answer was lost."""

    async def forgotten(ctx: StepContext, *, keep: object) -> None:
        return None

    patch.setattr(issue, "revoke_leftovers", forgotten)
    patch.setattr("rotator.engine.reconcile._revoke_leftovers", _no_leftovers)


async def _no_leftovers(*_: object) -> tuple[str, ...]:
    return ()


def keep_leases(patch: pytest.MonkeyPatch) -> None:
    """Never give a lease back, and take them for a season."""
    acquire = FlyFleet.acquire_lease

    async def forever(self: FlyFleet, app: str, machine: str, **given: object) -> object:
        return await acquire(self, app, machine, **(given | {"ttl_seconds": 90 * 86_400}))  # type: ignore[arg-type]

    async def kept(self: FlyFleet, *_: object) -> None:
        return None

    async def unrefreshed(
        self: FlyFleet, app: str, machine: str, lease: object, **_: object
    ) -> object:
        return lease

    patch.setattr(FlyFleet, "acquire_lease", forever)
    patch.setattr(FlyFleet, "refresh_lease", unrefreshed)
    patch.setattr(FlyFleet, "release_lease", kept)


@pytest.mark.parametrize(
    ("sabotage", "scenario", "promise"),
    [
        (revoke_without_adoption, CALM, "P1"),
        (forget_leftovers, LOSSY, "P2"),
        (keep_leases, CALM, "P5"),
    ],
)
def test_a_sabotage_is_caught_by_the_promise_that_it_breaks(
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Callable[[pytest.MonkeyPatch], None],
    scenario: Scenario,
    promise: str,
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match=f"Broken: {promise}"):
        for seed in range(1, 6):
            live_through(replace(scenario, seed=seed))


def test_the_same_worlds_hold_without_sabotage() -> None:
    live_through(CALM)
    live_through(LOSSY)
