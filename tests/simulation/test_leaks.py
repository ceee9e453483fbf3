"""A token leaked: which credential it is, what is done about it, and how it goes in the end."""

from __future__ import annotations

from datetime import timedelta

from rotator.domain.credential import CredentialStatus, Version, VersionState
from rotator.domain.events import Action
from rotator.domain.leak import Course
from rotator.domain.rotation import Mode, RotationState
from rotator.domain.secret import Secret
from rotator.engine import leak
from rotator.engine.lineage import recognise
from rotator.engine.request import Wish, request_rotation
from rotator.fly.client import FlyClient
from rotator.fly.tracing import traces
from rotator.simulator import seed
from rotator.simulator import tokens as simulated
from rotator.simulator.switches import Switches
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell
from tests.simulation.test_leaked_copies import narrowed
from tests.simulation.world import OPERATOR

ONE = """
[credentials.robot]
kind = "deploy-token"
app = "web"
targets = [ { type = "file", path = "FOLDER/robot.token" } ]
"""
WHY = "found in a build log"


def a_client(s: Story) -> FlyClient:
    _, _, client = s.world.parts(Life())
    s.closing.append(client.aclose)
    return client


async def begin(s: Story) -> None:
    """One tracked token, at a Fly that refuses a revoked one at once."""
    s.world.fly.switches = Switches()
    await s.apply(ONE.replace("FOLDER", str(s.world.folder)))


async def the(s: Story, state: VersionState) -> tuple[Version, Secret]:
    (version,) = [v for v in await s.versions("robot") if v.state is state]
    async with s.parts.store.view() as unit:
        value = await unit.unseal(version.id)
    assert value is not None
    return version, value


async def respond(s: Story, version: Version) -> leak.Response:
    async with s.parts.store.view() as unit:
        credential = await unit.credential_by_id(version.credential_id)
    return await leak.respond(s.parts, credential, version, WHY, "its nonce")


def test_a_narrowed_copy_has_its_token_revoked_before_the_successor_is_delivered() -> None:
    async def story(s: Story) -> None:
        await begin(s)
        await s.rotate("robot")
        leaked = a_client(s).leaked
        version, value = await the(s, VersionState.CURRENT)
        (found,) = await recognise(s.parts, traces(narrowed(value)))
        before = s.parts.clock.now()
        response = await respond(s, found.version)
        assert response.course is Course.ROTATE
        assert response.rotation is not None
        assert response.rotation.mode is Mode.REVOKE_FIRST
        await s.work()
        assert await leak.revoked(s.parts, version)
        assert await leaked.accepted(value) is None
        token = s.world.fly.tokens[version.issued.ref if version.issued else ""]
        assert token.revoked_at is not None
        assert token.revoked_at - before < timedelta(seconds=10)
        ended = await s.rotation(response.rotation.id)
        assert ended.state is RotationState.SUCCEEDED
        assert Action.LEAK_REPORTED in await s.actions()

        # One that is in its overlap is revoked at once, and nothing is rotated for it.
        second = await s.rotate("robot")
        assert second.state is RotationState.RETIRING
        version, value = await the(s, VersionState.RETIRING)
        response = await respond(s, version)
        assert response.course is Course.HASTEN
        await s.work()
        assert await leaked.accepted(value) is None
        assert (await s.rotation(second.id)).state is RotationState.SUCCEEDED
        assert (await respond(s, version)).course is Course.GONE

    tell(story)


def test_a_value_that_a_rotation_is_replacing_already_is_revoked_beside_it() -> None:
    async def story(s: Story) -> None:
        await begin(s)
        await s.rotate("robot")
        version, value = await the(s, VersionState.CURRENT)
        wish = Wish(OPERATOR, "before the leak", "manual", Mode.EMERGENCY)
        under_way = await request_rotation(s.parts, "robot", wish)
        response = await respond(s, version)
        assert response.course is Course.REVOKE
        assert response.rotation is not None
        await leak.revoke_beside(s.parts, response, WHY)
        assert await a_client(s).leaked.accepted(value) is None
        assert not await leak.revoked(s.parts, version)
        await s.work()
        assert (await s.rotation(under_way.id)).state is RotationState.SUCCEEDED
        assert await leak.revoked(s.parts, version)

    tell(story)


def test_a_token_that_the_manifest_names_no_more_is_revoked_for_good() -> None:
    async def story(s: Story) -> None:
        await begin(s)
        await s.rotate("robot")
        version, value = await the(s, VersionState.CURRENT)
        await s.apply("")
        response = await respond(s, version)
        assert response.credential.status is CredentialStatus.UNMANAGED
        assert response.course is Course.REVOKE
        await leak.revoke_beside(s.parts, response, WHY)
        assert await a_client(s).leaked.accepted(value) is None
        assert await leak.revoked(s.parts, version)

    tell(story)


def test_a_token_of_somebody_else_is_found_in_flys_list_by_its_times_and_revoked() -> None:
    async def story(s: Story) -> None:
        await begin(s)
        fly = s.world.fly
        org = fly.organizations["acme"]
        token = simulated.create(
            fly,
            org,
            name="made in 2019",
            profile="deploy",
            app=fly.apps["web"],
            lifetime=timedelta(days=7300),
        )
        value = narrowed(Secret(simulated.header(token)))
        assert await recognise(s.parts, traces(value)) == []
        leaked = a_client(s).leaked
        whole = Secret(simulated.header(token))
        (found,) = await leaked.listed(whole, await leak.organizations_of(s.parts))
        assert (found.ref, found.name) == (token.id, "made in 2019")
        assert await leaked.accepted(whole) == ("acme",)
        await leak.revoke_found(s.parts, leaked, whole, found, WHY)
        assert await leak.refused(s.parts, leaked, whole, timedelta(seconds=5))
        assert (await s.actions())[-2:] == [Action.LEAK_REVOKED, Action.LEAK_REVOKED]

        # Two that can't be told apart are revoked by their text, one of a stranger by itself.
        life = timedelta(days=30)
        twins = [
            simulated.create(
                fly, org, name=n, profile="deploy_organization", app=None, lifetime=life
            )
            for n in ("one", "two")
        ]
        value = Secret(simulated.header(twins[0]))
        assert len(await leaked.listed(value, ["acme"])) == 2
        assert "by its text" in await leaked.revoke(value, None)
        assert [t.revoked_at is None for t in twins] == [False, True]
        rival = seed.add_organization(fly, "rival", "Rival")
        theirs = simulated.create(
            fly, rival, name="theirs", profile="deploy_organization", app=None, lifetime=life
        )
        assert "gave itself up" in await leaked.revoke(Secret(simulated.header(theirs)), None)
        assert theirs.revoked_at is not None

    tell(story)
