"""The people of an organization, and what they hold: memberships, delegated and personal tokens.

Fly's documents say that somebody who is removed keeps the tokens that they made, and loses the
WireGuard peers that flyctl made for them by itself. Whether a limited token may list members is
not told: a switch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rotator.fly.access import Access
from rotator.fly.macaroon import CREATE, DELETE, READ
from rotator.simulator import ids, tokens
from rotator.simulator.gql_paging import connection, refused
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import DelegatedToken, Json, Member, Organization, PersonalToken
from rotator.simulator.world import World

if TYPE_CHECKING:
    from rotator.simulator.gql_views import Context

WIRE_GUARD: Final = "wg"
MEMBERSHIP: Final = "membership"
AUTOMATIC: Final = "interactive-"
"""How flyctl names the peers that it makes by itself."""
_DELEGATED_BYTES: Final = 32


def join(world: World, org: Organization, email: str, *, admin: bool = False) -> None:
    """Make somebody a member; a second time changes only the role."""
    known = org.members.get(email)
    joined_at = known.joined_at if known else world.now()
    org.members[email] = Member(email, "ADMIN" if admin else "MEMBER", joined_at)


def leave(world: World, org: Organization, email: str) -> None:
    """Remove a member, with what Fly removes of theirs."""
    org.members.pop(email, None)
    mark = re.sub(r"[^a-zA-Z0-9]", "-", email)
    for name in [each for each in org.peers if each.startswith(AUTOMATIC) and mark in each]:
        del org.peers[name]
    if world.switches.leavers_tokens_are_revoked:
        for token in world.tokens.values():
            if token.org is org and token.user_email == email:
                tokens.revoke(world, token, "system")


def maker(context: Context) -> str:
    """Whose the caller's token is: what it makes is listed as theirs."""
    record = tokens.find(context.world, context.principal.tokens[0])
    return record.user_email if record is not None else context.principal.email


def organization_fields(context: Context, org: Organization) -> Json:
    """What an organization's view has of people."""

    def members(_: object, **args: object) -> Json:
        context.require_organization(org, READ)
        if not context.world.switches.tokens_may_list_members:
            raise refused("Not authorized to access members", "UNAUTHORIZED")
        every = sorted(org.members.values(), key=lambda member: member.joined_at)
        page = connection(every, lambda member: user_view(member.email), args)
        for edge in page["edges"]:  # type: ignore[attr-defined]
            member = org.members[edge["node"]["email"]]
            edge |= {
                "role": member.role,
                "joinedAt": rfc3339(member.joined_at),
                "alertsEnabled": "ENABLED",
            }
        return page

    def delegated(_: object, **args: object) -> Json:
        context.require_organization(org, READ, feature=WIRE_GUARD)
        return connection(list(org.delegated.values()), _delegated_view, args)

    return {"members": members, "delegatedWireGuardTokens": delegated}


def access_tokens(context: Context, args: dict[str, object]) -> Json:
    """The personal tokens of the caller. Fly shows them to a person, not to a limited token."""
    if not context.world.switches.tokens_see_personal_tokens:
        raise refused("Not authorized to view access tokens", "UNAUTHORIZED")
    wanted, whose = args.get("type") or "pat", maker(context)
    found = [
        each
        for each in context.world.personal_tokens
        if each.user_email == whose and wanted in ("all", each.type)
    ]
    return connection(found, _personal_view, args)


def create_delegated(context: Context, given: Json, org: Organization) -> str:
    """Make a delegated WireGuard token; gives its value."""
    mutation = "createDelegatedWireGuardToken"
    context.require_organization(org, CREATE, mutation=mutation, feature=WIRE_GUARD)
    name = str(given.get("name") or "")
    if name in org.delegated:
        raise refused("Validation failed: Name has already been taken", "UNPROCESSABLE")
    made = DelegatedToken(
        ids.node_id(context.world.rng), name, context.world.rng.randbytes(_DELEGATED_BYTES).hex()
    )
    org.delegated[name] = made
    return made.value


def delete_delegated(context: Context, given: Json, org: Organization) -> str:
    """Revoke one by its name or value; gives its value."""
    mutation = "deleteDelegatedWireGuardToken"
    context.require_organization(org, DELETE, mutation=mutation, feature=WIRE_GUARD)
    for each in org.delegated.values():
        if given.get("name") == each.name or given.get("token") == each.value:
            del org.delegated[each.name]
            return each.value
    raise refused("Could not find DelegatedWireGuardToken", "NOT_FOUND")


def remove_member(context: Context, given: Json, org: Organization) -> str:
    """Remove a member; gives their address."""
    action = Access(org.number, DELETE, feature=MEMBERSHIP, mutation="deleteOrganizationMembership")
    if not context.principal.may(action):
        raise refused("Not authorized to manage members", "UNAUTHORIZED")
    for member in org.members.values():
        if user_view(member.email)["id"] == given["userId"]:
            leave(context.world, org, member.email)
            return member.email
    raise refused("Could not find User", "NOT_FOUND")


def user_view(email: str) -> Json:
    """A person."""
    return {
        "__typename": "User",
        "id": f"user:{email}",
        "email": email,
        "name": email.partition("@")[0],
        "enablePaidHobby": False,
        "twoFactorProtection": True,
        "avatarUrl": "",
        "trust": "HIGH",
    }


def _delegated_view(token: DelegatedToken) -> Json:
    return {"__typename": "DelegatedWireGuardToken", "id": token.id, "name": token.name}


def _personal_view(token: PersonalToken) -> Json:
    return {
        "__typename": "AccessToken",
        "id": token.id,
        "name": token.name,
        "type": token.type,
        "createdAt": rfc3339(token.created_at),
    }
