"""Turning back at bad moments, in virtual time; the explorer of the protocol found each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rotator.domain.credential import TargetSpec, VersionState
from rotator.domain.ports import Receipt, Unit
from rotator.domain.rotation import Mode, RotationState, StepName
from rotator.domain.secret import Secret
from rotator.engine import advance
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, abort, request_rotation, retry
from rotator.engine.step import Result, StepContext
from rotator.simulator import machines
from rotator.targets.fly_secret import FlySecretTarget
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

TOKEN = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = { every = "30d", overlap = "1d" }
targets = [ { type = "fly-secret", app = "api", name = "WEB_DEPLOY_TOKEN" } ]
"""


def test_a_failure_after_the_old_value_was_revoked_first_never_takes_the_new_one_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(s: Story) -> None:
        retire = advance.EFFECTS[StepName.RETIRE]
        gone = []

        async def then_lose_the_app(ctx: StepContext) -> Result:
            result = await retire(ctx)
            gone.append(s.world.fly.apps.pop("api"))
            return result

        await s.apply(TOKEN)
        await s.rotate("ci-web", Mode.EMERGENCY)
        effects = {**advance.EFFECTS, StepName.RETIRE: then_lose_the_app}
        monkeypatch.setattr(advance, "EFFECTS", effects)
        rotation = await s.rotate("ci-web", Mode.REVOKE_FIRST)
        assert rotation.state is RotationState.PARKED
        assert rotation.parked is not None
        assert "may be revoked" in rotation.parked.safe
        assert len(s.living()) == 1, "the new value lives: it is the only one that can be used"

        s.world.fly.apps["api"] = gone[0]
        await retry(s.parts, rotation.id, OPERATOR, "mended")
        await s.work()
        assert (await s.rotation(rotation.id)).state is RotationState.SUCCEEDED
        (current,) = [v for v in await s.versions("ci-web") if v.state is VersionState.CURRENT]
        assert current.rotation_id == rotation.id

    tell(story)


def test_a_machine_that_reboots_after_the_roll_back_does_not_hold_the_undo_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have booted with either value, so it is restarted once more, and the undo ends."""

    async def story(s: Story) -> None:
        deliver, discard = advance.EFFECTS[StepName.DELIVER], advance.EFFECTS[StepName.DISCARD]
        rebooted: list[str] = []

        async def then_abort(ctx: StepContext) -> Result:
            await abort(ctx.parts, ctx.rotation.id, OPERATOR, "second thoughts")
            return await deliver(ctx)

        async def after_a_reboot(ctx: StepContext) -> Result:
            if not rebooted:
                machine = next(m for m in s.world.fly.apps["api"].machines.values() if m.booted)
                machines.stop(s.world.fly, machine, source="proxy")
                await ctx.parts.clock.sleep(60)
                s.world.fly.advance()
                machines.start(s.world.fly, machine, source="proxy")
                await ctx.parts.clock.sleep(60)
                rebooted.append(machine.id)
            return await discard(ctx)

        await s.apply(TOKEN)
        await s.rotate("ci-web", Mode.EMERGENCY)
        await s.parts.clock.sleep(600)
        before = s.living()
        changed = {StepName.DELIVER: then_abort, StepName.DISCARD: after_a_reboot}
        monkeypatch.setattr(advance, "EFFECTS", {**advance.EFFECTS, **changed})
        rotation = await s.rotate("ci-web")
        assert rebooted
        assert (await s.rotation(rotation.id)).state is RotationState.ROLLED_BACK
        assert s.living() == before

    tell(story)


def test_a_worker_that_wakes_up_after_its_claim_has_run_out_changes_nothing_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was stopped between the intent to deliver and the call. Meanwhile another worker undid
    the rotation: the value that the sleeper would write is revoked by then."""

    async def story(s: Story) -> None:
        awake = asyncio.Event()
        awake.set()
        sleeper = sleeping(s.parts, awake)
        deliver = FlySecretTarget.deliver
        slept: list[str] = []

        async def asleep(self: FlySecretTarget, spec: TargetSpec, value: Secret) -> Receipt:
            if not slept:
                slept.append(spec.key)
                awake.clear()
                await awake.wait()
            return await deliver(self, spec, value)

        await s.apply(TOKEN)
        await s.rotate("ci-web", Mode.EMERGENCY)
        before = s.living()
        digest = s.world.fly.apps["api"].secrets["WEB_DEPLOY_TOKEN"].digest
        monkeypatch.setattr(FlySecretTarget, "deliver", asleep)
        wish = Wish(OPERATOR, "a story", "manual")
        rotation = await request_rotation(s.parts, "ci-web", wish)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(advance.advance(sleeper, rotation.id))
            await s.parts.clock.sleep(200)
            await abort(s.parts, rotation.id, OPERATOR, "second thoughts")
            await s.work()
            assert (await s.rotation(rotation.id)).state is RotationState.ROLLED_BACK
            awake.set()
        assert first.result() is False
        assert s.living() == before
        standing = s.world.fly.apps["api"].secrets["WEB_DEPLOY_TOKEN"]
        assert standing.digest == digest, "the old value stands, and it works"

    tell(story)


def sleeping(parts: Parts, awake: asyncio.Event) -> Parts:
    """A worker whose whole process stands still while it is not awake. Its database is not quick,
    so that it does not learn at once that its claim is gone."""

    class Store:
        @asynccontextmanager
        async def unit(self) -> AsyncIterator[Unit]:
            await awake.wait()
            await parts.clock.sleep(1)
            async with parts.store.unit() as unit:
                yield unit

        @asynccontextmanager
        async def view(self) -> AsyncIterator[Unit]:
            await awake.wait()
            async with parts.store.view() as unit:
                yield unit

    return replace(parts, worker_id="sleeper", store=Store())
