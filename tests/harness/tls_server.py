"""TLS servers on loopback, with certificates made for the test."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


def signed(
    subject: str,
    issuer: Signed | None = None,
    *,
    names: Sequence[str] = (),
    authority: bool = False,
    ends_in: timedelta = timedelta(days=60),
) -> Signed:
    """A certificate, by itself or by an authority."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + ends_in)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@dataclass(frozen=True)
class Authority:
    """A root, and an intermediate that it has signed."""

    root: Signed
    between: Signed

    def issue(self, *names: str, ends_in: timedelta = timedelta(days=60)) -> Signed:
        """A leaf for these names."""
        return signed(names[0], self.between, names=names, ends_in=ends_in)


@cache
def authority() -> Authority:
    """The one of this process."""
    root = signed("Test Root", authority=True)
    return Authority(root, signed("Test Between", root, authority=True))


def roots_file(folder: Path) -> str:
    """What a client has to trust."""
    path = folder / "roots.pem"
    path.write_bytes(authority().root.pem())
    return str(path)


@dataclass
class Served:
    """A running server."""

    port: int
    connections: list[str] = field(default_factory=list)
    received: bytes = b""


@asynccontextmanager
async def serving(
    folder: Path,
    leaf: Signed | None,
    *chain: Signed,
    lowest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> AsyncIterator[Served]:
    """Serve a leaf with a chain; without a leaf, plain text that is no TLS."""
    served = Served(0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections.append(str(writer.get_extra_info("sockname")[0]))
        if leaf is None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        try:
            served.received += await reader.read(1024) if leaf is not None else b""
        except OSError:
            pass
        finally:
            writer.close()

    context = _context(folder, leaf, chain, lowest, highest) if leaf is not None else None
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    async with server:
        yield served


def _context(
    folder: Path,
    leaf: Signed,
    chain: Sequence[Signed],
    lowest: ssl.TLSVersion,
    highest: ssl.TLSVersion,
) -> ssl.SSLContext:
    path = folder / "server.pem"
    path.write_bytes(b"".join([leaf.key_pem(), leaf.pem(), *(each.pem() for each in chain)]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = lowest, highest
    return context
