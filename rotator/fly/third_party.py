"""Third parties: a caveat that only somebody else can satisfy, and the discharge that does.

Whoever adds the caveat makes a key for the discharge and hides it twice: in the *ticket*, which the
third party can open, and in the *verifier key*, which the issuer can. A discharge is a macaroon
under that key whose key id is the ticket. Without either key nothing of this can be opened, but
which discharge belongs to which caveat can be read by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from rotator.fly.caveats import BIND_TO_PARENT, THIRD_PARTY, Caveat, caveat
from rotator.fly.macaroon import Macaroon, mint, walk
from rotator.fly.wire import MacaroonError, array_header, pack

SEAL_NONCE_BYTES: Final = 12
AUTH_LOCATIONS: Final = frozenset({"https://api.fly.io/aaa/v1", "https://auth.fly.io"})
"""Where Fly asks people to log in; the first one is the older."""


@dataclass(frozen=True)
class ThirdParty:
    """One third-party caveat. `ticket` names the discharge that it needs."""

    location: str
    verifier_key: bytes
    ticket: bytes

    def __repr__(self) -> str:
        return f"ThirdParty({self.location!r})"


def third_parties(token: Macaroon) -> tuple[ThirdParty, ...]:
    """The third parties whose word the token needs, in order, nested ones included."""
    found = (_read(each) for each in walk(token.caveats))
    return tuple(each for each in found if each is not None)


def discharges_for(party: ThirdParty, candidates: Iterable[Macaroon]) -> list[Macaroon]:
    """Those of `candidates` that were made for this ticket."""
    return [each for each in candidates if each.nonce.kid == party.ticket]


def bound_to(discharge: Macaroon, parent: Macaroon) -> bool | None:
    """Whether a discharge is bound to exactly this token. None: it is bound to another token or to
    what this one was narrowed from, which can't be told apart; True also where it is not bound."""
    bindings = [each for each in discharge.caveats if each.type == BIND_TO_PARENT]
    digest = sha256(parent.tail).digest()
    for each in bindings:
        prefix = each.fields[0] if each.fields else b""
        if not isinstance(prefix, bytes) or digest[: len(prefix)] != prefix:
            return None
    return True


def require(
    token: Macaroon,
    location: str,
    *,
    shared_key: bytes,
    discharge_key: bytes,
    seal_nonces: tuple[bytes, bytes],
    ticket_caveats: Sequence[Caveat] = (),
) -> Macaroon:
    """An issuer's part: the token with a caveat for the third party that holds `shared_key`."""
    inside = b"".join(each.raw for each in ticket_caveats)
    body = pack(discharge_key) + array_header(2 * len(ticket_caveats)) + inside
    ticket = _seal(shared_key, seal_nonces[0], array_header(2) + body)
    verifier_key = _seal(token.tail, seal_nonces[1], discharge_key)
    return token.extended([caveat(THIRD_PARTY, location, verifier_key, ticket)])


def discharge(
    party: ThirdParty, discharge_key: bytes, rnd: bytes, caveats: Iterable[Caveat] = ()
) -> Macaroon:
    """The third party's part: its word that the caveat is satisfied, as long as `caveats` hold."""
    return mint(discharge_key, party.ticket, rnd, party.location, caveats, proof=True)


def verified(
    token: Macaroon, root_key: bytes, discharges: Sequence[Macaroon]
) -> tuple[Caveat, ...] | None:
    """The caveats that are to be judged: the token's own, and those of the discharges that it
    needs. None when a signature is wrong or a discharge is missing.

    A discharge that needs a third party itself is not accepted, as at Fly.
    """
    if not token.verify(root_key):
        return None
    tails = token.tails(root_key)
    found = [each for each in token.caveats if each.type != THIRD_PARTY]
    for place, each in enumerate(token.caveats):
        if each.type != THIRD_PARTY:
            continue
        party = _read(each)
        good = _discharged(party, tails, place, discharges) if party else None
        if good is None:
            return None
        found += [inner for inner in good.caveats if inner.type != BIND_TO_PARENT]
    return tuple(found)


def _discharged(
    party: ThirdParty, tails: Sequence[bytes], place: int, discharges: Sequence[Macaroon]
) -> Macaroon | None:
    key = _open(tails[place], party.verifier_key)
    if key is None:
        return None
    for each in discharges_for(party, discharges):
        nested = any(inner.type == THIRD_PARTY for inner in each.caveats)
        if not nested and each.verify(key) and _fits(each, tails):
            return each
    return None


def _fits(discharge: Macaroon, tails: Sequence[bytes]) -> bool:
    """Whether each binding names the token or one that it was narrowed from."""
    digests = [sha256(tail).digest() for tail in tails]
    for each in discharge.caveats:
        if each.type == BIND_TO_PARENT:
            prefix = each.fields[0] if each.fields else None
            if not isinstance(prefix, bytes) or not any(d.startswith(prefix) for d in digests):
                return False
    return True


def _read(each: Caveat) -> ThirdParty | None:
    if each.type != THIRD_PARTY or each.fields is None:
        return None
    location, verifier_key, ticket = each.fields
    if isinstance(location, str) and isinstance(verifier_key, bytes) and isinstance(ticket, bytes):
        return ThirdParty(location, verifier_key, ticket)
    return None


def _seal(key: bytes, nonce: bytes, message: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(nonce) != SEAL_NONCE_BYTES:
        raise MacaroonError(f"a nonce for sealing has {SEAL_NONCE_BYTES} bytes")
    return nonce + ChaCha20Poly1305(key).encrypt(nonce, message, None)


def _open(key: bytes, sealed: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        nonce, box = sealed[:SEAL_NONCE_BYTES], sealed[SEAL_NONCE_BYTES:]
        return ChaCha20Poly1305(key).decrypt(nonce, box, None)
    except (InvalidTag, ValueError):
        return None
