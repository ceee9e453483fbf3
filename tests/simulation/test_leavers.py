"""Somebody leaves the organisation: what they made is found, replaced once, and refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.posture.finding import Inspected, Topic
from rotator.domain.posture.policy import OnLeaver, PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Rotation, RotationState
from rotator.engine.posture.organization import OrganizationInspector
from rotator.engine.posture.wishes import begin_wishes
from rotator.engine.reconcile import reconcile
from rotator.fly.client import FlyClient
from rotator.simulator import gql_people, tokens
from rotator.simulator.faults import Fault, Match
from rotator.simulator.model import Token
from rotator.simulator.switches import Switches
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell

JO = "jo@example.com"
MANIFEST = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = {{ every = "90d", overlap = "1h" }}
mode = "{mode}"
targets = [ {{ type = "file", path = "{folder}/ci.token" }} ]
"""
ACME = InspectionScope(("acme",))
ROTATE = PosturePolicy(on_leaver=OnLeaver.ROTATE)


@dataclass
class Office:
    """The story's organisation with Jo in it, whose token `ci-web` of the manifest is."""

    story: Story
    client: FlyClient
    theirs: Token

    async def look(self, policy: PosturePolicy = ROTATE) -> Inspected:
        """What the daily job does, and tell what was found."""
        inspector = OrganizationInspector(
            self.story.parts.store, self.client.holdings, self.client.held_tokens
        )
        return await inspector.inspect(ACME, policy, self.story.parts.clock.now())

    async def day(self, policy: PosturePolicy = ROTATE) -> list[Rotation]:
        """The daily job, with what it begins done."""
        found = await self.look(policy)
        begun = await begin_wishes(self.story.parts, found.wishes)
        await self.story.work()
        return list(begun)

    async def rotations(self) -> list[Rotation]:
        """Those that were begun because somebody left."""
        async with self.story.parts.store.view() as unit:
            every = await unit.rotations()
        return [r for r in every if r.reason_code == ReasonCode.CREATOR_LEFT]

    async def told(self) -> list[str]:
        """The events about it."""
        query = EventQuery(action=Action.CREDENTIAL_CREATOR_LEFT.value)
        async with self.story.parts.store.view() as unit:
            return [each.event.reason for each in await unit.events(query)]


def refused(office: Office) -> bool:
    """Whether Fly takes Jo's token no more."""
    return not tokens.in_force(office.story.world.fly, tokens.header(office.theirs), None)


def leaver_findings(found: Inspected) -> list[str]:
    return [each.subject for each in found.findings if each.rule.id == "token-of-leaver"]


async def an_office(s: Story, *, mode: str = "rotate") -> Office:
    fly = s.world.fly
    fly.switches = Switches()
    parts, _, client = s.world.parts(Life())
    s.parts = parts
    s.closing.append(client.aclose)
    acme = fly.organizations["acme"]
    gql_people.join(fly, acme, JO)
    for token in [t for t in fly.tokens.values() if t.name == "ci-web"]:
        tokens.revoke(fly, token, "somebody")
    theirs = tokens.create(
        fly,
        acme,
        name="ci-web",
        profile="deploy",
        app=fly.apps["web"],
        lifetime=timedelta(days=365),
        created_at=fly.now() - timedelta(days=20),
        user_email=JO,
    )
    await s.apply(MANIFEST.format(mode=mode, folder=s.world.folder))
    async with parts.store.view() as unit:
        credential = await unit.credential("ci-web")
    assert credential is not None
    await reconcile(parts, credential)
    return Office(s, client, theirs)


def leave(office: Office, who: str = JO) -> None:
    fly = office.story.world.fly
    gql_people.leave(fly, fly.organizations["acme"], who)


def test_what_a_leaver_made_is_replaced_once_and_refused_and_then_no_finding() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        assert leaver_findings(await office.look()) == []
        assert await office.day() == []
        leave(office)
        assert leaver_findings(await office.look()) == ["token:web/ci-web"]
        (rotation,) = await office.day()
        assert rotation.reason == "jo@example.com, who made its value, has left acme"
        assert str(rotation.actor) == "schedule:posture"
        # In the overlap the old one still works, is still told, and nothing more is begun.
        assert (await s.rotation(rotation.id)).state is RotationState.RETIRING
        assert not refused(office)
        assert leaver_findings(await office.look()) == ["token:web/ci-web"]
        assert await office.day() == []
        await s.days(0.2)
        assert (await s.rotation(rotation.id)).state is RotationState.SUCCEEDED
        assert refused(office)
        found = await office.look()
        assert leaver_findings(found) == []
        assert found.wishes == ()
        for _ in range(3):
            await s.days(1)
            assert await office.day() == []
        assert len(await office.rotations()) == 1
        assert await office.told() == [rotation.reason]

    tell(story)


def test_two_daemons_and_a_hurried_person_begin_one_rotation() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        leave(office)
        wishes = (await office.look()).wishes
        first = await begin_wishes(s.parts, wishes)
        assert len(first) == 1
        # Under way, the other daemon with the same finding in hand begins none.
        assert await begin_wishes(s.parts, wishes) == []
        await s.work()
        assert await begin_wishes(s.parts, wishes) == []
        assert len(await office.rotations()) == 1

    tell(story)


def test_nothing_is_begun_where_the_policy_only_tells() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        leave(office)
        found = await office.look(PosturePolicy())
        assert leaver_findings(found) == ["token:web/ci-web"]
        assert found.wishes == ()
        assert await office.day(PosturePolicy()) == []
        assert not refused(office)

    tell(story)


def test_what_is_only_observed_is_told_once_and_left_as_it_is() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s, mode="observe")
        leave(office)
        for _ in range(3):
            assert await office.day() == []
            await s.days(1)
        assert await office.rotations() == []
        assert len(await office.told()) == 1
        assert (await s.actions()).count(Action.CREDENTIAL_WOULD_ROTATE) == 1
        assert leaver_findings(await office.look()) == ["token:web/ci-web"]
        assert not refused(office)

    tell(story)


def test_where_rotators_own_token_is_a_leavers_what_it_makes_is_not_made_again_and_again() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        gql_people.join(s.world.fly, s.world.fly.organizations["acme"], "ann@example.com")
        leave(office)
        leave(office, tokens.OPERATOR)
        (first,) = await office.day()
        assert first.reason.startswith(JO)
        # The new value is listed as made by whoever rotator's token is of: the operator.
        for _ in range(4):
            await s.days(1)
            assert await office.day() == []
        assert refused(office)
        assert [r.id for r in await office.rotations()] == [first.id]
        found = await office.look()
        by_subject = {f.subject: f for f in found.findings if f.rule.id == "token-of-leaver"}
        finding, own = by_subject["token:web/ci-web"], by_subject["token:operator"]
        assert "rotator made it, so by an API token of theirs" in finding.message
        # The operator's token itself, which rotator goes on with, is told as rotator's own.
        assert own.message.endswith("rotator's own")
        assert "which becomes rotator's ROTATOR_FLY_API_TOKEN" in own.mend

    tell(story)


def test_one_that_was_rolled_back_is_tried_again_later_and_a_few_times_only() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        leave(office)
        everything = Match(graphql="createLimitedAccessToken")
        s.world.fly.faults.add(Fault(match=everything, kind="refused", status=400, times=10_000))
        for _ in range(12):
            await office.day()
            assert await office.day() == []
            await s.days(1)
        tried = await office.rotations()
        assert {r.state for r in tried} == {RotationState.ROLLED_BACK}
        assert len(tried) == s.parts.limits.rollbacks_in_a_row
        assert not refused(office)

    tell(story)


def test_where_members_can_not_be_read_that_is_missing_and_nobody_has_left() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        leave(office)
        s.world.fly.switches.tokens_may_list_members = False
        found = await office.look()
        assert [(m.topic, m.organization) for m in found.missing] == [(Topic.PEOPLE, "acme")]
        assert leaver_findings(found) == []
        assert found.wishes == ()
        assert {f.rule.id for f in found.findings} == {"peer-untracked"}

    tell(story)


def test_a_look_at_an_organisation_is_one_call_and_changes_nothing() -> None:
    async def story(s: Story) -> None:
        office = await an_office(s)
        before = len(s.world.fly.log)
        await office.look()
        assert [entry.graphql for entry in list(s.world.fly.log)[before:]] == [("organization",)]

    tell(story)
