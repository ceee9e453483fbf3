"""Everything that an attacker could have taken is replaced, once, also if it is interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.leak import APP_TEXT, HEAD, _build, drill
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Mode, Rotation, RotationState
from rotator.domain.sweep import Scope
from rotator.engine import jobs, sweep
from rotator.engine.request import Wish, request_rotation
from rotator.simulator.switches import Switches
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

ACME = Scope(organization="acme")


def test_a_leaked_token_is_refused_within_seconds_and_its_app_is_rolled_out_once() -> None:
    found = drill(apps=1, machines=2)
    assert found.refused_seconds < 10
    assert found.rollouts == found.apps
    assert found.credentials == 3
    assert found.replaced_seconds < 2 * found.bound_seconds


def test_a_sweep_that_is_cut_off_goes_on_and_replaces_nothing_twice() -> None:
    async def story(s: Story) -> None:
        s.world.fly.switches = Switches()
        names = ["one", "two"]
        for name in names:
            _build(s.world, name, machines=2)
        text = HEAD + "".join(APP_TEXT.format(app=name) for name in names)
        await s.apply_whole(text)
        # Somebody's routine is under way for one of them: it has to end first.
        wish = Wish(OPERATOR, "routine", "manual", Mode.NORMAL)
        routine = await request_rotation(s.parts, "two-key", wish)
        swept = await sweep.begin(s.parts, ACME, "an intruder", Mode.EMERGENCY)
        assert [r.credential_name for r in swept.rotations] == ["one-token", "one-key", "two-token"]
        assert [r.id for r in swept.late] == [routine.id]
        await killed_in_the_middle(s, swept.rotations)

        again = await sweep.begin(s.parts, ACME, "an intruder", Mode.EMERGENCY)
        assert again.resumed
        assert again.asked_at == swept.asked_at
        assert {r.id for r in again.rotations} == {r.id for r in swept.rotations}
        while again.late:
            await s.work()
            again = await sweep.ask_late(s.parts, again, "an intruder", Mode.EMERGENCY)
        await s.work()
        ended = [await s.rotation(r.id) for r in again.rotations]
        assert [r.state for r in ended] == [RotationState.SUCCEEDED] * 4
        assert await sweep.unfinished(s.parts, ACME) is None
        async with s.parts.store.view() as unit:
            every = await unit.rotations()
            of_one = await unit.rollouts(app="one")
        assert sum(r.reason_code == ReasonCode.SWEEP.value for r in every) == 4
        assert len(of_one) == 1
        # What was in its overlap goes with the sweep as well.
        assert (await s.rotation(routine.id)).state is RotationState.SUCCEEDED

    tell(story)


async def killed_in_the_middle(s: Story, rotations: Sequence[Rotation]) -> None:
    """Let another process work until some have begun, and kill it."""
    life = Life()
    parts, transport, client = s.world.parts(life)
    work = asyncio.create_task(jobs.Runner(parts).run_ready())
    while not await some(s, rotations, begun=True):
        await parts.clock.sleep(0.2)
    await parts.clock.sleep(4)
    life.over = True
    work.cancel()
    await asyncio.wait([work])
    if transport.under_way:
        await asyncio.wait(transport.under_way)
    await client.aclose()
    assert not await some(s, rotations, begun=False)


async def some(s: Story, rotations: Sequence[Rotation], *, begun: bool) -> bool:
    """Whether some have begun, or ended."""
    now = [await s.rotation(r.id) for r in rotations]
    return any(r.started_at if begun else r.ended_at for r in now)
