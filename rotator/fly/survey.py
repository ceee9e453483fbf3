"""What organisations hold, by a handful of GraphQL calls: 50 apps a page, with all that is in them.

Three lists make up an organisation: its apps with their secrets, tokens and certificates, its own
tokens, and its peers. Fly may find a page too much to answer, so pages get smaller then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

from pydantic import Field

from rotator.domain.discovery import Found, Surveyed, Thing
from rotator.domain.errors import NotAllowed, NotFound, Refused
from rotator.domain.ports import Clock
from rotator.fly.certificates import CertificatesApi
from rotator.fly.graphql import PAGE_SIZE, Graphql
from rotator.fly.parsing import FlyModel, Instant
from rotator.fly.tokens import ListedToken, PageInfo, TokenConnection, TokensApi
from rotator.fly.wireguard import WireguardApi

APPS_A_PAGE: Final = (50, 10, 2)
"""Tried in this order, as long as Fly refuses."""
IN_AN_APP: Final = 100
"""Tokens, and certificates, of one app that come with it; of apps with more they are listed."""
MAX_PAGES: Final = 1000


class UserModel(FlyModel):
    """A person."""

    email: str = ""


class SecretModel(FlyModel):
    """An app secret as GraphQL shows it, with who set it last."""

    name: str
    digest: str
    created_at: Instant | None = Field(default=None, alias="createdAt")
    user: UserModel | None = None


class _Issued(FlyModel):
    expires_at: Instant = Field(alias="expiresAt")


class _IssuedConnection(FlyModel):
    nodes: tuple[_Issued | None, ...]


class _Certificate(FlyModel):
    hostname: str
    status: str = Field(default="", alias="clientStatus")
    created_at: Instant | None = Field(default=None, alias="createdAt")
    issued: _IssuedConnection

    def ends(self) -> datetime | None:
        return min((each.expires_at for each in self.issued.nodes if each), default=None)


class _CertificateConnection(FlyModel):
    nodes: tuple[_Certificate | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _App(FlyModel):
    name: str
    secrets: tuple[SecretModel, ...]
    tokens: TokenConnection = Field(alias="limitedAccessTokens")
    certificates: _CertificateConnection


class _AppConnection(FlyModel):
    total: int = Field(alias="totalCount")
    nodes: tuple[_App | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _Organization(FlyModel):
    apps: _AppConnection


class _HoldingsData(FlyModel):
    organization: _Organization | None


class _Slug(FlyModel):
    slug: str
    raw_slug: str | None = Field(default=None, alias="rawSlug")


class _SlugConnection(FlyModel):
    nodes: tuple[_Slug | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _SlugsData(FlyModel):
    organizations: _SlugConnection


class FlySurvey:
    """Implements `domain.discovery.Survey`."""

    def __init__(
        self,
        graphql: Graphql,
        tokens: TokensApi,
        peers: WireguardApi,
        certificates: CertificatesApi,
        clock: Clock,
    ) -> None:
        self._graphql, self._tokens, self._peers = graphql, tokens, peers
        self._certificates, self._clock = certificates, clock

    async def organizations(self) -> Sequence[str]:
        """The slugs of those that the API token can see."""
        found: list[str] = []
        after: str | None = None
        for _ in range(MAX_PAGES):
            data, _ref = await self._graphql.run(
                "Organizations",
                _SlugsData,
                "list the organisations",
                {"first": PAGE_SIZE, "after": after},
            )
            page = data.organizations
            found += [node.raw_slug or node.slug for node in page.nodes if node is not None]
            after = page.page.end_cursor
            if not page.page.has_next_page:
                break
        return found

    async def look(self, organization: str, told: Callable[[int, int], None]) -> Surveyed:
        """Everything that lives in one. What this token may not read is named, not hidden.

        Raises:
            NotFound: there is no such organisation, or this token may not see it.
        """
        missing: list[str] = []

        async def tried(part: str, read: Awaitable[list[Found]]) -> list[Found]:
            try:
                return await read
            except (NotAllowed, Refused) as error:
                missing.append(f"{part} of {organization}: {error.message}")
                return []

        in_apps = await tried("apps", self._in_apps(organization, told))
        # Fly may list the tokens of apps under the organisation as well.
        known = {each.ref for each in in_apps if each.ref}
        own = await tried("tokens", self._own_tokens(organization))
        peers = await tried("WireGuard peers", self._own_peers(organization))
        found = (*in_apps, *(each for each in own if each.ref not in known), *peers)
        return Surveyed(found, tuple(missing))

    async def _in_apps(self, organization: str, told: Callable[[int, int], None]) -> list[Found]:
        found: list[Found] = []
        sizes, done = list(APPS_A_PAGE), 0
        after: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page(organization, sizes, after)
            for app in page.nodes:
                if app is not None:
                    found += await self._in_app(organization, app)
            done += len(page.nodes)
            told(done, page.total)
            after = page.page.end_cursor
            if not page.page.has_next_page:
                break
        return found

    async def _page(self, organization: str, sizes: list[int], after: str | None) -> _AppConnection:
        """One page of apps; takes sizes that are too much for Fly out of `sizes`."""
        what = f"list the apps of {organization}"
        while True:
            given = {"slug": organization, "first": sizes[0], "after": after, "inner": IN_AN_APP}
            try:
                data, _ref = await self._graphql.run(
                    "OrganizationHoldings", _HoldingsData, what, given
                )
            except Refused:
                if len(sizes) == 1:
                    raise
                sizes.pop(0)
                continue
            if data.organization is None:
                raise NotFound(f"could not {what}: there is none that this token sees") from None
            return data.organization.apps

    async def _in_app(self, organization: str, app: _App) -> list[Found]:
        found = [
            Found(
                Thing.SECRET,
                each.name,
                organization,
                app.name,
                at=each.created_at,
                creator=each.user.email if each.user else "",
                digest=each.digest,
            )
            for each in app.secrets
        ]
        tokens: Sequence[ListedToken] = app.tokens.plain()
        if app.tokens.page.has_next_page:
            tokens = await self._tokens.of_app(app.name)
        found += self._living(organization, app.name, tokens)
        found += [
            Found(
                Thing.CERTIFICATE,
                each.hostname,
                organization,
                app.name,
                at=each.created_at,
                expires_at=each.ends(),
                state=each.status,
            )
            for each in app.certificates.nodes
            if each is not None
        ]
        if app.certificates.page.has_next_page:
            found += await self._more_certificates(organization, app)
        return found

    async def _more_certificates(self, organization: str, app: _App) -> list[Found]:
        """Those beyond the first; their expiries cost a call each, so they are left out."""
        known = {each.hostname for each in app.certificates.nodes if each is not None}
        return [
            Found(Thing.CERTIFICATE, each.hostname, organization, app.name, state=each.status)
            for each in await self._certificates.certificates(app.name)
            if each.hostname not in known
        ]

    async def _own_tokens(self, organization: str) -> list[Found]:
        listed = await self._tokens.of_organization(organization)
        return self._living(organization, None, listed)

    async def _own_peers(self, organization: str) -> list[Found]:
        return [
            Found(Thing.PEER, peer.name, organization, ref=peer.name, region=peer.region)
            for peer in await self._peers.peers(organization)
        ]

    def _living(
        self, organization: str, app: str | None, tokens: Sequence[ListedToken]
    ) -> list[Found]:
        now = self._clock.now()
        return [
            Found(
                Thing.TOKEN,
                token.name,
                organization,
                app,
                ref=token.id,
                at=token.created_at,
                expires_at=token.expires_at,
                creator=token.user_email,
                profile=token.profile,
            )
            for token in tokens
            if token.alive(now)
        ]
