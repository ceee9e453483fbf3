"""Handshakes with hostnames, to read the certificate that visitors get. Nothing is ever sent.

The chain is verified as a client does it. Where that fails, a second handshake without
verification reads what is served all the same, so that it can be described; no data goes over
either. Names resolve within a bound, and only public addresses are spoken to: a hostname is
somebody's input, and must not lead rotator to a metadata service or into a private network. The
address that was looked at is the one that is connected to, so a second answer of the DNS changes
nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, TypeAlias

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from rotator.domain.ports import Clock
from rotator.domain.posture.handshake import Handshake, Reach, ServedCertificate

RESOLVE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 10.0
MOST_ADDRESSES: Final = 2
"""Addresses that are tried until one answers."""
MOST_NAMES: Final = 200
LONGEST_CHAIN: Final = 10
HTTPS: Final = 443
_NAME_MISMATCH: Final = 62
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH."""
_EVERY_CIPHER: Final = "ALL:@SECLEVEL=0"
"""What a server of the past may need; no data is sent over it."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether it is out in the internet: not private, loopback, link-local (metadata services),
    reserved or multicast, and not one of these in the clothes of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and not is_public(inner):
            return False
        if address.teredo is not None:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_loopback or address.is_link_local or address.is_reserved
    )


class TlsHandshakes:
    """Implements `TlsProber`. `private_too` lets it speak to addresses that are not public. For
    tests: `port`, `roots` (a file of certificates to trust as well) and `resolve`."""

    def __init__(
        self,
        clock: Clock,
        *,
        private_too: bool = False,
        port: int = HTTPS,
        roots: str | None = None,
        resolve: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._clock, self._port, self._private_too = clock, port, private_too
        self._resolver, self._roots = resolve, roots

    @cached_property
    def _verified(self) -> ssl.SSLContext:
        """What trusts as rotator's own calls to Fly do. Costs some time, so not before its use."""
        context = httpx.create_ssl_context()
        if self._roots is not None:
            context.load_verify_locations(cafile=self._roots)
        return context

    @cached_property
    def _lenient(self) -> ssl.SSLContext:
        return _lenient(ssl.TLSVersion.TLSv1, ssl.TLSVersion.MAXIMUM_SUPPORTED)

    @cached_property
    def _retired(self) -> ssl.SSLContext:
        return _lenient(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)

    async def shake(self, hostname: str) -> Handshake:
        """See `TlsProber`."""
        begun = Handshake(Reach.NOT_TRIED, self._clock.now())
        if not hostname or hostname.startswith("*."):
            # An empty name would make asyncio ask for, and verify, none at all.
            return replace(begun, why="it is no one name to connect to")
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                addresses = await self._resolve(hostname)
        except (OSError, TimeoutError, UnicodeError, ValueError) as error:
            return replace(begun, reach=Reach.UNRESOLVED, why=_why_unresolved(error))
        begun = replace(begun, addresses=tuple(str(each) for each in addresses))
        allowed = [each for each in addresses if self._private_too or is_public(each)]
        if not allowed:
            why = f"{addresses[0]} is not public" if addresses else "it has no address"
            reach = Reach.FORBIDDEN if addresses else Reach.UNRESOLVED
            return replace(begun, reach=reach, why=why)
        found = begun
        for address in allowed[:MOST_ADDRESSES]:
            found = await self._with(replace(begun, address=str(address)), hostname)
            if found.reach is Reach.SHAKEN:
                break
        return found

    async def _resolve(self, hostname: str) -> list[Address]:
        """Its addresses, IPv4 first: not every place that rotator runs at has IPv6."""
        if self._resolver is not None:
            found = list(self._resolver(hostname))
        else:
            rows = await asyncio.get_running_loop().getaddrinfo(
                hostname, self._port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
            found = [str(row[4][0]) for row in rows]
        unique = dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in found)
        return sorted(unique, key=lambda each: each.version)

    async def _with(self, begun: Handshake, hostname: str) -> Handshake:
        """Shake hands with one address: verified, and where that fails, to see what is there."""
        verified = await self._once(begun, hostname, self._verified)
        found, problem = verified, verified.chain_problem
        if verified.reach is Reach.NO_TLS:
            found = await self._once(begun, hostname, self._lenient)
            if found.reach is not Reach.SHAKEN:
                return verified
        if found.reach is not Reach.SHAKEN:
            return found
        retired = await self._once(begun, hostname, self._retired)
        return replace(found, chain_problem=problem, oldest=retired.version)

    async def _once(self, begun: Handshake, hostname: str, context: ssl.SSLContext) -> Handshake:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(
                    begun.address, self._port, ssl=context, server_hostname=hostname
                )
        except ssl.SSLCertVerificationError as error:
            # A wrong name is told by the names themselves.
            told = "" if error.verify_code == _NAME_MISMATCH else error.verify_message
            return replace(begun, reach=Reach.NO_TLS, why="not verified", chain_problem=told)
        except ssl.SSLError as error:
            return replace(begun, reach=Reach.NO_TLS, why=_plain(error.reason or "no TLS"))
        except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError):
            # Some servers hang up instead of saying that they speak no common version.
            return replace(begun, reach=Reach.NO_TLS, why="the connection broke off")
        except (OSError, TimeoutError) as error:
            return replace(begun, reach=Reach.UNREACHABLE, why=_why_unreachable(error))
        except ValueError:
            return replace(begun, reach=Reach.NOT_TRIED, why="it is no name that TLS can ask for")
        try:
            return _read(begun, writer.get_extra_info("ssl_object"))
        except ValueError as error:
            return replace(begun, reach=Reach.NO_TLS, why=f"its certificate can't be read: {error}")
        finally:
            # Nothing was sent, so there is nothing to wait for.
            writer.transport.abort()


def _lenient(lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(_EVERY_CIPHER)
    with warnings.catch_warnings():
        # That they are retired is why they are tried.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = lowest, highest
    return context


def _read(begun: Handshake, shaken: ssl.SSLObject) -> Handshake:
    """What the server has shown.

    Raises:
        ValueError: its certificate can't be parsed.
    """
    chain = [x509.load_der_x509_certificate(each) for each in _chain(shaken)[:LONGEST_CHAIN]]
    if not chain:
        raise ValueError("it has shown none")
    leaf = chain[0]
    served = ServedCertificate(
        names=_names(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        issuer=_name(leaf.issuer),
        key_type=_key_type(leaf),
        sha256=leaf.fingerprint(hashes.SHA256()).hex(),
        chain=tuple(_name(each.subject) for each in chain[1:]),
    )
    return replace(begun, reach=Reach.SHAKEN, version=shaken.version() or "", served=served)


def _chain(shaken: ssl.SSLObject) -> list[bytes]:
    """The chain as it was sent, in DER. Python has it in public from 3.13 on, and since 3.10 in the
    object below; where neither has it, the leaf has to do."""
    public = getattr(shaken, "get_unverified_chain", None)
    if public is not None:
        return list(public())
    below = getattr(getattr(shaken, "_sslobj", None), "get_unverified_chain", None)
    if below is not None:
        return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in below() or ()]
    leaf = shaken.getpeercert(binary_form=True)
    return [leaf] if leaf else []


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(_shown(each) for each in found.get_values_for_type(x509.DNSName)[:MOST_NAMES])


def _name(name: x509.Name) -> str:
    """Organisation and common name, as people know an authority."""
    wanted = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    parts = [str(each.value) for oid in wanted for each in name.get_attributes_for_oid(oid)]
    return _shown(" ".join(parts) or name.rfc4514_string() or "nobody")


def _shown(text: str) -> str:
    """What a stranger's server says, fit for a terminal and a log."""
    return "".join(each if each.isprintable() else "?" for each in text)[:200]


def _key_type(leaf: x509.Certificate) -> str:
    try:
        key = leaf.public_key()
    except Exception:  # a kind of key that cryptography has no class for
        return "other"
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    return "ecdsa" if isinstance(key, ec.EllipticCurvePublicKey) else "other"


def _plain(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _why_unresolved(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the DNS did not answer in time"
    return "the DNS knows no address" if isinstance(error, OSError) else "it is no name"


def _why_unreachable(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else "it can't be reached"
