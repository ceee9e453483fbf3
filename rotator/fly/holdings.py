"""What an organisation holds: its people, tokens and peers, in one call where Fly allows it.

One document asks for the first page of everything, with 50 apps. Only what has more pages, or what
this token may not read together with the rest, is asked for by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import Field

from rotator.domain.errors import NotAllowed, NotFound, Refused, RotatorError, TokenRefused
from rotator.domain.posture.finding import Missing, Topic
from rotator.domain.posture.organization import (
    DelegatedToken,
    HeldPeer,
    HeldToken,
    Holdings,
    Member,
    PersonalToken,
)
from rotator.fly.graphql import PAGE_SIZE, Graphql
from rotator.fly.parsing import FlyModel, Instant
from rotator.fly.survey import APPS_A_PAGE, IN_AN_APP, MAX_PAGES
from rotator.fly.tokens import ListedToken, PageInfo, TokenConnection, TokensApi
from rotator.fly.wireguard import WireguardApi

T = TypeVar("T")
_ADMIN: Final = "ADMIN"


class _User(FlyModel):
    id: str = ""
    email: str = ""


class _Membership(FlyModel):
    role: str
    joined_at: Instant = Field(alias="joinedAt")
    node: _User | None = None


class _Members(FlyModel):
    edges: tuple[_Membership | None, ...]
    page: PageInfo = Field(alias="pageInfo")

    def plain(self) -> list[Member]:
        return [
            Member(each.node.id, each.node.email, each.role == _ADMIN, each.joined_at)
            for each in self.edges
            if each is not None and each.node is not None
        ]


class _Named(FlyModel):
    id: str
    name: str


class _Delegated(FlyModel):
    nodes: tuple[_Named | None, ...]
    page: PageInfo = Field(alias="pageInfo")

    def plain(self) -> list[DelegatedToken]:
        return [DelegatedToken(each.id, each.name) for each in self.nodes if each is not None]


class _PeerNode(FlyModel):
    name: str
    region: str
    network: str | None = None


class _Peers(FlyModel):
    nodes: tuple[_PeerNode | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _App(FlyModel):
    name: str
    tokens: TokenConnection = Field(alias="limitedAccessTokens")


class _Apps(FlyModel):
    nodes: tuple[_App | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _Whole(FlyModel):
    id: str
    members: _Members
    tokens: TokenConnection = Field(alias="limitedAccessTokens")
    peers: _Peers = Field(alias="wireGuardPeers")
    delegated: _Delegated = Field(alias="delegatedWireGuardTokens")
    apps: _Apps


class _WholeData(FlyModel):
    organization: _Whole | None


class _WithMembers(FlyModel):
    members: _Members


class _MembersData(FlyModel):
    organization: _WithMembers | None


class _WithDelegated(FlyModel):
    id: str
    delegated: _Delegated = Field(alias="delegatedWireGuardTokens")


class _DelegatedData(FlyModel):
    organization: _WithDelegated | None


class _WithApps(FlyModel):
    apps: _Apps


class _AppsData(FlyModel):
    organization: _WithApps | None


class _Personal(_Named):
    type: str
    created_at: Instant = Field(alias="createdAt")


class _PersonalConnection(FlyModel):
    nodes: tuple[_Personal | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _PersonalData(FlyModel):
    tokens: _PersonalConnection = Field(alias="accessTokens")


@dataclass
class _Parts:
    """What has been read so far."""

    organization: str
    id: str = ""
    tokens: dict[str, HeldToken] = field(default_factory=dict)
    peers: list[HeldPeer] = field(default_factory=list)
    delegated: list[DelegatedToken] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def add_tokens(self, listed: Sequence[ListedToken], app: str | None = None) -> None:
        """Fly may list the tokens of apps under the organisation as well: the app's list wins."""
        for each in listed:
            if app is not None or each.id not in self.tokens:
                self.tokens[each.id] = _token(each, app)

    def whole(self) -> Holdings:
        return Holdings(
            self.organization,
            self.id,
            tuple(self.tokens.values()),
            tuple(self.peers),
            tuple(self.delegated),
            tuple(self.members) or None,
            tuple(self.missing),
        )


class FlyHoldings:
    """Implements `domain.posture.organization.HoldingsReader`."""

    def __init__(self, graphql: Graphql, tokens: TokensApi, peers: WireguardApi) -> None:
        self._graphql, self._tokens, self._peers = graphql, tokens, peers

    async def read(self, organization: str, app: str | None = None) -> Holdings:
        """One organisation, or of one app in it the tokens, and who the members are."""
        parts = _Parts(organization)
        if app is not None:
            await self._tried(parts, Topic.TOKENS, self._of_app(parts, app), app)
            await self._tried(parts, Topic.PEOPLE, self._all_members(parts), app)
            return parts.whole()
        try:
            first = await self._first(organization)
        except TokenRefused:
            raise
        except (NotAllowed, Refused):
            await self._one_by_one(parts)
        except RotatorError as error:
            topics = (Topic.TOKENS, Topic.PEERS, Topic.PEOPLE)
            parts.missing += [Missing(topic, organization, "", error.message) for topic in topics]
        else:
            await self._rest(parts, first)
        return parts.whole()

    async def personal_tokens(self) -> tuple[PersonalToken, ...]:
        """The personal tokens of whoever rotator's token is."""
        found: list[PersonalToken] = []

        async def page(after: str | None) -> PageInfo:
            given = {"first": PAGE_SIZE, "after": after}
            what = "list the personal tokens"
            data, _ = await self._graphql.run("AccessTokens", _PersonalData, what, given)
            found.extend(
                PersonalToken(each.id, each.name, each.type, each.created_at)
                for each in data.tokens.nodes
                if each is not None
            )
            return data.tokens.page

        await _pages(page, None)
        return tuple(found)

    async def _first(self, organization: str) -> _Whole:
        what = f"read what {organization} holds"
        given = {
            "slug": organization,
            "first": PAGE_SIZE,
            "apps": APPS_A_PAGE[0],
            "inner": IN_AN_APP,
        }
        data, ref = await self._graphql.run("OrganizationPosture", _WholeData, what, given)
        return _present(data.organization, what, ref)

    async def _rest(self, parts: _Parts, first: _Whole) -> None:
        """What came with the first call, and the further pages of what has some."""
        parts.id = first.id
        parts.members += first.members.plain()
        parts.delegated += first.delegated.plain()
        await self._tried(parts, Topic.TOKENS, self._in_apps(parts, first.apps))
        parts.add_tokens(first.tokens.plain())
        parts.peers += [_peer(each) for each in first.peers.nodes if each is not None]
        if first.tokens.page.has_next_page:
            await self._tried(parts, Topic.TOKENS, self._own_tokens(parts))
        if first.members.page.has_next_page:
            more = self._all_members(parts, first.members.page.end_cursor)
            if not await self._tried(parts, Topic.PEOPLE, more):
                parts.members.clear()
        if first.peers.page.has_next_page:
            await self._tried(parts, Topic.PEERS, self._all_peers(parts))
        if first.delegated.page.has_next_page:
            after = first.delegated.page.end_cursor
            await self._tried(parts, Topic.PEERS, self._all_delegated(parts, after))

    async def _one_by_one(self, parts: _Parts) -> None:
        await self._tried(parts, Topic.TOKENS, self._in_apps(parts, None))
        await self._tried(parts, Topic.TOKENS, self._own_tokens(parts))
        if not await self._tried(parts, Topic.PEOPLE, self._all_members(parts)):
            # Half of the members would make leavers of the other half.
            parts.members.clear()
        await self._tried(parts, Topic.PEERS, self._all_peers(parts))
        await self._tried(parts, Topic.PEERS, self._all_delegated(parts))

    async def _tried(
        self, parts: _Parts, topic: Topic, read: Awaitable[None], app: str = ""
    ) -> bool:
        try:
            await read
        except TokenRefused:
            raise
        except RotatorError as error:
            parts.missing.append(Missing(topic, parts.organization, app, error.message))
            return False
        return True

    async def _of_app(self, parts: _Parts, app: str) -> None:
        parts.add_tokens(await self._tokens.of_app(app), app)

    async def _own_tokens(self, parts: _Parts) -> None:
        parts.add_tokens(await self._tokens.of_organization(parts.organization))

    async def _all_peers(self, parts: _Parts) -> None:
        listed = await self._peers.peers(parts.organization)
        parts.peers = [HeldPeer(peer.name, peer.region, peer.network) for peer in listed]

    async def _all_members(self, parts: _Parts, after: str | None = None) -> None:
        what = f"list the members of {parts.organization}"

        async def page(after: str | None) -> PageInfo:
            given = {"slug": parts.organization, "first": PAGE_SIZE, "after": after}
            data, ref = await self._graphql.run("OrganizationMembers", _MembersData, what, given)
            members = _present(data.organization, what, ref).members
            parts.members += members.plain()
            return members.page

        await _pages(page, after)

    async def _all_delegated(self, parts: _Parts, after: str | None = None) -> None:
        what = f"list the delegated WireGuard tokens of {parts.organization}"

        async def page(after: str | None) -> PageInfo:
            given = {"slug": parts.organization, "first": PAGE_SIZE, "after": after}
            data, ref = await self._graphql.run(
                "DelegatedWireGuardTokens", _DelegatedData, what, given
            )
            found = _present(data.organization, what, ref)
            parts.id = found.id
            parts.delegated += found.delegated.plain()
            return found.delegated.page

        await _pages(page, after)

    async def _in_apps(self, parts: _Parts, known: _Apps | None) -> None:
        """The tokens of every app; `known` is the first page of them, where that was read."""
        sizes, after = list(APPS_A_PAGE), None
        for _ in range(MAX_PAGES):
            apps = known or await self._apps(parts.organization, sizes, after)
            known = None
            for app in apps.nodes:
                if app is None:
                    continue
                parts.add_tokens(app.tokens.plain(), app.name)
                if app.tokens.page.has_next_page:
                    await self._of_app(parts, app.name)
            after = apps.page.end_cursor
            if not apps.page.has_next_page:
                return

    async def _apps(self, organization: str, sizes: list[int], after: str | None) -> _Apps:
        """One page of apps; takes sizes that are too much for Fly out of `sizes`."""
        what = f"list the tokens of the apps of {organization}"
        while True:
            given = {"slug": organization, "first": sizes[0], "after": after, "inner": IN_AN_APP}
            try:
                data, ref = await self._graphql.run("OrganizationAppTokens", _AppsData, what, given)
            except Refused:
                if len(sizes) == 1:
                    raise
                sizes.pop(0)
                continue
            return _present(data.organization, what, ref).apps


async def _pages(page: Callable[[str | None], Awaitable[PageInfo]], after: str | None) -> None:
    for _ in range(MAX_PAGES):
        info = await page(after)
        after = info.end_cursor
        if not info.has_next_page:
            return


def _present(found: T | None, what: str, ref: str | None) -> T:
    if found is None:
        raise NotFound(f"could not {what}: there is none that this token sees", request_id=ref)
    return found


def _token(listed: ListedToken, app: str | None) -> HeldToken:
    return HeldToken(
        listed.id,
        listed.name,
        listed.profile,
        app,
        listed.created_at,
        listed.expires_at,
        listed.revoked_at,
        listed.user_id,
        listed.user_email,
    )


def _peer(node: _PeerNode) -> HeldPeer:
    return HeldPeer(node.name, node.region, node.network)
