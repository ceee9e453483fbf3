"""Limited access tokens: real macaroons, made, checked and revoked by this issuer.

What Fly's documents don't tell is kept close to what its client library shows: a token needs the
word of Fly's own login service, whose discharge comes with it, and every request is checked
against each caveat. A token that is out of its time, or used from elsewhere than it is bound to,
counts as no token at all: 401. One that is good but may not do this: 403.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from rotator.fly import caveats as c
from rotator.fly import macaroon, third_party
from rotator.fly.access import Access, Source, allows, in_context
from rotator.simulator import ids
from rotator.simulator.errors import ApiError
from rotator.simulator.model import App, Json, Organization, Token
from rotator.simulator.world import World

PROFILES: Final = frozenset({"deploy", "deploy_organization"})
OPERATOR: Final = "operator@example.com"
"""Who makes tokens where nobody else is named."""
AUTH_LOCATION: Final = "https://auth.fly.io"
SOURCE_HEADER: Final = "x-simulated-source"
"""Where a request comes from, `organization/app/machine`. Fly knows it from its own network."""
_DEPLOY_FEATURES: Final = {"wg": c.ALL_ACTIONS, "builder": c.ALL_ACTIONS}


@dataclass(frozen=True)
class Verified:
    """A genuine token, and all caveats that are to be judged: its own and its discharges'."""

    token: macaroon.Macaroon
    caveats: tuple[c.Caveat, ...]


@dataclass(frozen=True)
class Principal:
    """A caller: the tokens of its header that are genuine and in force, and where it calls from."""

    verified: tuple[Verified, ...]
    source: Source | None
    now: datetime

    @property
    def tokens(self) -> tuple[macaroon.Macaroon, ...]:
        """The tokens."""
        return tuple(each.token for each in self.verified)

    @property
    def uuid(self) -> uuid.UUID:
        """Fly's audit id of the first token."""
        return macaroon.nonce_uuid(self.tokens[0])

    @property
    def email(self) -> str:
        """The synthetic address under which Fly shows a token."""
        return f"{self.uuid}@tokens.fly.io"

    def may(self, access: Access) -> bool:
        """Whether any one of its tokens allows the access."""
        wanted = replace(access, source=self.source, now=self.now)
        return any(allows(each.caveats, wanted) for each in self.verified)


def create(
    world: World,
    org: Organization,
    *,
    name: str,
    profile: str,
    app: App | None,
    lifetime: timedelta,
    profile_params: Json | None = None,
    created_at: datetime | None = None,
    user_email: str = OPERATOR,
) -> Token:
    """Mint a token and keep its record."""
    at = created_at or world.now()
    expires_at = at + lifetime
    listed = [macaroon.organization(org.number), *_scope(world, app)]
    listed.append(macaroon.validity_window(at, expires_at))
    made = macaroon.mint(world.root_key, world.key_id, world.rng.randbytes(16), caveats=listed)
    discharges: tuple[macaroon.Macaroon, ...] = ()
    if world.switches.tokens_have_discharges:
        made, *extra = _with_login(world, made)
        discharges = tuple(extra)
    token = Token(
        id=ids.node_id(world.rng),
        name=name,
        macaroon=made,
        discharges=discharges,
        org=org,
        app=app,
        profile=profile,
        profile_params=profile_params or {},
        user_email=user_email,
        created_at=at,
        expires_at=expires_at,
    )
    world.tokens[token.id] = token
    world.tokens_by_nonce[made.nonce.rnd] = token
    return token


def _scope(world: World, app: App | None) -> list[c.Caveat]:
    """What limits a token to one app. Deploy tokens may also build and reach machines."""
    if app is None:
        return []
    only = c.apps({app.number: c.ALL_ACTIONS})
    if not world.switches.deploy_tokens_have_features:
        return [only]
    return [c.caveat(c.IF_PRESENT, [only, c.caveat(c.FEATURE_SET, _DEPLOY_FEATURES)], 0)]


def _with_login(world: World, made: macaroon.Macaroon) -> list[macaroon.Macaroon]:
    """The token with a caveat for Fly's login service, and the service's discharge for it.

    Keys follow from the root key and the nonce, so that the world's dice fall as without it.
    """

    def key(purpose: bytes) -> bytes:
        return hashlib.sha256(world.root_key + purpose + made.nonce.rnd).digest()

    nonces = (key(b"ticket")[:12], key(b"verifier")[:12])
    shared = hashlib.sha256(world.root_key + b"login").digest()
    token = third_party.require(
        made, AUTH_LOCATION, shared_key=shared, discharge_key=key(b"discharge"), seal_nonces=nonces
    )
    (party,) = third_party.third_parties(token)
    user = c.caveat(c.FLYIO_USER, int.from_bytes(key(b"user")[:3], "big"))
    return [token, third_party.discharge(party, key(b"discharge"), key(b"rnd")[:16], [user])]


def header(token: Token) -> str:
    """The Authorization value that Fly shows once: the token and its discharges."""
    return macaroon.header_of([token.macaroon, *token.discharges])


def revoke(world: World, token: Token, by: str) -> None:
    """Revoke a token and everything narrowed from it; a second time changes nothing."""
    if token.revoked_at is None:
        token.revoked_at = world.now()
        token.revoked_by = by


def find(world: World, made: macaroon.Macaroon) -> Token | None:
    """The record of a token or of what it was narrowed from."""
    return world.tokens_by_nonce.get(made.nonce.rnd)


def in_force(world: World, value: str, source: Source | None) -> tuple[Verified, ...]:
    """The tokens of a header that this issuer made, within their time, used from where they are
    bound to, and not revoked. Raises MacaroonError for a header that can't be read."""
    genuine = _genuine(value, world.key_id, world.root_key)
    return tuple(
        each
        for each in genuine
        if in_context(each.caveats, source, world.now()) and not _revoked(world, each.token)
    )


@lru_cache(maxsize=512)
def _genuine(value: str, key_id: bytes, root_key: bytes) -> tuple[Verified, ...]:
    """Signatures hold for ever, so a header is judged once."""
    members = macaroon.decode_header(value)
    return tuple(
        Verified(each, found)
        for each in members
        if each.location == macaroon.PERMISSION_LOCATION and each.nonce.kid == key_id
        if (found := third_party.verified(each, root_key, members)) is not None
    )


def _revoked(world: World, made: macaroon.Macaroon) -> bool:
    record = find(world, made)
    if record is None or record.revoked_at is None:
        return False
    lag = timedelta(seconds=world.switches.revocation_lag_seconds)
    return world.now() >= record.revoked_at + lag


def authenticate(world: World, header: str | None, source: str | None = None) -> Principal:
    """The caller named by an Authorization value. Raises ApiError 401."""
    if not header:
        raise ApiError(401, "missing authorization header")
    place = _source(source)
    try:
        good = in_force(world, header, place)
    except macaroon.MacaroonError:
        raise ApiError(401, "token validation error") from None
    if not good:
        raise ApiError(401, "token validation error")
    return Principal(good, place, world.now())


def _source(told: str | None) -> Source | None:
    if not told:
        return None
    parts = [*told.split("/"), "", ""]
    return Source(*parts[:3])


def listed(world: World, candidates: Sequence[Token]) -> list[Token]:
    """Those that a list shows by now."""
    lag = timedelta(seconds=world.switches.list_lag_seconds)
    return [token for token in candidates if token.created_at + lag <= world.now()]


def shown_revoked_at(world: World, token: Token) -> datetime | None:
    """When a list says that the token was revoked."""
    lag = timedelta(seconds=world.switches.list_lag_seconds)
    if token.revoked_at is None or token.revoked_at + lag > world.now():
        return None
    return token.revoked_at
