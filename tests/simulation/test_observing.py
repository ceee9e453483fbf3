"""The zero-risk first week: rotator looks, tells what it would do, and changes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.domain.credential import VersionState
from rotator.domain.errors import InputError
from rotator.domain.events import Action
from rotator.domain.rotation import Mode, RotationState
from rotator.engine import jobs
from rotator.engine.request import Wish, request_rotation
from rotator.engine.watch import watch_expiries
from rotator.simulator import tokens
from rotator.simulator.faults import Fault, Match
from tests.simulation.looking import changes, told
from tests.simulation.story import Story, tell
from tests.simulation.test_stories import MONTHLY
from tests.simulation.world import OPERATOR

EVERYTHING = """
[defaults]
mode = "observe"
[defaults.policy]
every = "7d"
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]
[credentials.ci-web]
kind = "deploy-token"
app = "web"
[credentials.office-gateway]
kind = "wireguard-peer"
"""
ROTATED = EVERYTHING.replace('mode = "observe"\n', "").split("[credentials.ci-web]", maxsplit=1)[0]


async def replaced_by_hand(s: Story) -> None:
    """Somebody makes a new token of the name, and revokes the old one."""
    world = s.world.fly
    (old,) = [token for token in world.tokens.values() if token.name == "ci-web"]
    tokens.create(
        world,
        old.org,
        name="ci-web",
        profile="deploy",
        app=old.app,
        lifetime=timedelta(days=90),
    )
    tokens.revoke(world, old, "somebody")
    await s.parts.clock.sleep(3600)


def test_observing_changes_nothing_and_tells_what_would_be_done() -> None:
    async def story(s: Story) -> None:
        await s.apply_whole('organization = "acme"\n' + EVERYTHING)
        for _ in range(3):
            await jobs.find_due(s.parts)
            await s.days(7, step_hours=24)
            await jobs.reconcile_all(s.parts)
            await watch_expiries(s.parts)
        assert changes(s.world.fly) == []
        for name in ("session", "ci-web", "office-gateway"):
            assert len(await told(s, Action.CREDENTIAL_WOULD_ROTATE, name)) in (3, 4)
        first = (await told(s, Action.CREDENTIAL_WOULD_ROTATE, "session"))[0]
        assert first.reason == "its schedule says so"
        assert "deliver fly-secret:web/SESSION_KEY; roll-out web" in first.detail["would"]
        assert [v.adopted for v in await s.versions("ci-web")] == [True]
        await replaced_by_hand(s)
        await jobs.reconcile_all(s.parts)
        old, new = await s.versions("ci-web")
        assert (old.state, new.state) == (VersionState.REVOKED, VersionState.CURRENT)
        assert new.since == s.parts.clock.now() - timedelta(hours=1)
        with pytest.raises(InputError, match="only observed"):
            await request_rotation(s.parts, "session", Wish(OPERATOR, "", "manual", Mode.NORMAL))

        await s.apply_whole('organization = "acme"\n' + ROTATED)
        (queued,) = await jobs.find_due(s.parts)
        assert queued.credential_name == "session"
        await s.apply_whole('organization = "acme"\n' + EVERYTHING)
        await s.work()
        assert (await s.rotation(queued.id)).state is RotationState.ROLLED_BACK
        assert changes(s.world.fly) == []

    tell(story)


def test_an_adopted_token_goes_only_after_a_confirmed_delivery_and_the_overlap() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        (old,) = s.living()
        secrets = Match(method="POST", path="/v1/apps/api/secrets")
        s.world.fly.faults.add(Fault("refused", secrets, status=422))
        assert (await s.rotate("ci-web")).state is RotationState.ROLLED_BACK
        assert s.living() == [old]
        assert (await s.rotate("ci-web")).state is RotationState.RETIRING
        await s.days(0.9)
        assert old in s.living()
        await s.days(0.2)
        assert old not in s.living()
        assert len(s.living()) == 1

    tell(story)
