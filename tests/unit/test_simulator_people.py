"""The simulated Fly's people: who belongs, who leaves, and what they leave behind."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx

from rotator.simulator import gql_people, tokens
from rotator.simulator.model import Json, PersonalToken
from tests.unit.simulator_support import BEGIN, SimulatedFly, codes, simulated_fly

PEOPLE = """
query { organization(slug: "acme") {
  members(first: 10) { edges { role joinedAt node { id email } } nodes { email } totalCount }
  delegatedWireGuardTokens(first: 10) { nodes { id name } }
} }
"""
LEAVE = """
mutation($input: DeleteOrganizationMembershipInput!) {
  deleteOrganizationMembership(input: $input) { organization { id } user { email } }
}
"""
DELEGATE = """
mutation($input: CreateDelegatedWireGuardTokenInput!) {
  createDelegatedWireGuardToken(input: $input) { token }
}
"""
UNDELEGATE = """
mutation($input: DeleteDelegatedWireGuardTokenInput!) {
  deleteDelegatedWireGuardToken(input: $input) { token }
}
"""
PERSONAL = "query { accessTokens(first: 10, type: all) { nodes { id name type createdAt } } }"
JO = "jo@example.com"


async def people(fly: SimulatedFly) -> Json:
    body = await fly.graphql(PEOPLE)
    assert "errors" not in body, body
    organization: Json = body["data"]["organization"]  # type: ignore[index]
    return organization


def emails(organization: Json) -> list[str]:
    return [each["email"] for each in organization["members"]["nodes"]]  # type: ignore[index]


async def test_members_come_with_role_and_date_and_go() -> None:
    fly = simulated_fly()
    org = fly.world.organizations["acme"]
    fly.pass_seconds(60)
    gql_people.join(fly.world, org, JO)
    found = await people(fly)
    assert emails(found) == [tokens.OPERATOR, JO]
    assert [edge["role"] for edge in found["members"]["edges"]] == ["ADMIN", "MEMBER"]  # type: ignore[index]
    given = {"input": {"organizationId": org.id, "userId": f"user:{JO}"}}
    assert "errors" not in await fly.graphql(LEAVE, given)
    assert emails(await people(fly)) == [tokens.OPERATOR]
    assert codes(await fly.graphql(LEAVE, given)) == ["NOT_FOUND"]


async def test_whoever_leaves_keeps_their_tokens_and_loses_the_peers_that_flyctl_made() -> None:
    for revoked in (False, True):
        fly = simulated_fly()
        fly.world.switches.leavers_tokens_are_revoked = revoked
        org = fly.world.organizations["acme"]
        gql_people.join(fly.world, org, JO)
        theirs = tokens.create(
            fly.world,
            org,
            name="theirs",
            profile="deploy_organization",
            app=None,
            lifetime=timedelta(days=1),
            user_email=JO,
        )
        gateway = org.peers["office-gateway"]
        for name in ("interactive-agent-laptop-jo-example-com-1", "static-home-jo-example-com-1"):
            org.peers[name] = gateway
        gql_people.leave(fly.world, org, JO)
        assert set(org.peers) == {"office-gateway", "static-home-jo-example-com-1"}
        assert (theirs.revoked_at is not None) is revoked


async def test_a_token_is_listed_as_made_by_whoever_made_the_token_that_made_it() -> None:
    fly = simulated_fly()
    org = fly.world.organizations["acme"]
    jos = tokens.create(
        fly.world,
        org,
        name="jos",
        profile="deploy_organization",
        app=None,
        lifetime=timedelta(days=1),
        user_email=JO,
    )
    made = await SimulatedFly(
        fly.world, fly.clock, "", fly.client_with(tokens.header(jos))
    ).create_token("child")
    assert fly.world.tokens[str(made["id"])].user_email == JO


async def test_delegated_tokens_are_listed_by_name_only() -> None:
    fly = simulated_fly()
    org = fly.world.organizations["acme"]
    given = {"input": {"organizationId": org.id, "name": "old-ci"}}
    assert "errors" not in await fly.graphql(DELEGATE, given)
    assert codes(await fly.graphql(DELEGATE, given)) == ["UNPROCESSABLE"]
    found = await people(fly)
    assert [n["name"] for n in found["delegatedWireGuardTokens"]["nodes"]] == ["old-ci"]  # type: ignore[index]
    assert "errors" not in await fly.graphql(UNDELEGATE, given)
    assert codes(await fly.graphql(UNDELEGATE, given)) == ["NOT_FOUND"]


async def test_what_the_documents_leave_open_are_switches() -> None:
    fly = simulated_fly()
    assert codes(await fly.graphql(PERSONAL)) == ["UNAUTHORIZED"]
    fly.world.switches.tokens_see_personal_tokens = True
    fly.world.personal_tokens.append(PersonalToken("p1", "laptop", "pat", tokens.OPERATOR, BEGIN))
    body = await fly.graphql(PERSONAL)
    assert body["data"]["accessTokens"]["nodes"][0]["name"] == "laptop"  # type: ignore[index]
    fly.world.switches.tokens_may_list_members = False
    assert codes(await fly.graphql(PEOPLE)) == ["UNAUTHORIZED"]


async def test_answers_tell_flys_time() -> None:
    fly = simulated_fly()
    fly.world.switches.clock_ahead_seconds = 7
    answer: httpx.Response = await fly.client.get("/v1/apps/web")
    assert parsedate_to_datetime(answer.headers["date"]) == BEGIN + timedelta(seconds=7)


async def test_people_come_and_go_by_the_control_paths() -> None:
    fly = simulated_fly()
    joined = await fly.client.post(f"/_simulator/members/{JO}", json={"admin": True})
    assert joined.json() == {"members": [JO, tokens.OPERATOR]}
    assert fly.world.organizations["acme"].members[JO].role == "ADMIN"
    gone = await fly.client.delete(f"/_simulator/members/{JO}")
    assert gone.json() == {"members": [tokens.OPERATOR]}
