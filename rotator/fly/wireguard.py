"""WireGuard peers by GraphQL. Fly tells neither their age nor their last handshake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from rotator.domain.errors import NotFound
from rotator.fly.call import Effect
from rotator.fly.graphql import PAGE_SIZE, Graphql
from rotator.fly.organizations import OrganizationsApi
from rotator.fly.parsing import FlyModel
from rotator.fly.tokens import PageInfo


@dataclass(frozen=True)
class AddedPeer:
    """Fly's side of a new peer. `gateway_public_key` is the gateway's, not the peer's."""

    peer_ip: str
    endpoint_ip: str
    gateway_public_key: str
    network: str | None
    request_id: str | None = None


@dataclass(frozen=True)
class Peer:
    """A peer as lists show it. `public_key` is the peer's own."""

    name: str
    public_key: str
    region: str
    peer_ip: str
    network: str | None


class _Added(FlyModel):
    peer_ip: str = Field(alias="peerip")
    endpoint_ip: str = Field(alias="endpointip")
    gateway_key: str = Field(alias="pubkey")
    network: str | None = None


class _AddData(FlyModel):
    payload: _Added = Field(alias="addWireGuardPeer")


class _RemoveData(FlyModel):
    payload: object = Field(alias="removeWireGuardPeer")


class _Node(FlyModel):
    name: str
    public_key: str = Field(alias="pubkey")
    region: str
    peer_ip: str = Field(alias="peerip")
    network: str | None = None


class _Connection(FlyModel):
    nodes: tuple[_Node | None, ...]
    page: PageInfo = Field(alias="pageInfo")


class _Organization(FlyModel):
    peers: _Connection = Field(alias="wireGuardPeers")


class _PeersData(FlyModel):
    organization: _Organization | None


class _Validated(FlyModel):
    valid: tuple[str, ...] = Field(alias="validPeerIps")


class _ValidateData(FlyModel):
    payload: _Validated = Field(alias="validateWireGuardPeers")


class _Region(FlyModel):
    code: str


class _RegionData(FlyModel):
    region: _Region = Field(alias="nearestRegion")


class WireguardApi:
    """Peers of an organisation's private networks."""

    def __init__(self, graphql: Graphql, organizations: OrganizationsApi) -> None:
        self._graphql, self._organizations = graphql, organizations

    async def organization_id(self, slug: str) -> str:
        """The opaque id that the mutations take."""
        return (await self._organizations.organization(slug)).id

    async def nearest_gateway_region(self) -> str:
        """The closest region that has a WireGuard gateway."""
        data, _ = await self._graphql.run(
            "NearestGatewayRegion", _RegionData, "find the nearest WireGuard gateway", {}
        )
        return data.region.code

    async def add_peer(
        self, organization_id: str, *, name: str, public_key: str, region: str, network: str | None
    ) -> AddedPeer:
        """Create a peer. Never repeated by itself."""
        given = {
            "organizationId": organization_id,
            "name": name,
            "pubkey": public_key,
            "region": region,
        }
        if network:
            given["network"] = network
        data, ref = await self._graphql.run(
            "AddWireGuardPeer",
            _AddData,
            f"add the WireGuard peer {name}",
            {"input": given},
            effect=Effect.CHANGE,
        )
        made = data.payload
        return AddedPeer(made.peer_ip, made.endpoint_ip, made.gateway_key, made.network, ref)

    async def remove_peer(self, organization_id: str, name: str) -> None:
        """Remove a peer by name. `NotFound` if there is none."""
        await self._graphql.run(
            "RemoveWireGuardPeer",
            _RemoveData,
            f"remove the WireGuard peer {name}",
            {"input": {"organizationId": organization_id, "name": name}},
            effect=Effect.IDEMPOTENT,
        )

    async def peers(self, organization: str) -> Sequence[Peer]:
        """All peers of an organisation, by its slug."""
        what = f"list the WireGuard peers of {organization}"
        found: list[Peer] = []
        after: str | None = None
        while True:
            data, ref = await self._graphql.run(
                "WireGuardPeers",
                _PeersData,
                what,
                {"slug": organization, "first": PAGE_SIZE, "after": after},
            )
            if data.organization is None:
                raise NotFound(f"could not {what}: no such organisation", request_id=ref)
            connection = data.organization.peers
            found += [
                Peer(node.name, node.public_key, node.region, node.peer_ip, node.network)
                for node in connection.nodes
                if node is not None
            ]
            if not connection.page.has_next_page:
                return found
            after = connection.page.end_cursor

    async def live_peer_ips(self, peer_ips: Sequence[str]) -> frozenset[str]:
        """Which of these addresses belong to a valid peer. Fly has it as a mutation; it reads."""
        data, _ = await self._graphql.run(
            "ValidateWireGuardPeers",
            _ValidateData,
            "validate WireGuard peers",
            {"input": {"peerIps": list(peer_ips)}},
        )
        return frozenset(data.payload.valid)
