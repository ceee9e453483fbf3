"""Certificates by GraphQL: all of an organisation's in a few pages, or one app's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from rotator.domain.errors import NotFound, Refused
from rotator.domain.posture.certificate import ApiView, Issued, Source, Validation
from rotator.fly.certificates import newest, problem
from rotator.fly.graphql import Graphql
from rotator.fly.parsing import FlyModel, Instant
from rotator.fly.tokens import PageInfo

APPS_A_PAGE: Final = (50, 10, 2)
"""Tried in this order, as long as Fly refuses."""
IN_AN_APP: Final = 50
MAX_PAGES: Final = 1000


class _Issued(FlyModel):
    type: str = ""
    expires_at: Instant = Field(alias="expiresAt")


class _IssuedConnection(FlyModel):
    nodes: tuple[_Issued | None, ...] | None = None


class _Problem(FlyModel):
    code: str | None = Field(default=None, alias="errorCode")
    message: str = ""
    remediation: str | None = None


class _Certificate(FlyModel):
    hostname: str
    status: str = Field(default="", alias="clientStatus")
    source: str | None = None
    authority: str | None = Field(default=None, alias="certificateAuthority")
    created_at: Instant | None = Field(default=None, alias="createdAt")
    apex: bool | None = Field(default=None, alias="isApex")
    configured: bool = Field(alias="isConfigured")
    challenge: bool | None = Field(default=None, alias="isAcmeDnsConfigured")
    alpn: bool | None = Field(default=None, alias="isAcmeAlpnConfigured")
    http: bool | None = Field(default=None, alias="isAcmeHttpConfigured")
    rate_limited_until: Instant | None = Field(default=None, alias="rateLimitedUntil")
    problems: tuple[_Problem, ...] = Field(default=(), alias="validationErrors")
    issued: _IssuedConnection = _IssuedConnection()

    def view(self) -> ApiView:
        source = Source.CUSTOM if self.source == Source.CUSTOM.value else Source.FLY
        found = [
            Issued(source, each.expires_at, each.type.lower(), self.authority or "")
            for each in self.issued.nodes or ()
            if each is not None
        ]
        return ApiView(
            configured=self.configured,
            status=self.status,
            issued=tuple(newest(found)),
            validation=Validation(alpn=self.alpn, http=self.http, challenge=self.challenge),
            problems=tuple(
                problem(each.code or "", each.message, each.remediation) for each in self.problems
            ),
            created_at=self.created_at,
            apex=self.apex,
            rate_limited_until=self.rate_limited_until,
        )


class _Certificates(FlyModel):
    nodes: tuple[_Certificate | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _App(FlyModel):
    name: str
    certificates: _Certificates


class _Apps(FlyModel):
    nodes: tuple[_App | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _Organization(FlyModel):
    apps: _Apps


class _OrganizationData(FlyModel):
    organization: _Organization | None


class _Owner(FlyModel):
    slug: str
    raw_slug: str | None = Field(default=None, alias="rawSlug")


class _OwnedApp(_App):
    organization: _Owner


class _AppData(FlyModel):
    app: _OwnedApp | None


@dataclass(frozen=True)
class AppCertificates:
    """The hostnames of an app as GraphQL tells of them."""

    organization: str
    app: str
    views: dict[str, ApiView]


class CertificateLists:
    """Reads both lists."""

    def __init__(self, graphql: Graphql) -> None:
        self._graphql = graphql

    async def of_organization(self, slug: str) -> Sequence[AppCertificates]:
        """Every app of an organisation, those without certificates too."""
        found: list[AppCertificates] = []
        sizes = list(APPS_A_PAGE)
        after: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page(slug, sizes, after)
            for app in page.nodes:
                if app is None:
                    continue
                if app.certificates.page.has_next_page:
                    found.append(await self.of_app(app.name, organization=slug))
                else:
                    found.append(AppCertificates(slug, app.name, _views(app.certificates)))
            after = page.page.end_cursor
            if not page.page.has_next_page:
                break
        return found

    async def of_app(self, name: str, *, organization: str = "") -> AppCertificates:
        """One app.

        Raises:
            NotFound: there is no such app, or the token may not see it.
        """
        views: dict[str, ApiView] = {}
        what, after = f"list the certificates of {name}", None
        for _ in range(MAX_PAGES):
            given = {"name": name, "first": IN_AN_APP, "after": after}
            data, _ref = await self._graphql.run("AppCertificates", _AppData, what, given)
            if data.app is None:
                raise NotFound(f"could not {what}: there is no such app that this token sees")
            views |= _views(data.app.certificates)
            owner = data.app.organization
            organization = organization or owner.raw_slug or owner.slug
            after = data.app.certificates.page.end_cursor
            if not data.app.certificates.page.has_next_page:
                break
        return AppCertificates(organization, name, views)

    async def _page(self, slug: str, sizes: list[int], after: str | None) -> _Apps:
        """One page of apps; takes sizes that are too much for Fly out of `sizes`."""
        what = f"list the certificates of {slug}"
        while True:
            given = {"slug": slug, "first": sizes[0], "after": after, "inner": IN_AN_APP}
            try:
                data, _ref = await self._graphql.run(
                    "OrganizationCertificates", _OrganizationData, what, given
                )
            except Refused:
                if len(sizes) == 1:
                    raise
                sizes.pop(0)
                continue
            if data.organization is None:
                raise NotFound(f"could not {what}: there is none that this token sees")
            return data.organization.apps


def _views(found: _Certificates) -> dict[str, ApiView]:
    return {each.hostname: each.view() for each in found.nodes if each is not None}
