"""WireGuard peers: the old and the new one stand side by side until the new one is in use."""

# ruff: noqa: ARG002 - the Kind protocol passes more than this kind needs
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.errors import Drift, InputError, NeedsHuman, NotFound, NotYet, Refused
from rotator.domain.fields import Field, FieldType, Params, ParamValue, named, optional_text
from rotator.domain.names import wrong_network, wrong_peer, wrong_region
from rotator.domain.ports import Entropy, Evidence, Minted, MintRequest
from rotator.domain.secret import Secret
from rotator.fly.wireguard import AddedPeer, Peer
from rotator.kinds import wg_quick

LIST_LAG_SECONDS: Final = 2.0
"""How soon to look again at a list that has not caught up (FACTS.md 5: it may lag by seconds)."""
SUFFIX_LENGTH: Final = 27
"""A dash and a ULID behind the peer's name."""
_ULID: Final = "[0-9a-hjkmnp-tv-z]{26}"


class PeerClient(Protocol):
    """What this kind needs of the Fly client."""

    async def organization_id(self, slug: str) -> str:
        """The opaque id that mutations take. `NotFound` if the token may not see it."""
        ...

    async def nearest_gateway_region(self) -> str:
        """The code of the closest region that has a WireGuard gateway."""
        ...

    async def add_peer(
        self, organization_id: str, *, name: str, public_key: str, region: str, network: str | None
    ) -> AddedPeer:
        """Create a peer."""
        ...

    async def remove_peer(self, organization_id: str, name: str) -> None:
        """Remove a peer by name. `NotFound` if there is none."""
        ...

    async def peers(self, organization: str) -> Sequence[Peer]:
        """All peers of an organisation, by its slug."""
        ...

    async def live_peer_ips(self, peer_ips: Sequence[str]) -> frozenset[str]:
        """Which of these addresses belong to a peer that is valid."""
        ...


def _check_peer_name(value: ParamValue) -> str | None:
    return wrong_peer(str(value), room=SUFFIX_LENGTH)


class WireGuardPeerKind:
    """A peer of an organisation's private network; targets receive it as a wg-quick file.

    The key pair is made and sealed before the call, so a repeat is the same peer. A peer is
    removed by its name, so the issuer's reference is the name.
    """

    name = "wireguard-peer"
    issuer_lists = True
    fields: tuple[Field, ...] = (
        Field(
            "peer_name",
            FieldType.TEXT,
            '"office"',
            check=_check_peer_name,
            about="start of the peer's name; the credential's name where absent",
        ),
        Field(
            "region",
            FieldType.TEXT,
            '"ams"',
            check=named(wrong_region),
            about="where the gateway stands; the nearest one where absent",
        ),
        Field(
            "network",
            FieldType.TEXT,
            '"staging"',
            check=named(wrong_network),
            about="a private network of its own; the organisation's default where absent",
        ),
    )

    def __init__(self, client: PeerClient) -> None:
        self._client = client

    def check(self, params: Params) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def fits(self, spec: CredentialSpec, now: datetime) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def place(self, name: str, organization: str, params: Params) -> str:
        """`wireguard-peer:{organization}/{peer_name}`. `InputError` where the credential's name
        has to serve as the peer's and can't."""
        return f"wireguard-peer:{organization}/{_peer_name(name, params)}"

    def issue_name(self, spec: CredentialSpec, rotation_id: str) -> str:
        """`{peer_name}-{rotation id in lower case}`: a DNS label, so at most 63 characters."""
        return f"{_peer_name(spec.name, spec.params)}-{rotation_id.lower()}"

    def prepare(self, request: MintRequest, entropy: Entropy) -> Secret | None:
        """Make the private key; the public one follows from it."""
        return Secret(wg_quick.private_key(entropy.token_bytes(wg_quick.KEY_BYTES)))

    async def mint(self, request: MintRequest, prepared: Secret | None) -> Minted:
        """Add the peer. `Refused` if Fly's answer can't be put into a wg-quick file."""
        if prepared is None:
            raise NeedsHuman(
                f"the key generated for {request.spec.name} is not in the database",
                next_step="abort this rotation and start a new one",
            )
        params = request.spec.params
        organization_id = await self._client.organization_id(request.spec.organization)
        region = optional_text(params, "region") or await self._client.nearest_gateway_region()
        public_key = wg_quick.public_key(prepared.reveal())
        added = await self._client.add_peer(
            organization_id,
            name=request.issue_name,
            public_key=public_key,
            region=region,
            network=optional_text(params, "network"),
        )
        facts = {
            "peerip": added.peer_ip,
            "endpointip": added.endpoint_ip,
            "gateway_pubkey": added.gateway_public_key,
            "region": region,
            "pubkey": public_key,
            "network": added.network or optional_text(params, "network") or "",
        }
        issued = Issued(ref=request.issue_name, name=request.issue_name, facts=facts)
        _link(issued)
        return Minted(issued, prepared, request_id=added.request_id)

    async def locate(self, request: MintRequest) -> Sequence[Issued]:
        """The peer of this rotation's name. Lists don't tell the gateway's key, so it can only
        be removed and made again."""
        return [
            _issued(peer)
            for peer in await self._client.peers(request.spec.organization)
            if peer.name == request.issue_name
        ]

    async def prove(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Evidence:
        """See that Fly lists the peer with the key and address that we hold, and calls it valid."""
        public_key = wg_quick.public_key(value.reveal())
        listed = await self._listed(spec, issued.name)
        if listed is None:
            raise NotYet(
                f"the new peer {issued.name} is not listed yet", after_seconds=LIST_LAG_SECONDS
            )
        if listed.public_key != public_key:
            raise Refused(f"Fly holds another key for the peer {issued.name} than was asked for")
        if listed.peer_ip != issued.facts.get("peerip"):
            raise Refused(f"Fly lists another address for the peer {issued.name} than it answered")
        if listed.peer_ip not in await self._client.live_peer_ips((listed.peer_ip,)):
            raise NotYet(
                f"Fly does not call the new peer {issued.name} valid yet",
                after_seconds=LIST_LAG_SECONDS,
            )
        return Evidence(
            f"Fly lists the peer {issued.name} with our key and address and calls it valid",
            {"peerip": listed.peer_ip, "pubkey": public_key},
        )

    async def revoke(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        """Remove the peer by its name.

        A name without a rotation's id could have been given to another peer since, so that is
        looked up first: `Drift` if the key is another one now.
        """
        if issued.name == _peer_name(spec.name, spec.params):
            await self._refuse_reused_name(spec, issued)
        organization_id = await self._client.organization_id(spec.organization)
        try:
            await self._client.remove_peer(organization_id, issued.name)
        except NotFound:
            if await self._listed(spec, issued.name) is not None:
                raise NotYet(
                    f"Fly says that the peer {issued.name} does not exist, but still lists it",
                    after_seconds=LIST_LAG_SECONDS,
                ) from None
            return Evidence(f"the peer {issued.name} was gone already")
        return Evidence(f"Fly removed the peer {issued.name}")

    async def disprove(
        self, spec: CredentialSpec, issued: Issued, value: Secret | None
    ) -> Evidence:
        """See that Fly calls the peer's address invalid and does not list the peer."""
        peer_ip = issued.facts.get("peerip")
        if peer_ip and peer_ip in await self._client.live_peer_ips((peer_ip,)):
            raise NotYet(
                f"Fly still calls the removed peer {issued.name} valid",
                after_seconds=LIST_LAG_SECONDS,
            )
        if await self._listed(spec, issued.name) is not None:
            raise NotYet(
                f"Fly still lists the removed peer {issued.name}", after_seconds=LIST_LAG_SECONDS
            )
        if not peer_ip:
            return Evidence(
                f"the removed peer {issued.name} is not listed; its address was never known, "
                "so it was not validated"
            )
        return Evidence(
            f"Fly calls the removed peer {issued.name} invalid and does not list it",
            {"peerip": peer_ip},
        )

    async def holdings(self, spec: CredentialSpec) -> Sequence[Issued]:
        """Peers named like the credential's, with or without a rotation's id."""
        pattern = re.compile(rf"{re.escape(_peer_name(spec.name, spec.params))}(-{_ULID})?")
        return [
            _issued(peer)
            for peer in await self._client.peers(spec.organization)
            if pattern.fullmatch(peer.name)
        ]

    def render(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Secret:
        """A wg-quick file, as flyctl writes it."""
        return Secret(wg_quick.file_text(value.reveal(), _link(issued)))

    def entropy_bits(self, params: Params) -> int | None:
        """Of an X25519 private key: five of its 256 bits are fixed."""
        return 251

    def calls(self, spec: CredentialSpec) -> Mapping[str, tuple[str, ...]]:
        """GraphQL operations by step."""
        look = "GraphQL organization.wireGuardPeers"
        validate = "GraphQL validateWireGuardPeers"
        nearest = () if "region" in spec.params else ("GraphQL nearestRegion",)
        return {
            "mint": ("GraphQL organization", *nearest, "GraphQL addWireGuardPeer"),
            "prove": (look, validate),
            "retire": ("GraphQL organization", "GraphQL removeWireGuardPeer", validate, look),
        }

    async def _listed(self, spec: CredentialSpec, name: str) -> Peer | None:
        for peer in await self._client.peers(spec.organization):
            if peer.name == name:
                return peer
        return None

    async def _refuse_reused_name(self, spec: CredentialSpec, issued: Issued) -> None:
        listed = await self._listed(spec, issued.name)
        known = issued.facts.get("pubkey")
        if listed is not None and known and listed.public_key != known:
            raise Drift(
                f"the peer {issued.name} has another key now: somebody made it anew; "
                "it is left as it is",
                next_step="remove the peer yourself, or give peer_name another value",
            )


def _peer_name(credential: str, params: Params) -> str:
    """`InputError` where the credential's name has to serve and is no peer name."""
    given = optional_text(params, "peer_name")
    if given is not None:
        return given
    problem = wrong_peer(credential, room=SUFFIX_LENGTH)
    if problem is not None:
        raise InputError(problem, where=credential, next_step="give the field peer_name")
    return credential


def _issued(peer: Peer) -> Issued:
    facts = {
        "peerip": peer.peer_ip,
        "pubkey": peer.public_key,
        "region": peer.region,
        "network": peer.network or "",
    }
    return Issued(ref=peer.name, name=peer.name, facts=facts)


def _link(issued: Issued) -> wg_quick.Link:
    """The public half of the file. `Refused` if a part is missing or is not what it should be."""
    facts = issued.facts
    try:
        return wg_quick.link(
            peer_ip=facts["peerip"],
            gateway_key=facts["gateway_pubkey"],
            endpoint=facts["endpointip"],
        )
    except KeyError as missing:
        raise NeedsHuman(
            f"{missing} of the peer {issued.name} is not known: only Fly's answer to its making "
            "tells it, so its file can't be written again",
            next_step="rotate the credential",
        ) from None
    except ValueError as problem:
        raise Refused(f"Fly's answer for the peer {issued.name} can't be used: {problem}") from None
