"""Our GraphQL documents, the simulator's schema and its answers, against Fly's official schema."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pytest
from graphql import (
    FieldNode,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    coerce_input_value,
    parse,
    validate,
    visit,
)

from rotator.domain.credential import TargetSpec
from rotator.domain.machines import ReleaseStatus
from rotator.domain.ports import TargetState
from rotator.domain.posture.rules_tokens import graphql_command
from rotator.fly import holdings
from rotator.fly.graphql import document
from rotator.simulator import gql_people, tokens
from rotator.simulator.model import DelegatedToken, PersonalToken
from tests.contract import official
from tests.contract.conversation import Conversation, Exchange, conversation

DOCUMENTS = sorted(
    path.name.removesuffix(".graphql") for path in (files("rotator.fly") / "documents").iterdir()
)
LISTS = (
    "AppTokens",
    "OrganizationTokens",
    "OrganizationPosture",
    "OrganizationAppTokens",
    "DelegatedWireGuardTokens",
    "AccessTokens",
)
SIMULATED = Path(str(files("rotator.simulator") / "schema.graphql"))


def simulated_schema() -> GraphQLSchema:
    return build_schema(SIMULATED.read_text("utf-8"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_valid_against_flys_schema(name: str) -> None:
    assert validate(official.graphql_schema(), parse(document(name))) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_named_and_valid_against_the_simulators_schema(name: str) -> None:
    (definition,) = parse(document(name)).definitions
    assert isinstance(definition, OperationDefinitionNode)
    assert definition.name is not None
    assert definition.name.value == name
    assert validate(simulated_schema(), parse(document(name))) == []


@pytest.mark.parametrize("name", [*LISTS, "OrganizationHoldings"])
def test_no_list_selects_the_value_of_a_token(name: str) -> None:
    assert "token " not in document(name).replace("limitedAccessTokens", "")
    assert "tokenHeader" not in document(name)


def test_a_field_that_fly_does_not_have_would_be_caught() -> None:
    schema = official.graphql_schema()
    assert validate(schema, parse('query X { app(name: "web") { lastRotatedAt } }'))


@pytest.mark.parametrize(
    ("mutation", "given"),
    [
        ("deleteAccessToken", {"accessTokenId": "id"}),
        ("deleteDelegatedWireGuardToken", {"organizationId": "id", "name": "it's"}),
    ],
)
def test_a_command_for_people_is_valid_against_flys_schema(
    mutation: str, given: dict[str, str]
) -> None:
    body = json.loads(shlex.split(graphql_command(mutation, given))[-1])
    schema = official.graphql_schema()
    assert validate(schema, parse(body["query"])) == []
    assert schema.mutation_type is not None
    argument = schema.mutation_type.fields[mutation].args["input"].type
    assert coerce_input_value(body["variables"]["i"], argument) == given


def test_the_simulators_schema_is_a_part_of_flys() -> None:
    ours, theirs = simulated_schema(), official.graphql_schema()
    for name, mine in ours.type_map.items():
        if name.startswith("__"):
            continue
        assert name in theirs.type_map, f"Fly has no type {name}"
        kinds = GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType
        if not isinstance(mine, kinds):
            continue
        whole = theirs.type_map[name]
        assert isinstance(whole, kinds)
        for field_name, field in mine.fields.items():
            assert field_name in whole.fields, f"Fly's {name} has no {field_name}"
            assert str(field.type) == str(whole.fields[field_name].type), f"{name}.{field_name}"


async def talk(said: Conversation) -> None:
    """Use every document once."""
    client = said.client
    app = await client.organizations.app("web")
    organization = await client.organizations.organization("acme")
    await client.organizations.viewer()
    made = await client.tokens.create(
        name="contract",
        organization_id=organization.id,
        profile="deploy",
        profile_params={"app_id": app.id},
        expiry="24h0m0s",
    )
    await client.tokens.of_app("web")
    await client.tokens.of_organization("acme")
    await client.tokens.sign_out(made.header)
    await client.tokens.delete(made.id)
    assert await client.survey.organizations() == ["acme"]
    assert [len(page) async for page in client.running.listed("acme")] == [3]
    await client.survey.look("acme", lambda *_: None)
    await read_by_small_pages(said)
    assert (await client.certificate_reading.of_organization("acme")).snapshots
    assert (await client.certificate_reading.of_app("web", "acme")).snapshots
    secret = TargetSpec("fly-secret", "k", {"app": "web", "name": "SESSION_KEY"}, "web")
    assert await client.witness.author(secret, TargetState("-")) == ""
    assert (await client.platform.read()).region("fra") is not None
    region = await client.wireguard.nearest_gateway_region()
    key = base64.b64encode(bytes(range(32))).decode()
    peer = await client.wireguard.add_peer(
        organization.id, name="contract", public_key=key, region=region, network=None
    )
    await client.wireguard.peers("acme")
    await client.wireguard.live_peer_ips([peer.peer_ip])
    await client.wireguard.remove_peer(organization.id, "contract")
    asked_at = said.clock.now()
    release = await client.releases.create("web", strategy="rolling")
    assert await client.releases.unbegun("web", since=asked_at) is not None
    await client.releases.set_status("web", release.id, ReleaseStatus.COMPLETE)


async def read_by_small_pages(said: Conversation) -> None:
    """What an organisation holds, with more than a page of everything."""
    acme = said.world.organizations["acme"]
    gql_people.join(said.world, acme, "jo@example.com")
    for name in ("old-ci", "older-ci"):
        acme.delegated[name] = DelegatedToken(f"id of {name}", name, "value")
    said.world.switches.tokens_see_personal_tokens = True
    laptop = PersonalToken("id", "laptop", "pat", tokens.OPERATOR, said.clock.now())
    said.world.personal_tokens.append(laptop)
    found = await said.client.holdings.read("acme")
    assert [each.name for each in found.delegated] == ["old-ci", "older-ci"]
    assert [each.email for each in found.members or ()] == [tokens.OPERATOR, "jo@example.com"]
    assert not found.missing
    assert await said.client.holdings.personal_tokens()


async def test_every_document_is_answered_as_flys_schema_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holdings, "PAGE_SIZE", 1)
    monkeypatch.setattr(holdings, "APPS_A_PAGE", (1,))
    schema = official.graphql_schema()
    async with conversation() as said:
        await talk(said)
    answered = set()
    for exchange in said.said:
        if exchange.path.startswith("/api/v1/"):
            continue  # releases are made by plain REST, which has no official description
        if "/certificates" in exchange.path:
            continue  # test_rest_calls has these
        assert exchange.path == "/graphql"
        answered.add(_hold(schema, exchange))
    assert answered == set(DOCUMENTS), "every document is spoken once"


def _hold(schema: GraphQLSchema, exchange: Exchange) -> str:
    assert isinstance(exchange.body, dict)
    assert isinstance(exchange.answer, dict)
    assert "errors" not in exchange.answer
    query = parse(str(exchange.body["query"]))
    info = TypeInfo(schema)
    checker = _NonNull(info, exchange.answer["data"])
    visit(query, TypeInfoVisitor(info, checker))
    assert checker.seen > 1
    return str(exchange.body["operationName"])


class _NonNull(Visitor):
    """Every selected field is in the answer, and not null where Fly's schema says so."""

    def __init__(self, info: TypeInfo, data: object) -> None:
        super().__init__()
        self._info = info
        self._places: list[list[object]] = [[data]]
        self.seen = 0

    def enter_field(self, node: FieldNode, *_: object) -> None:
        name = node.alias.value if node.alias else node.name.value
        wanted: GraphQLType | None = self._info.get_type()
        below: list[object] = []
        for place in self._places[-1]:
            assert isinstance(place, Mapping)
            assert name in place, f"{name} is missing"
            value = place[name]
            assert value is not None or not isinstance(wanted, GraphQLNonNull), f"{name} is null"
            self.seen += 1
            below += value if isinstance(value, list) else [value]
        self._places.append([each for each in below if each is not None])

    def leave_field(self, *_: object) -> None:
        self._places.pop()
