"""Fly's API tokens: read, check, mint and narrow macaroons without asking Fly.

The wire format is that of Fly's own macaroon library: MessagePack, structs as arrays, one
HMAC-SHA256 chain over the nonce and the caveats. Nothing here does I/O. Decoding a token
proves nothing about it; only `Macaroon.verify` with the issuer's root key does.

A token is read leniently as text (schemes, blanks and user tokens around it are tolerated)
and strictly as bytes. Every caveat keeps the bytes it came as, so encoding what was decoded
gives the same bytes again. No error and no repr quotes any part of a token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from rotator.fly.caveats import (
    ACTION,
    ALL_ACTIONS,
    APPS,
    CONTROL,
    CREATE,
    DELETE,
    FEATURE_SET,
    IF_PRESENT,
    MACHINES,
    MUTATIONS,
    ORGANIZATION,
    READ,
    THIRD_PARTY,
    VALIDITY_WINDOW,
    WRITE,
    Caveat,
    apps,
    caveat,
    organization,
    read_caveats,
    refuse_unaddable,
    validity_window,
    walk,
)
from rotator.fly.wire import (
    MAX_DEPTH,
    MAX_TOKEN_BYTES,
    MacaroonError,
    Reader,
    array_header,
    pack,
)

__all__ = [
    "ACTION",
    "ALL_ACTIONS",
    "APPS",
    "CONTROL",
    "CREATE",
    "DELETE",
    "FEATURE_SET",
    "IF_PRESENT",
    "MACHINES",
    "MAX_DEPTH",
    "MAX_TOKEN_BYTES",
    "MUTATIONS",
    "ORGANIZATION",
    "READ",
    "THIRD_PARTY",
    "VALIDITY_WINDOW",
    "WRITE",
    "Caveat",
    "Macaroon",
    "MacaroonError",
    "Nonce",
    "app_ids",
    "apps",
    "caveat",
    "decode",
    "decode_header",
    "derived",
    "expires_at",
    "fingerprint",
    "header_of",
    "is_macaroon",
    "mint",
    "nonce_uuid",
    "not_before",
    "organization",
    "organization_ids",
    "permission_tokens",
    "split_header",
    "validity_window",
    "walk",
]

PERMISSION_LOCATION: Final = "https://api.fly.io/v1"
MAX_HEADER_BYTES: Final = 1024 * 1024
MAX_CAVEATS: Final = 1000
"""Nested ones included. Fly's own tokens have about five; judging takes time for each."""
TAIL_BYTES: Final = 32

_SCHEMES = frozenset({"bearer", "flyv1"})
# In one pass: peeling scheme after scheme off would cost the square of their number.
_STACKED = re.compile(r"(?:(?:bearer|flyv1) \s*)*", re.IGNORECASE)
_PREFIXES = frozenset({"fm1r", "fm1a", "fm2"})
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_PROOF_KEY = b"proof-signature-finalization"
_NONCE_NAMESPACE = uuid.UUID("968fc2c6-a94f-4988-a544-2ad72b02f222")
_FINGERPRINT_LABEL = b"rotator/macaroon-fingerprint/1\0"


@dataclass(frozen=True)
class Nonce:
    """What names a token: the issuer's key id, 16 random bytes and whether it is a proof."""

    kid: bytes
    rnd: bytes
    proof: bool
    raw: bytes = field(repr=False)


@dataclass(frozen=True, repr=False)
class Macaroon:
    """One decoded token. `tail` is the bearer secret; `payload` the bytes it was read from.

    `trailing` counts bytes after the token's end: Fly ignores them, and they are not written back.
    """

    nonce: Nonce
    location: str
    caveats: tuple[Caveat, ...]
    tail: bytes
    payload: bytes
    trailing: int = 0

    @property
    def proof(self) -> bool:
        """Whether the token was finalized by its issuer, so that it can't be narrowed."""
        return self.nonce.proof

    def __repr__(self) -> str:
        return f"Macaroon({nonce_uuid(self)}, {self.location!r})"

    def encode(self) -> str:
        """The token as text, `fm2_` and base64. It is the bearer secret: handle it as one."""
        packed = b"".join(
            (
                b"\x94",
                self.nonce.raw,
                pack(self.location),
                array_header(2 * len(self.caveats)),
                *(caveat.raw for caveat in self.caveats),
                pack(self.tail),
            )
        )
        return "fm2_" + base64.b64encode(packed).decode("ascii")

    def tails(self, root_key: bytes) -> list[bytes]:
        """Every tail of the chain under `root_key`: the first is over the nonce, then one for each
        caveat. A third party's key is sealed under the tail before its caveat."""
        found = [_hmac(root_key, self.nonce.raw)]
        for each in self.caveats:
            found.append(_chain(found[-1], (each,)))
        return found

    def verify(self, root_key: bytes) -> bool:
        """Whether the chain over nonce and caveats, begun with `root_key`, ends in the tail.

        Third-party caveats are not looked at (`third_party.verified` does). A caveat that is not in
        canonical form makes the answer false, as it does at Fly, which signs its own re-encoding.
        """
        if not all(caveat.canonical for caveat in self.caveats):
            return False
        tail = self.tails(root_key)[-1]
        if self.proof:
            tail = _hmac(_PROOF_KEY, tail)
        return hmac.compare_digest(tail, self.tail)

    def attenuate(self, caveats: Iterable[Caveat]) -> Macaroon:
        """The same token with more restrictions; one that it has already is not added again.

        Raises MacaroonError for a proof, a tail of the wrong size, and caveats that a holder
        can't add: attestations, third parties, and types not known here.
        """
        present = {each.raw for each in self.caveats}
        added: list[Caveat] = []
        for each in caveats:
            refuse_unaddable(each)
            if each.raw not in present:
                present.add(each.raw)
                added.append(each)
        return self.extended(added)

    def extended(self, caveats: Iterable[Caveat]) -> Macaroon:
        """The same token with these caveats behind its own, whatever they are.

        For what an issuer adds, and to follow what others did. Narrow with `attenuate`.
        Raises MacaroonError for a proof and for a tail of the wrong size.
        """
        if self.proof:
            raise MacaroonError("the token is a finalized proof and can't be narrowed")
        if len(self.tail) != TAIL_BYTES:
            raise MacaroonError("the token's signature has the wrong size; it can't be narrowed")
        added = tuple(caveats)
        tail = _chain(self.tail, added)
        made = replace(self, caveats=(*self.caveats, *added), tail=tail)
        return decode(made.encode())


def mint(
    root_key: bytes,
    kid: bytes,
    rnd: bytes,
    location: str = PERMISSION_LOCATION,
    caveats: Iterable[Caveat] = (),
    *,
    proof: bool = False,
) -> Macaroon:
    """A new token under `root_key`, which only an issuer has; a `proof` can't be narrowed."""
    nonce_raw = pack([kid, rnd, proof])
    listed = tuple(caveats)
    tail = _chain(_hmac(root_key, nonce_raw), listed)
    if proof:
        tail = _hmac(_PROOF_KEY, tail)
    made = Macaroon(Nonce(kid, rnd, proof, nonce_raw), location, listed, tail, b"")
    return decode(made.encode())


def derived(child: Macaroon, parent: Macaroon) -> bool:
    """Whether `child` was narrowed from `parent`, by the signatures alone: no key is needed."""
    own = len(parent.caveats)
    if child.nonce.raw != parent.nonce.raw or child.caveats[:own] != parent.caveats:
        return False
    return hmac.compare_digest(_chain(parent.tail, child.caveats[own:]), child.tail)


def split_header(header: str) -> list[str]:
    """The members of an Authorization value or token list: schemes and blanks removed."""
    if len(header) > MAX_HEADER_BYTES:
        raise MacaroonError(f"the token list is longer than {MAX_HEADER_BYTES} bytes")
    rest = header.strip()
    schemes = _STACKED.match(rest)
    rest = rest[schemes.end() :] if schemes else rest
    if rest.lower() in _SCHEMES:
        return []
    return [member.strip() for member in rest.split(",") if member.strip()]


def is_macaroon(member: str) -> bool:
    """Whether a member of a token list has one of the macaroon prefixes."""
    return member.partition("_")[0] in _PREFIXES


def decode(token: str) -> Macaroon:
    """One token from its text. Raises MacaroonError, which names the fault only."""
    if len(token) > MAX_TOKEN_BYTES:
        raise MacaroonError(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    prefix, underscore, text = token.strip().partition("_")
    if not underscore or prefix not in _PREFIXES:
        raise MacaroonError("the token does not begin with fm2_, fm1r_ or fm1a_")
    try:
        payload = base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise MacaroonError("the token is not base64; it was cut or changed") from None
    if not payload:
        raise MacaroonError("the token is empty")
    return _decode_payload(payload)


def decode_header(header: str) -> list[Macaroon]:
    """Every macaroon of an Authorization value, in order; user tokens are left out.

    Raises MacaroonError, with the position, for a member that looks like one but is not.
    """
    decoded: list[Macaroon] = []
    for position, member in enumerate(split_header(header), start=1):
        if is_macaroon(member):
            try:
                decoded.append(decode(member))
            except MacaroonError as error:
                raise MacaroonError(f"token {position} of the list: {error}") from None
    return decoded


def permission_tokens(header: str) -> list[Macaroon]:
    """The macaroons of an Authorization value that Fly's API itself issued, in order."""
    return [token for token in decode_header(header) if token.location == PERMISSION_LOCATION]


def header_of(tokens: Iterable[Macaroon]) -> str:
    """The Authorization value that carries these tokens. It is a secret."""
    return "FlyV1 " + ",".join(token.encode() for token in tokens)


def expires_at(token: Macaroon) -> datetime | None:
    """The earliest end of its validity windows, nested ones included; None if it has none."""
    ends = [_second(each, 1) for each in _of_type(token, VALIDITY_WINDOW)]
    return min(ends, default=None)


def not_before(token: Macaroon) -> datetime | None:
    """The latest beginning of its validity windows; None if it has none."""
    begins = [_second(each, 0) for each in _of_type(token, VALIDITY_WINDOW)]
    return max(begins, default=None)


def organization_ids(token: Macaroon) -> frozenset[int]:
    """The ids in its Organization caveats, nested ones included; 0 means any."""
    found = (each.fields[0] for each in _of_type(token, ORGANIZATION) if each.fields)
    return frozenset(value for value in found if isinstance(value, int))


def app_ids(token: Macaroon) -> frozenset[int] | None:
    """The apps that every one of its Apps caveats allows; None when it has no such limit."""
    allowed: frozenset[int] | None = None
    for each in _of_type(token, APPS):
        ids = each.fields[0] if each.fields else None
        if isinstance(ids, dict) and 0 not in ids:
            named = frozenset(ids)
            allowed = named if allowed is None else allowed & named
    return allowed


def nonce_uuid(token: Macaroon) -> uuid.UUID:
    """Fly's own audit id of a token: the same for a token and all that were narrowed from it."""
    return _uuid5(_uuid5(_NONCE_NAMESPACE, token.nonce.kid), token.nonce.rnd)


def fingerprint(token: Macaroon) -> str:
    """16 hex digits that name exactly this token and reveal nothing usable."""
    return hashlib.sha256(_FINGERPRINT_LABEL + token.payload).hexdigest()[:16]


def _decode_payload(payload: bytes) -> Macaroon:
    reader = Reader(payload)
    if reader.array() != 4:
        raise MacaroonError("the token is not a list of four parts")
    nonce = _decode_nonce(reader)
    location, _ = reader.value()
    if not isinstance(location, str):
        raise MacaroonError("the token's location is not text")
    caveats = tuple(read_caveats(reader))
    if sum(1 for _ in walk(caveats)) > MAX_CAVEATS:
        raise MacaroonError(f"the token has more than {MAX_CAVEATS} caveats")
    tail, _ = reader.value()
    if not isinstance(tail, bytes):
        raise MacaroonError("the token's signature is not bytes")
    return Macaroon(nonce, location, caveats, tail, payload, reader.rest)


def _decode_nonce(reader: Reader) -> Nonce:
    value, raw = reader.value()
    if isinstance(value, list) and len(value) in (2, 3):
        kid, rnd = value[0], value[1]
        proof = value[2] if len(value) == 3 else False
        if isinstance(kid, bytes) and isinstance(rnd, bytes) and isinstance(proof, bool):
            return Nonce(kid, rnd, proof, raw)
    raise MacaroonError("the token's nonce has an unexpected shape")


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _chain(tail: bytes, caveats: tuple[Caveat, ...]) -> bytes:
    for each in caveats:
        tail = _hmac(tail, b"\x92" + each.raw)
    return tail


def _of_type(token: Macaroon, type_number: int) -> list[Caveat]:
    return [
        each for each in walk(token.caveats) if each.type == type_number and each.fields is not None
    ]


def _second(each: Caveat, index: int) -> datetime:
    """The instant in one field of a validity window; beyond the calendar, its nearest end."""
    value = each.fields[index] if each.fields else 0
    seconds = value if isinstance(value, int) else 0
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return _LAST if seconds > 0 else _FIRST


def _uuid5(namespace: uuid.UUID, name: bytes) -> uuid.UUID:
    digest = hashlib.sha1(namespace.bytes + name, usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest[:16], version=5)
