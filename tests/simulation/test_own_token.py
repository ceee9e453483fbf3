"""Rotator's own API token: made with what is needed, taken up by every worker, and never missed."""

from __future__ import annotations

from rotator.domain.credential import VersionState
from rotator.domain.rotation import Mode, RotationState
from rotator.engine.own_token import OwnToken
from rotator.fly import macaroon as m
from rotator.fly.client import FlyClient
from rotator.fly.needed import OWN, needed
from rotator.fly.own_rights import read_own
from rotator.simulator.switches import Switches
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell

OWN_TOKEN = """
[credentials.rotator]
kind = "rotator-token"
targets = [ { type = "fly-secret", app = "jobs", name = "FLY_API_TOKEN" } ]
[credentials.ci-web]
kind = "deploy-token"
app = "web"
targets = [ { type = "file", path = "FOLDER/ci.token" } ]
[credentials.office]
kind = "wireguard-peer"
region = "fra"
targets = [ { type = "file", path = "FOLDER/wg.conf" } ]
[credentials.key]
kind = "secret"
targets = [ { type = "fly-secret", app = "api", name = "KEY" } ]
"""


def with_own_token(s: Story) -> FlyClient:
    """The story's worker takes its token up as a daemon does."""
    parts, _, client = s.world.parts(Life())
    s.parts = parts
    client.token.successor = OwnToken(s.world.store, OWN, s.world.token).after
    s.closing.append(client.aclose)
    return client


async def begin(s: Story) -> None:
    s.world.fly.switches = Switches()
    await s.apply(OWN_TOKEN.replace("FOLDER", str(s.world.folder)))


async def up_to_date(s: Story, client: FlyClient) -> None:
    """What a heartbeat does."""
    best = await OwnToken(s.world.store, OWN, s.world.token).best()
    assert best is not None
    client.token.value = best


def test_it_is_made_with_what_is_needed_and_everything_goes_on_with_that() -> None:
    async def story(s: Story) -> None:
        client = with_own_token(s)
        await begin(s)
        await says_what_is_needed(s)
        machines = {i: mm.instance_id for i, mm in s.world.fly.apps["jobs"].machines.items()}
        assert (await s.rotate("rotator")).state is RotationState.SUCCEEDED
        await up_to_date(s, client)
        assert client.token.value.reveal() != s.world.token.reveal()
        for name in ("ci-web", "office", "key", "rotator"):
            rotation = await s.rotate(name)
            assert rotation.state in {RotationState.SUCCEEDED, RotationState.RETIRING}, name
        await may_no_more_than_is_needed(s, client)
        # Nothing was restarted for it, and what it need not do it may not.
        now = {i: mm.instance_id for i, mm in s.world.fly.apps["jobs"].machines.items()}
        assert now == machines
        own = m.permission_tokens(client.token.value.reveal())[0]
        assert m.app_ids(own) == {s.world.fly.apps[n].number for n in ("jobs", "web", "api")}

    tell(story)


async def may_no_more_than_is_needed(s: Story, client: FlyClient) -> None:
    """As the posture sees it, which found too much in the token of the beginning."""
    async with s.parts.store.view() as unit:
        specs = [c.spec for c in await unit.credentials()]
    assert read_own(s.world.token, specs, None).excess
    facts = read_own(client.token.value, specs, "rotator")
    assert facts.excess == ()
    assert facts.expires_at is not None
    assert read_own(client.token.value, specs[:1], "rotator").excess


async def says_what_is_needed(s: Story) -> None:
    async with s.parts.store.view() as unit:
        found = needed([c.spec for c in await unit.credentials()])
    rights = {right.what: right for right in found.rights()}
    assert rights["lease, update and restart machines of the app api"].why == ("key",)
    assert rights["set secrets of the app jobs"].actions == "rw"
    assert set(rights["make and revoke tokens"].why) == {"ci-web", "rotator"}
    assert "lease, update and restart machines of the app jobs" not in rights
    assert "addWireGuardPeer" in found.mutations


def test_when_it_goes_at_once_the_next_call_goes_on_with_its_successor() -> None:
    async def story(s: Story) -> None:
        client = with_own_token(s)
        await begin(s)
        await s.rotate("rotator")
        await up_to_date(s, client)
        other_parts, _, other = s.world.parts(Life())
        other.token.value = client.token.value
        other.token.successor = OwnToken(s.world.store, OWN, None).after
        s.closing.append(other.aclose)
        for mode in (Mode.REVOKE_FIRST, Mode.EMERGENCY):
            rotation = await s.rotate("rotator", mode)
            assert rotation.state is RotationState.SUCCEEDED, mode
            (current,) = [v for v in await s.versions("rotator") if v.state is VersionState.CURRENT]
            # A worker that knew nothing of it finds out by its next call.
            assert (await other_parts.fleet.app("web")).name == "web"
            async with s.parts.store.view() as unit:
                value = await unit.unseal(current.id)
            assert value is not None
            assert other.token.value.reveal() == value.reveal()

    tell(story)
