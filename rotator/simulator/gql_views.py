"""Organizations, apps, tokens and peers as GraphQL shows them.

Each view is a map from field to value; a field that costs something or needs a right of its
own is a function, which is called only when the field is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from rotator.fly.access import Access
from rotator.fly.macaroon import READ
from rotator.simulator import addresses, tokens
from rotator.simulator.certificates import certificates_of
from rotator.simulator.gql_certificates import certificate_view
from rotator.simulator.gql_paging import connection, refused
from rotator.simulator.gql_people import organization_fields, user_view
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import (
    GONE_STATES,
    REGIONS,
    App,
    Json,
    Organization,
    Peer,
    Region,
    Release,
    Secret,
    Token,
)
from rotator.simulator.sizes import size_views
from rotator.simulator.world import World

WIRE_GUARD = "wg"
UNAUTHENTICATED = "You must be authenticated to view this."


@dataclass(frozen=True)
class Context:
    """Who asks whom."""

    world: World
    principal: tokens.Principal

    def require_organization(
        self,
        org: Organization,
        action: int = READ,
        *,
        mutation: str | None = None,
        feature: str | None = None,
    ) -> None:
        """Raises a refusal unless the caller may do this to the organization itself."""
        if not self.principal.may(Access(org.number, action, feature=feature, mutation=mutation)):
            raise refused("Not authorized to access this organization", "UNAUTHORIZED")

    def may_read(self, app: App) -> bool:
        """Whether the caller may see the app."""
        return self.principal.may(Access(app.org.number, READ, app=app.number))


def organization_view(context: Context, org: Organization) -> Json:
    """An organization. Its lists need a right on the organization itself."""

    def apps(_: object, **args: object) -> Json:
        context.require_organization(org)
        found = [app for app in context.world.apps.values() if app.org is org]
        return connection(found, lambda app: app_view(context, app), args)

    def limited_access_tokens(_: object, **args: object) -> Json:
        context.require_organization(org)
        every = context.world.switches.org_token_list_has_app_tokens
        found = [
            token
            for token in context.world.tokens.values()
            if token.org is org and (every or token.app is None)
        ]
        return _tokens(context, found, args)

    def peers(_: object, **args: object) -> Json:
        context.require_organization(org, feature=WIRE_GUARD)
        return connection(_visible_peers(context.world, org), peer_view, args)

    def peer(_: object, name: str) -> Json:
        context.require_organization(org, feature=WIRE_GUARD)
        if name not in org.peers:
            raise refused("Could not find WireGuardPeer", "NOT_FOUND")
        return peer_view(org.peers[name])

    return {
        "__typename": "Organization",
        "id": org.id,
        "internalNumericId": str(org.number),
        "name": org.name,
        "slug": org.slug,
        "rawSlug": org.slug,
        "type": "SHARED",
        "viewerRole": "admin",
        "paidPlan": True,
        "billable": True,
        "addOnSsoLink": None,
        "provisionsBetaExtensions": False,
        "remoteBuilderImage": "docker-hub-mirror.fly.io/flyio/rchab:sha",
        "remoteBuilderApp": None,
        "apps": apps,
        "limitedAccessTokens": limited_access_tokens,
        "wireGuardPeers": peers,
        "wireGuardPeer": peer,
        **organization_fields(context, org),
    }


def app_view(context: Context, app: App) -> Json:
    """An app. The caller has been found to be allowed to read it."""

    def limited_access_tokens(_: object, **args: object) -> Json:
        found = [token for token in context.world.tokens.values() if token.app is app]
        return _tokens(context, found, args)

    def certificates(_: object, **args: object) -> Json:
        wanted = args.get("filter") or ""
        now = context.world.now()
        every = certificates_of(app, now, "graphql")
        found = [each for each in every if str(wanted) in each.hostname]
        return connection(found, lambda each: certificate_view(each, now), args)

    def ip_addresses(_: object, **args: object) -> Json:
        return connection(addresses.graphql_views(app), lambda each: each, args)

    deployed = any(m.state not in GONE_STATES for m in app.machines.values())
    newest = _release_view(app, app.releases[-1]) if app.releases else None
    return {
        "__typename": "App",
        "id": app.name,
        "internalNumericId": app.number,
        "name": app.name,
        "hostname": f"{app.name}.fly.dev",
        "status": "deployed" if deployed else "pending",
        "state": "DEPLOYED" if deployed else "PENDING",
        "deployed": deployed,
        "network": None,
        "platformVersion": "machines",
        "createdAt": rfc3339(app.created_at),
        "organization": lambda _: organization_view(context, app.org),
        "secrets": lambda _: [_secret_view(app, secret) for secret in app.secrets.values()],
        "certificates": certificates,
        "limitedAccessTokens": limited_access_tokens,
        "currentRelease": newest and {**newest, "__typename": "Release"},
        "currentReleaseUnprocessed": newest,
        "config": {"__typename": "AppConfig", "definition": _definition(app)},
        "currentLock": None,
        "appUrl": f"https://{app.name}.fly.dev",
        "cnameTarget": f"{app.name}.fly.dev",
        "role": None,
        "version": app.releases[-1].version if app.releases else 0,
        "imageDetails": None,
        "ipAddresses": ip_addresses,
        "sharedIpAddress": addresses.shared(app),
        "hostIssues": lambda _, **args: connection([], lambda each: each, args),
    }


def token_view(context: Context, token: Token, *, created_now: bool = False) -> Json:
    """A limited access token; `tokenHeader` only in the answer to its creation."""
    revoked_at = tokens.shown_revoked_at(context.world, token)
    return {
        "__typename": "LimitedAccessToken",
        "id": token.id,
        "name": token.name,
        "token": lambda _: token.macaroon.encode(),
        "tokenHeader": tokens.header(token) if created_now else None,
        "profile": token.profile,
        "profileParams": token.profile_params,
        "createdAt": rfc3339(token.created_at),
        "expiresAt": rfc3339(token.expires_at),
        "revokedAt": rfc3339(revoked_at) if revoked_at else None,
        "revokedBy": token.revoked_by if revoked_at else None,
        "organization": lambda _: organization_view(context, token.org),
        "user": user_view(token.user_email),
    }


def peer_view(peer: Peer) -> Json:
    """A WireGuard peer."""
    return {
        "__typename": "WireGuardPeer",
        "id": peer.id,
        "name": peer.name,
        "pubkey": peer.public_key,
        "region": peer.region,
        "peerip": peer.address,
        "network": peer.network,
    }


def principal_view(principal: tokens.Principal) -> Json:
    """The caller: always a macaroon here."""
    return {
        "__typename": "Macaroon",
        "id": None,
        "email": principal.email,
        "name": None,
        "avatarUrl": "",
        "trust": "UNKNOWN",
    }


def region_view(region: Region) -> Json:
    """A region."""
    return {
        "code": region.code,
        "name": region.name,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "gatewayAvailable": region.gateway,
        "requiresPaidPlan": False,
        "deprecated": False,
    }


def platform_view() -> Json:
    """The platform."""
    regions = [region_view(region) for region in REGIONS]
    return {"requestRegion": REGIONS[0].code, "regions": regions, "vmSizes": size_views()}


def _tokens(context: Context, found: list[Token], args: dict[str, object]) -> Json:
    visible = tokens.listed(context.world, found)
    return connection(visible, lambda token: token_view(context, token), args)


def _visible_peers(world: World, org: Organization) -> list[Peer]:
    lag = timedelta(seconds=world.switches.list_lag_seconds)
    return [peer for peer in org.peers.values() if peer.created_at + lag <= world.now()]


def _secret_view(app: App, secret: Secret) -> Json:
    return {
        "__typename": "Secret",
        "id": f"{app.name}/{secret.name}",
        "name": secret.name,
        "digest": secret.digest,
        "createdAt": rfc3339(secret.updated_at),
        "user": user_view(secret.user_email) if secret.user_email else None,
    }


def _definition(app: App) -> Json:
    return {"app": app.name}


def _release_view(app: App, release: Release) -> Json:
    return {
        "__typename": "ReleaseUnprocessed",
        "configDefinition": _definition(app),
        "evaluationId": None,
        "inProgress": release.status in {"pending", "running"},
        "id": release.id,
        "version": release.version,
        "status": "complete",
        "reason": "deploy",
        "description": release.description,
        "imageRef": release.image_ref,
        "stable": True,
        "createdAt": rfc3339(release.created_at),
        "user": user_view(release.user_email),
    }
