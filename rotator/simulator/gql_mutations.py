"""What GraphQL changes: limited access tokens and WireGuard peers."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from typing import Final

from rotator.fly import macaroon
from rotator.fly.access import Access
from rotator.fly.macaroon import CREATE, DELETE, WRITE
from rotator.simulator import certificates, gql_people, ids, tokens
from rotator.simulator.gql_certificates import certificate_view, hostname_check
from rotator.simulator.gql_paging import refused
from rotator.simulator.gql_views import WIRE_GUARD, Context, app_view, token_view
from rotator.simulator.model import REGIONS, App, Json, Organization, Peer, Token
from rotator.simulator.world import World

DEFAULT_LIFETIME: Final = timedelta(hours=175_200)
MAX_LIFETIME: Final = timedelta(hours=1_000_000)
KEY_BYTES: Final = 32

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_UNIT_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PEER_NAME = re.compile(r"[a-zA-Z0-9-]{1,63}")


def create_limited_access_token(context: Context, given: Json) -> Json:
    """Mint a token. Only a caller with a right on the organization itself may."""
    org = organization_of(context, given)
    context.require_organization(org, CREATE, mutation="createLimitedAccessToken")
    profile, params = str(given["profile"]), given.get("profileParams")
    if profile not in tokens.PROFILES:
        raise refused(f"Unknown profile {profile}", "INVALID_ARGUMENTS")
    app = _app_of(context.world, org, params) if profile == "deploy" else None
    token = tokens.create(
        context.world,
        org,
        name=str(given["name"]),
        profile=profile,
        app=app,
        lifetime=lifetime_of(given.get("expiry")),
        profile_params=params if isinstance(params, dict) else {},
        user_email=gql_people.maker(context),
    )
    return answer(given, limitedAccessToken=token_view(context, token, created_now=True))


def delete_limited_access_token(context: Context, given: Json) -> Json:
    """Revoke a token by its id or its value; again is a success."""
    token = _token(context.world, given)
    if token is None:
        raise refused("Could not find LimitedAccessToken", "NOT_FOUND")
    context.require_organization(token.org, DELETE, mutation="deleteLimitedAccessToken")
    by = given.get("revokedBy")
    tokens.revoke(context.world, token, by if isinstance(by, str) else context.principal.email)
    return answer(given, token=token.macaroon.encode(), revokedBy=token.revoked_by)


def log_out(context: Context, given: Json) -> Json:
    """Revoke the very tokens that the caller presents: no right is needed to give one's own up."""
    for verified in context.principal.verified:
        record = tokens.find(context.world, verified.token)
        if record is not None:
            tokens.revoke(context.world, record, context.principal.email)
    return answer(given, ok=True)


def add_wire_guard_peer(context: Context, given: Json) -> Json:
    """Add a peer. Names are unique in an organization, keys everywhere.

    Like Fly, it takes a key of the wrong size, which then can't be removed.
    """
    org = organization_of(context, given)
    context.require_organization(org, CREATE, mutation="addWireGuardPeer", feature=WIRE_GUARD)
    name, key = str(given["name"]), str(given["pubkey"])
    _check_peer(context.world, org, name, key)
    region = str(given.get("region") or REGIONS[0].code)
    gateway = context.world.gateways.get(region)
    if gateway is None:
        raise refused(f"Region {region} has no WireGuard gateway", "UNPROCESSABLE")
    network = given.get("network")
    address = _next_address(org)
    org.peers[name] = Peer(
        id=ids.node_id(context.world.rng),
        name=name,
        public_key=key,
        region=region,
        address=address,
        network=network if isinstance(network, str) else None,
        created_at=context.world.now(),
    )
    endpoint = f"{region}1.gateway.6pn.dev"
    return answer(given, peerip=address, endpointip=endpoint, pubkey=gateway, network=network)


def remove_wire_guard_peer(context: Context, given: Json) -> Json:
    """Remove a peer by name."""
    org = organization_of(context, given)
    context.require_organization(org, DELETE, mutation="removeWireGuardPeer", feature=WIRE_GUARD)
    peer = org.peers.get(str(given["name"]))
    if peer is None:
        raise refused("Could not find WireGuardPeer", "NOT_FOUND")
    if _key_size(peer.public_key) != KEY_BYTES:
        raise refused("wireguard: incorrect key size", "SERVER_ERROR")
    del org.peers[peer.name]
    return answer(given, organization={"__typename": "Organization", "id": org.id})


def validate_wire_guard_peers(context: Context, given: Json) -> Json:
    """Tell which addresses belong to a peer that exists."""
    known = {
        peer.address for org in context.world.organizations.values() for peer in org.peers.values()
    }
    wanted = given["peerIps"]
    addresses = [str(item) for item in wanted] if isinstance(wanted, list) else []
    return answer(
        given,
        validPeerIps=[address for address in addresses if address in known],
        invalidPeerIps=[address for address in addresses if address not in known],
    )


def create_delegated_token(context: Context, given: Json) -> Json:
    """Make a delegated WireGuard token."""
    made = gql_people.create_delegated(context, given, organization_of(context, given))
    return answer(given, token=made)


def delete_delegated_token(context: Context, given: Json) -> Json:
    """Revoke one."""
    gone = gql_people.delete_delegated(context, given, organization_of(context, given))
    return answer(given, token=gone)


def delete_membership(context: Context, given: Json) -> Json:
    """Remove a member."""
    org = organization_of(context, given)
    email = gql_people.remove_member(context, given, org)
    return answer(
        given,
        organization={"__typename": "Organization", "id": org.id},
        user=gql_people.user_view(email),
    )


def check_certificate(context: Context, given: Json) -> Json:
    """Look at a hostname's DNS once more."""
    app = context.world.apps.get(str(given["appId"]))
    if app is None or not context.may_read(app):
        raise refused("Could not find App", "NOT_FOUND")
    wanted = Access(app.org.number, WRITE, app=app.number, mutation="checkCertificate")
    if not context.principal.may(wanted):
        raise refused("Not authorized to check this certificate", "UNAUTHORIZED")
    certificate = app.certificates.get(str(given["hostname"]))
    if certificate is None:
        raise refused("Could not find Certificate", "NOT_FOUND")
    now = context.world.now()
    certificates.check(certificate, now)
    return answer(
        given,
        app=app_view(context, app),
        certificate=certificate_view(certificate, now),
        check=hostname_check(certificate),
    )


def lifetime_of(expiry: object) -> timedelta:
    """A Go duration; nothing means Fly's default of twenty years."""
    if expiry is None or expiry == "":
        return DEFAULT_LIFETIME
    if not isinstance(expiry, str) or not _DURATION.fullmatch(expiry) or len(expiry) > 40:
        raise refused("expiry is not a duration", "INVALID")
    seconds = sum(
        float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(expiry)
    )
    if not 0 < seconds <= MAX_LIFETIME.total_seconds():
        raise refused("expiry is out of range", "INVALID")
    return timedelta(seconds=seconds)


def organization_of(context: Context, given: Json) -> Organization:
    """The organization that an input names. Raises a refusal."""
    wanted = given["organizationId"]
    for org in context.world.organizations.values():
        if org.id == wanted:
            return org
    raise refused("Could not find Organization", "NOT_FOUND")


def _app_of(world: World, org: Organization, params: object) -> App:
    wanted = params.get("app_id") if isinstance(params, dict) else None
    app = world.apps.get(wanted) if isinstance(wanted, str) else None
    if app is None or app.org is not org:
        raise refused("Could not find App", "NOT_FOUND")
    return app


def _token(world: World, given: Json) -> Token | None:
    if given.get("id"):
        return world.tokens.get(str(given["id"]))
    try:
        presented = macaroon.permission_tokens(str(given.get("token") or ""))
    except macaroon.MacaroonError:
        return None
    return tokens.find(world, presented[0]) if presented else None


def _check_peer(world: World, org: Organization, name: str, key: str) -> None:
    if not _PEER_NAME.fullmatch(name):
        raise refused("Validation failed: Name is invalid", "UNPROCESSABLE")
    if name in org.peers:
        raise refused("Validation failed: Name has already been taken", "UNPROCESSABLE")
    if _key_size(key) == 0:
        raise refused("Validation failed: Pubkey is invalid", "UNPROCESSABLE")
    every = (peer for other in world.organizations.values() for peer in other.peers.values())
    if any(peer.public_key == key for peer in every):
        raise refused("Validation failed: Pubkey has already been taken", "UNPROCESSABLE")


def _key_size(key: str) -> int:
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return 0


def _next_address(org: Organization) -> str:
    org.next_host += 1
    return f"fdaa:0:{org.network:x}:a7b:9330:0:a:{org.next_host:x}"


def answer(given: Json, **fields: object) -> Json:
    """A mutation's payload."""
    return {"clientMutationId": given.get("clientMutationId"), **fields}
