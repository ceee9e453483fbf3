"""What a TLS handshake with a hostname showed: reached or not, and the certificate served. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

OLD_VERSIONS: Final = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})
"""Retired by RFC 8996 (TLS 1.0 and 1.1) and RFC 7568 (SSL 3)."""


class Reach(StrEnum):
    """How far a handshake came. None of them is an error of rotator's."""

    NOT_TRIED = "not-tried"
    UNRESOLVED = "unresolved"
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"
    NO_TLS = "no-tls"
    SHAKEN = "shaken"


@dataclass(frozen=True)
class ServedCertificate:
    """The leaf that a server shows. `names` are its DNS names, `key_type` is rsa, ecdsa or other.

    `sha256` is the fingerprint of its DER, `chain` the subjects of what was sent behind it.
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer: str
    key_type: str
    sha256: str
    chain: tuple[str, ...] = ()

    @property
    def life(self) -> timedelta:
        """How long it is valid in all."""
        return self.not_after - self.not_before


@dataclass(frozen=True)
class Handshake:
    """One handshake. `why` says what kept it from going further; `chain_problem` is OpenSSL's
    word for a chain that does not lead to a trusted root, empty where it does.

    `addresses` are what the name resolved to, `address` is the one that was spoken to. `version`
    is the TLS version agreed on, `oldest` a retired one that the server takes as well.
    """

    reach: Reach
    at: datetime
    why: str = ""
    addresses: tuple[str, ...] = ()
    address: str = ""
    version: str = ""
    oldest: str = ""
    served: ServedCertificate | None = None
    chain_problem: str = ""

    @property
    def old_version(self) -> str:
        """A retired TLS version that the server speaks, or nothing."""
        return self.version if self.version in OLD_VERSIONS else self.oldest


def covers(names: tuple[str, ...], hostname: str) -> bool:
    """Whether a certificate with these names is for a hostname: equal, or a `*` in place of the
    whole first label (RFC 9525). A wildcard hostname is covered by itself only."""
    wanted = _plain(hostname)
    _, dot, parent = wanted.partition(".")
    wildcard = f"*.{parent}" if dot and not wanted.startswith("*.") else wanted
    return any(_plain(name) in (wanted, wildcard) for name in names)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
