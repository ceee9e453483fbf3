"""The wg-quick file of a WireGuard peer, as flyctl writes it, and the keys in it. Pure.

Source: flyctl, internal/command/wireguard/others.go. wg-quick runs commands that stand in such a
file (`PostUp`), so nothing goes into it that is not a key, an address or a host name.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES: Final = 32
PORT: Final = 51820
KEEPALIVE_SECONDS: Final = 15
PRIVATE_NETWORKS: Final = ipaddress.IPv6Network("fdaa::/16")
"""All of Fly's private (6PN) addresses lie in it."""

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class Link:
    """The public half of a peer's set-up: its address, and the gateway's key and address."""

    peer_ip: ipaddress.IPv6Address
    gateway_key: str
    endpoint: str


def link(*, peer_ip: str, gateway_key: str, endpoint: str) -> Link:
    """Check the parts that Fly answered. `ValueError` names the part that is wrong."""
    if not is_key(gateway_key):
        raise ValueError("the gateway's public key is not 32 bytes in base64")
    return Link(_private_address(peer_ip), gateway_key, _host(endpoint))


def is_key(text: str) -> bool:
    """Whether this is a WireGuard key: 32 bytes in standard base64.

    Fly accepts keys of other sizes, and such a peer can't be removed any more.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return False
    return len(raw) == KEY_BYTES and base64.b64encode(raw).decode() == text


def private_key(raw: bytes) -> str:
    """A private key in base64 from 32 random bytes, clamped as X25519 has it (RFC 7748, 5)."""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a key takes {KEY_BYTES} random bytes, not {len(raw)}")
    clamped = bytearray(raw)
    clamped[0] &= 248
    clamped[31] &= 127
    clamped[31] |= 64
    return base64.b64encode(bytes(clamped)).decode()


def public_key(private: str) -> str:
    """The public key that belongs to a private one, both in base64."""
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private, validate=True))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def file_text(private: str, peer: Link) -> str:
    """The whole file, in the order of keys that flyctl writes."""
    network = _network(peer.peer_ip)
    lines = [
        "",
        "[Interface]",
        f"PrivateKey = {private}",
        f"Address = {peer.peer_ip}/120",
        f"DNS = {network + 3}",
        "",
        "[Peer]",
        f"PublicKey = {peer.gateway_key}",
        f"AllowedIPs = {network}/48",
        f"Endpoint = {peer.endpoint}:{PORT}",
        f"PersistentKeepalive = {KEEPALIVE_SECONDS}",
        "",
    ]
    return "\n".join(lines)


def _network(address: ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    """The address with all but its first 48 bits cleared."""
    return ipaddress.IPv6Network((address, 48), strict=False).network_address


def _private_address(text: str) -> ipaddress.IPv6Address:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("the peer's address is not an IPv6 address") from None
    if address.scope_id is not None or address not in PRIVATE_NETWORKS:
        raise ValueError(f"the peer's address {address} is not in {PRIVATE_NETWORKS}")
    return address


def _host(text: str) -> str:
    """An address or a host name as it stands before a port: IPv6 in brackets."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if not _HOST_NAME.fullmatch(text):
            raise ValueError("the gateway's address is no address and no host name") from None
        return text
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.scope_id is not None:
        raise ValueError("the gateway's address is bound to one interface")
    return f"[{address}]"
