"""POST /graphql: the part of Fly's schema in schema.graphql, executed by graphql-core.

A refusal is HTTP 200 with `errors`, as at Fly.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import resources

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    graphql,
    parse,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rotator.fly.access import Access
from rotator.simulator import gql_mutations as mutations
from rotator.simulator import gql_ssh as ssh
from rotator.simulator import gql_views as views
from rotator.simulator import tokens
from rotator.simulator.errors import ApiError
from rotator.simulator.gql_paging import connection, refused
from rotator.simulator.gql_people import access_tokens
from rotator.simulator.gql_views import UNAUTHENTICATED, Context
from rotator.simulator.model import REGIONS, Json
from rotator.simulator.world import World

_MUTATIONS: dict[str, Callable[[Context, Json], Json]] = {
    "createLimitedAccessToken": mutations.create_limited_access_token,
    "deleteLimitedAccessToken": mutations.delete_limited_access_token,
    "addWireGuardPeer": mutations.add_wire_guard_peer,
    "removeWireGuardPeer": mutations.remove_wire_guard_peer,
    "validateWireGuardPeers": mutations.validate_wire_guard_peers,
    "issueCertificate": ssh.issue_certificate,
    "checkCertificate": mutations.check_certificate,
    "logOut": mutations.log_out,
    "createDelegatedWireGuardToken": mutations.create_delegated_token,
    "deleteDelegatedWireGuardToken": mutations.delete_delegated_token,
    "deleteOrganizationMembership": mutations.delete_membership,
}


@cache
def schema() -> GraphQLSchema:
    """The schema that is served."""
    return build_schema(sdl())


def sdl() -> str:
    """The text of schema.graphql."""
    return resources.files("rotator.simulator").joinpath("schema.graphql").read_text("utf-8")


def root_fields(body: bytes) -> tuple[str, ...]:
    """The root fields that a request asks for; none when it can't be read."""
    try:
        return _root_fields(str(json.loads(body)["query"]))
    except (ValueError, KeyError, TypeError, GraphQLError):
        return ()


def changes(fields: tuple[str, ...]) -> bool:
    """Whether one of these root fields is a mutation."""
    return not _MUTATIONS.keys().isdisjoint(fields)


@lru_cache(maxsize=256)
def _root_fields(query: str) -> tuple[str, ...]:
    return tuple(
        selection.name.value
        for definition in parse(query).definitions
        if isinstance(definition, OperationDefinitionNode)
        for selection in definition.selection_set.selections
        if isinstance(selection, FieldNode)
    )


async def serve(world: World, request: Request) -> Response:
    """One request."""
    try:
        parsed: object = json.loads(await request.body())
    except ValueError:
        return JSONResponse({"errors": [{"message": "the body is not JSON"}]}, 400)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("query"), str):
        return JSONResponse({"errors": [{"message": "no query"}]}, 400)
    try:
        principal = tokens.authenticate(
            world,
            request.headers.get("authorization"),
            request.headers.get(tokens.SOURCE_HEADER),
        )
    except ApiError:
        refusal = {"message": UNAUTHENTICATED, "extensions": {"code": "UNAUTHORIZED"}}
        return JSONResponse({"data": None, "errors": [refusal]})
    return await _execute(Context(world, principal), parsed)


async def _execute(context: Context, parsed: Json) -> Response:
    variables, name = parsed.get("variables"), parsed.get("operationName")
    result = await graphql(
        schema(),
        str(parsed["query"]),
        root_value=_root(context),
        variable_values=variables if isinstance(variables, dict) else None,
        operation_name=name if isinstance(name, str) and name else None,
    )
    answer: Json = {"data": result.data}
    if result.errors:
        answer["errors"] = [error.formatted for error in result.errors]
    return JSONResponse(answer)


def _root(context: Context) -> Json:
    world = context.world

    def app(_: object, **args: object) -> Json:
        wanted = args.get("name") or args.get("id") or args.get("internalId") or args.get("key")
        found = world.apps.get(str(wanted))
        if found is None or not context.may_read(found):
            raise refused("Could not find App", "NOT_FOUND")
        return views.app_view(context, found)

    def apps(_: object, **args: object) -> Json:
        wanted = args.get("organizationId")
        seen = [
            org
            for org in world.organizations.values()
            if wanted in (None, org.id) and context.principal.may(Access(org.number))
        ]
        if not seen:
            raise refused("Not authorized to access this organization", "UNAUTHORIZED")
        found = [each for each in world.apps.values() if each.org in seen and not args.get("role")]
        return connection(found, lambda each: views.app_view(context, each), args)

    def organization(_: object, **args: object) -> Json:
        for org in world.organizations.values():
            if args.get("id") == org.id or org.slug in (args.get("slug"), args.get("name")):
                context.require_organization(org)
                return views.organization_view(context, org)
        raise refused("Could not find Organization", "NOT_FOUND")

    def organizations(_: object, **args: object) -> Json:
        seen = [
            org for org in world.organizations.values() if context.principal.may(Access(org.number))
        ]
        return connection(seen, lambda org: views.organization_view(context, org), args)

    fields: Json = {
        "accessTokens": lambda _, **args: access_tokens(context, args),
        "app": app,
        "apps": apps,
        "latestImageDetails": _latest_image_details,
        "organization": organization,
        "organizations": organizations,
        "viewer": lambda _: views.principal_view(context.principal),
        "nearestRegion": lambda _, **_args: views.region_view(REGIONS[0]),
        "platform": lambda _: views.platform_view(),
    }
    fields.update({name: _mutation(context, effect) for name, effect in _MUTATIONS.items()})
    return fields


def _latest_image_details(_: object, **_args: object) -> Json:
    """Fly knows the images that it makes itself, and none of an app's own."""
    raise refused("Unknown repository", "NOT_FOUND")


def _mutation(context: Context, effect: Callable[[Context, Json], Json]) -> Callable[..., Json]:
    return lambda _, **args: effect(context, args["input"])
