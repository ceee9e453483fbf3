"""A credential that is assumed lost is replaced before what could be had with it."""

from __future__ import annotations

import pytest

from rotator.domain.errors import InputError
from rotator.domain.events import Action
from rotator.domain.rotation import Mode, RotationState
from rotator.engine.taint import advance_taints, standing_taints, taint
from rotator.simulator.seed import add_app
from tests.simulation.looking import told
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

CHAIN = """
[defaults.policy]
every = "30d"
overlap = "1d"
[credentials.leaky]
kind = "deploy-token"
app = "vault"
targets = [ { type = "file", path = "FOLDER/ci" } ]
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "vault", name = "SESSION_KEY" } ]
[credentials.role]
kind = "secret"
derived_from = ["session"]
targets = [ { type = "file", path = "FOLDER/role" } ]
[credentials.seen]
kind = "secret"
mode = "observe"
derived_from = ["session"]
"""


def test_each_wave_waits_until_the_one_before_is_replaced_and_revoked() -> None:
    async def story(s: Story) -> None:
        world = s.world.fly
        add_app(world, world.organizations["acme"], "vault", s.parts.clock.now())
        await s.apply(CHAIN.replace("FOLDER", str(s.world.folder)))
        await s.rotate("leaky")
        await taint(s.parts, "leaky", OPERATOR, "laptop stolen")
        with pytest.raises(InputError, match="tainted already"):
            await taint(s.parts, "leaky", OPERATOR, "")
        order = []
        for _ in range(12):
            for rotation in await advance_taints(s.parts):
                assert rotation.mode is Mode.EMERGENCY
                order.append(rotation.credential_name)
                assert await advance_taints(s.parts) == []
            await s.work()
        assert order == ["leaky", "session", "role"]
        assert await standing_taints(s.parts) == []
        assert len(s.living("leaky")) == 1
        tainted = await told(s, Action.CREDENTIAL_TAINTED)
        assert [(e.credential, e.outcome.value) for e in tainted] == [
            ("leaky", "intent"),
            ("session", "intent"),
            ("role", "intent"),
            ("seen", "failed"),
        ]
        async with s.parts.store.view() as unit:
            newest = await unit.rotations(limit=3)
        assert {r.state for r in newest} == {RotationState.SUCCEEDED}
        assert newest[0].reason == "it comes from session (derived_from): laptop stolen"

    tell(story)
