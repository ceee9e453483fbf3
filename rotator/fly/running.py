"""What apps run with, in as few calls as the APIs allow.

Of an organisation GraphQL lists apps with their addresses, 50 a call; then each app costs two calls
of the Machines API, its machines and its secrets, which is within the burst of three that Fly lets
an app have. (GraphQL lists secrets as well, but not when they were last set.) One app by itself
costs three.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from pydantic import Field

from rotator.domain.errors import NotFound, Refused
from rotator.domain.posture.running import (
    Address,
    Exposure,
    ListedApp,
    RunningApp,
    RunningMachine,
    StandingSecret,
)
from rotator.fly.call import Call
from rotator.fly.graphql import Graphql
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, parse, unexpected
from rotator.fly.paths import app_path
from rotator.fly.running_model import RunningMachineModel
from rotator.fly.secrets import SecretsApi
from rotator.fly.tokens import PageInfo
from rotator.fly.transport import Transport

APPS_A_PAGE: Final = (50, 10, 2)
"""Tried in this order, as long as Fly refuses."""
ADDRESSES_AN_APP: Final = 100
"""That come with the list of apps; those of an app with more are listed by themselves."""
MAX_PAGES: Final = 1000
_PRIVATE: Final = IPv6Network("fd00::/8")
_KINDS: Final = {
    "v4": Exposure.DEDICATED_V4,
    "shared_v4": Exposure.SHARED_V4,
    "v6": Exposure.PUBLIC_V6,
    "private_v6": Exposure.PRIVATE_V6,
}


class _Ip(FlyModel):
    address: str
    type: str


class _IpConnection(FlyModel):
    nodes: tuple[_Ip | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _App(FlyModel):
    name: str
    shared: str | None = Field(default=None, alias="sharedIpAddress")
    ips: _IpConnection = Field(alias="ipAddresses")

    def addresses(self) -> tuple[Address, ...]:
        found = [
            Address(node.address, _KINDS[node.type])
            for node in self.ips.nodes
            if node is not None and node.type in _KINDS
        ]
        if self.shared:
            found.append(Address(self.shared, Exposure.SHARED_V4))
        return _once(found)


class _AppConnection(FlyModel):
    nodes: tuple[_App | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _Organization(FlyModel):
    apps: _AppConnection


class _Data(FlyModel):
    organization: _Organization | None


class _Assigned(FlyModel):
    ip: str
    shared: bool = False
    # Fly's clients read it, its description does not have it: an address to go out from.
    egress: bool = False

    def plain(self) -> Address | None:
        if self.egress:
            return None
        try:
            ip = ip_address(self.ip)
        except ValueError:
            return None
        if isinstance(ip, IPv4Address):
            return Address(self.ip, Exposure.SHARED_V4 if self.shared else Exposure.DEDICATED_V4)
        private = ip in _PRIVATE
        return Address(self.ip, Exposure.PRIVATE_V6 if private else Exposure.PUBLIC_V6)


class _AssignedList(FlyModel):
    ips: tuple[_Assigned, ...] | None = None


class FlyRunningApps:
    """Implements `domain.posture.running.RunningApps`."""

    def __init__(self, machines: Transport, graphql: Graphql, secrets: SecretsApi) -> None:
        self._machines, self._graphql, self._secrets = machines, graphql, secrets

    async def listed(self, organization: str) -> AsyncIterator[Sequence[ListedApp]]:
        """All apps of an organisation, a page after the other.

        Raises:
            NotFound: there is no such organisation, or this token may not see it.
        """
        sizes, after = list(APPS_A_PAGE), None
        for _ in range(MAX_PAGES):
            page = await self._page(organization, sizes, after)
            yield [
                ListedApp(organization, app.name, await self._all_of(app))
                for app in page.nodes
                if app is not None
            ]
            after = page.page.end_cursor
            if not page.page.has_next_page:
                break

    async def one(self, organization: str, app: str) -> ListedApp:
        """One app, with its addresses. `NotFound` if there is none that this token sees."""
        return ListedApp(organization, app, await self._assigned(app))

    async def read(self, app: ListedApp) -> RunningApp:
        """All that it runs with. `NotFound` when it was destroyed."""
        return RunningApp(
            organization=app.organization,
            name=app.name,
            addresses=app.addresses,
            machines=await self._running(app.name),
            secrets=tuple(
                StandingSecret(each.name, each.digest, each.updated_at or each.created_at)
                for each in await self._secrets.secrets(app.name)
            ),
        )

    async def _running(self, app: str) -> tuple[RunningMachine, ...]:
        call = Call(
            f"list the machines of {app}", "GET", app_path(app, "machines"), APP_ACTIONS, app
        )
        answer = await self._machines.send(call)
        if not isinstance(answer.json, list):
            raise unexpected(call, answer, "no list of machines")
        models = (parse(RunningMachineModel, call, answer, each) for each in answer.json)
        return tuple(model.running(app) for model in models)

    async def _page(self, organization: str, sizes: list[int], after: str | None) -> _AppConnection:
        """One page of apps; takes sizes that are too much for Fly out of `sizes`."""
        what = f"list the addresses of the apps of {organization}"
        while True:
            given = {
                "slug": organization,
                "first": sizes[0],
                "after": after,
                "inner": ADDRESSES_AN_APP,
            }
            try:
                data, _ = await self._graphql.run("OrganizationAddresses", _Data, what, given)
            except Refused:
                if len(sizes) == 1:
                    raise
                sizes.pop(0)
                continue
            if data.organization is None:
                raise NotFound(f"could not {what}: there is none that this token sees")
            return data.organization.apps

    async def _all_of(self, app: _App) -> tuple[Address, ...]:
        return await self._assigned(app.name) if app.ips.page.has_next_page else app.addresses()

    async def _assigned(self, app: str) -> tuple[Address, ...]:
        call = Call(
            f"list the addresses of {app}",
            "GET",
            app_path(app, "ip_assignments"),
            APP_ACTIONS,
            app,
        )
        found = parse(_AssignedList, call, await self._machines.send(call)).ips or ()
        return _once(address for each in found if (address := each.plain()) is not None)


def _once(addresses: Iterable[Address]) -> tuple[Address, ...]:
    return tuple({each.ip: each for each in addresses}.values())
