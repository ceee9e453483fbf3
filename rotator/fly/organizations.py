"""Who is who: the opaque ids of organisations and apps, and the numbers that tokens carry."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from rotator.domain.errors import NotFound
from rotator.fly.graphql import Graphql
from rotator.fly.parsing import FlyModel


@dataclass(frozen=True)
class Organization:
    """`id` is what mutations take, `number` what the caveats of tokens hold."""

    id: str
    number: int
    slug: str


@dataclass(frozen=True)
class AppIdentity:
    """`id` is what mutations take, `number` what the caveats of tokens hold."""

    id: str
    number: int
    name: str
    organization: Organization


class _OrganizationModel(FlyModel):
    id: str
    slug: str
    raw_slug: str | None = Field(default=None, alias="rawSlug")
    # Fly: a BigInt, so text on the wire.
    number: int = Field(alias="internalNumericId")

    def plain(self) -> Organization:
        return Organization(self.id, self.number, self.raw_slug or self.slug)


class _AppModel(FlyModel):
    id: str
    name: str
    number: int = Field(alias="internalNumericId")
    organization: _OrganizationModel


class _OrganizationData(FlyModel):
    organization: _OrganizationModel | None


class _AppData(FlyModel):
    app: _AppModel | None


class _ViewerModel(FlyModel):
    typename: str = Field(alias="__typename")
    email: str


class _ViewerData(FlyModel):
    viewer: _ViewerModel


class OrganizationsApi:
    """Organisations and apps by GraphQL."""

    def __init__(self, graphql: Graphql) -> None:
        self._graphql = graphql

    async def organization(self, slug: str) -> Organization:
        """One organisation. `NotFound` if it does not exist or this token may not see it."""
        what = f"look the organisation {slug} up"
        data, ref = await self._graphql.run(
            "OrganizationIdentity", _OrganizationData, what, {"slug": slug}
        )
        if data.organization is None:
            raise NotFound(f"could not {what}: there is none that this token sees", request_id=ref)
        return data.organization.plain()

    async def app(self, name: str) -> AppIdentity:
        """One app. `NotFound` if it does not exist or this token may not see it."""
        what = f"look the app {name} up"
        data, ref = await self._graphql.run("AppIdentity", _AppData, what, {"name": name})
        if data.app is None:
            raise NotFound(f"could not {what}: there is none that this token sees", request_id=ref)
        found = data.app
        return AppIdentity(found.id, found.number, found.name, found.organization.plain())

    async def viewer(self) -> str:
        """Whom the API token stands for, as Fly calls it. `NotAllowed` if it is not accepted."""
        data, _ = await self._graphql.run("Viewer", _ViewerData, "see who the API token is", {})
        return data.viewer.email or data.viewer.typename
