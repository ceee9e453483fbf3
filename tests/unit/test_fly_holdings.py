"""What an organisation holds, read from the simulated Fly: all of it, in how many calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from rotator.domain.errors import NotAllowed, TokenRefused, Unavailable
from rotator.domain.posture.finding import Topic
from rotator.domain.posture.organization import ulid_time
from rotator.domain.secret import Secret
from rotator.fly import holdings
from rotator.simulator import gql_people, tokens
from rotator.simulator.faults import Fault, Match
from rotator.simulator.model import DelegatedToken, PersonalToken, Token
from rotator.system import SystemEntropy
from tests.contract.conversation import Conversation, conversation

JO = "jo@example.com"


@pytest.fixture
async def said() -> AsyncIterator[Conversation]:
    async with conversation() as talk:
        yield talk


def a_token(said: Conversation, name: str, *, app: str | None = None, by: str = JO) -> Token:
    world = said.world
    return tokens.create(
        world,
        world.organizations["acme"],
        name=name,
        profile="deploy" if app else "deploy_organization",
        app=world.apps[app] if app else None,
        lifetime=timedelta(days=30),
        user_email=by,
    )


def spoken(said: Conversation) -> list[str]:
    """The documents that were sent, in order."""
    return [str(each.body["operationName"]) for each in said.said]  # type: ignore[index]


async def test_a_small_organisation_is_read_in_one_call(said: Conversation) -> None:
    acme = said.world.organizations["acme"]
    gql_people.join(said.world, acme, JO)
    acme.delegated["old-ci"] = DelegatedToken("id", "old-ci", "a value")
    mine = a_token(said, "mine", app="web")
    gone = a_token(said, "gone")
    tokens.revoke(said.world, gone, JO)
    found = await said.client.holdings.read("acme")
    assert spoken(said) == ["OrganizationPosture"]
    assert len(said.world.log) == 1
    by_name = {each.name: each for each in found.tokens}
    assert {name: each.app for name, each in by_name.items()} == {
        "ci-web": "web",
        "mine": "web",
        "operator": None,
        "gone": None,
    }
    assert (by_name["mine"].ref, by_name["mine"].maker) == (mine.id, JO)
    assert not by_name["gone"].alive(said.clock.now())
    assert by_name["mine"].alive(said.clock.now())
    assert [each.name for each in found.peers] == ["office-gateway"]
    assert [each.name for each in found.delegated] == ["old-ci"]
    assert {each.email: each.admin for each in found.members or ()} == {
        tokens.OPERATOR: True,
        JO: False,
    }
    assert found.id == acme.id
    assert found.missing == ()
    assert "a value" not in repr(found)


async def test_further_pages_are_asked_for_where_there_are_some(
    said: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "PAGE_SIZE", 2)
    monkeypatch.setattr(holdings, "APPS_A_PAGE", (2,))
    monkeypatch.setattr(holdings, "IN_AN_APP", 1)
    for number in range(3):
        a_token(said, f"many-{number}", app="web")
    found = await said.client.holdings.read("acme")
    assert sorted(each.name for each in found.tokens if each.app == "web") == [
        "ci-web",
        *(f"many-{n}" for n in range(3)),
    ]
    # All tokens are listed under the organisation too, which are two pages here.
    assert spoken(said) == [
        "OrganizationPosture",
        "AppTokens",
        "OrganizationAppTokens",
        "OrganizationTokens",
    ]


async def test_what_this_token_may_not_read_is_missing_and_the_rest_is_there(
    said: Conversation,
) -> None:
    said.world.switches.tokens_may_list_members = False
    found = await said.client.holdings.read("acme")
    assert found.members is None
    assert [(each.topic, each.organization, each.app) for each in found.missing] == [
        (Topic.PEOPLE, "acme", "")
    ]
    assert "Not authorized" in found.missing[0].why
    assert {each.name for each in found.tokens} == {"ci-web", "operator"}
    assert [each.name for each in found.peers] == ["office-gateway"]
    assert spoken(said)[0] == "OrganizationPosture"
    assert len(spoken(said)) == 6
    assert not any(found.has_left(each) for each in found.tokens)


async def test_half_of_the_members_is_none_of_them(
    said: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    gql_people.join(said.world, said.world.organizations["acme"], JO)
    a_token(said, "mine", app="web")
    monkeypatch.setattr(holdings, "PAGE_SIZE", 1)

    async def fails(*_: object) -> None:
        raise Unavailable("could not list the members of acme: Fly did not answer in time")

    monkeypatch.setattr(said.client.holdings, "_all_members", fails)
    found = await said.client.holdings.read("acme")
    assert found.members is None
    assert not any(found.has_left(each) for each in found.tokens)
    assert [each.topic for each in found.missing] == [Topic.PEOPLE]


async def test_an_app_token_may_read_its_app_and_no_more(said: Conversation) -> None:
    mine = a_token(said, "mine", app="web")
    said.client.token.value = Secret(tokens.header(mine))
    found = await said.client.holdings.read("acme", "web")
    assert {each.name for each in found.tokens} == {"ci-web", "mine"}
    assert [(each.topic, each.app) for each in found.missing] == [(Topic.PEOPLE, "web")]
    whole = await said.client.holdings.read("acme")
    assert {each.topic for each in whole.missing} == {Topic.TOKENS, Topic.PEERS, Topic.PEOPLE}


async def test_an_organisation_that_is_not_there_or_a_fly_that_is_down_is_missing(
    said: Conversation,
) -> None:
    topics = {Topic.TOKENS, Topic.PEERS, Topic.PEOPLE}
    found = await said.client.holdings.read("nowhere")
    assert {each.topic for each in found.missing} == topics
    said.world.faults.add(Fault(match=Match(path="/graphql"), kind="refused", status=503, times=99))
    down = await said.client.holdings.read("acme")
    assert {each.topic for each in down.missing} == topics
    assert down.tokens == ()


async def test_a_token_that_fly_refuses_raises(said: Conversation) -> None:
    said.client.token.value = Secret("FlyV1 fm2_lJPECAAA")
    with pytest.raises(TokenRefused):
        await said.client.holdings.read("acme")


async def test_personal_tokens_are_read_where_fly_shows_them(said: Conversation) -> None:
    with pytest.raises(NotAllowed):
        await said.client.holdings.personal_tokens()
    said.world.switches.tokens_see_personal_tokens = True
    made = PersonalToken("p1", "laptop", "pat", tokens.OPERATOR, said.clock.now())
    others = PersonalToken("p2", "theirs", "pat", JO, said.clock.now())
    said.world.personal_tokens += [made, others]
    found = await said.client.holdings.personal_tokens()
    assert [(each.id, each.type) for each in found] == [("p1", "pat")]


def test_the_time_in_a_ulid_is_read_and_other_texts_have_none() -> None:
    at = datetime(2026, 2, 3, 4, 5, 6, 789000, UTC)
    made = SystemEntropy().ulid(at)
    assert ulid_time(made) == ulid_time(made.lower()) == at
    assert ulid_time("00000000000000000000000000") is None
    assert ulid_time("office-gateway") is None
    assert ulid_time("") is None
