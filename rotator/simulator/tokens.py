"""Limited access tokens: real macaroons, made, checked and revoked by this issuer."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from rotator.fly import macaroon
from rotator.simulator import ids
from rotator.simulator.access import Access, allows
from rotator.simulator.errors import ApiError
from rotator.simulator.model import App, Json, Organization, Token
from rotator.simulator.world import World

PROFILES = frozenset({"deploy", "deploy_organization"})


@dataclass(frozen=True)
class Principal:
    """A caller: the tokens of its header that are genuine and in force."""

    tokens: tuple[macaroon.Macaroon, ...]

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
        return any(allows(token, access) for token in self.tokens)


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
    user_email: str = "operator@example.com",
) -> Token:
    """Mint a token and keep its record."""
    at = created_at or world.now()
    expires_at = at + lifetime
    caveats = [macaroon.organization(org.number)]
    if app is not None:
        caveats.append(macaroon.apps({app.number: macaroon.ALL_ACTIONS}))
    caveats.append(macaroon.validity_window(at, expires_at))
    made = macaroon.mint(world.root_key, world.key_id, world.rng.randbytes(16), caveats=caveats)
    token = Token(
        id=ids.node_id(world.rng),
        name=name,
        macaroon=made,
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


def revoke(world: World, token: Token, by: str) -> None:
    """Revoke a token and everything narrowed from it; a second time changes nothing."""
    if token.revoked_at is None:
        token.revoked_at = world.now()
        token.revoked_by = by


def find(world: World, made: macaroon.Macaroon) -> Token | None:
    """The record of a token or of what it was narrowed from."""
    return world.tokens_by_nonce.get(made.nonce.rnd)


def accepted(world: World, made: macaroon.Macaroon) -> bool:
    """Whether this issuer made the token, it is within its time, and it is not revoked."""
    genuine = made.nonce.kid == world.key_id and made.verify(world.root_key)
    return genuine and _in_force(world, made)


@lru_cache(maxsize=128)
def _genuine(header: str, key_id: bytes, root_key: bytes) -> tuple[macaroon.Macaroon, ...]:
    """Those tokens of an Authorization value that this key made. The same header comes with every
    request, so its signatures are checked once."""
    try:
        presented = macaroon.permission_tokens(header)
    except macaroon.MacaroonError:
        raise ApiError(401, "token validation error") from None
    return tuple(t for t in presented if t.nonce.kid == key_id and t.verify(root_key))


def _in_force(world: World, made: macaroon.Macaroon) -> bool:
    """Whether a genuine token is within its time and not revoked."""
    now = world.now()
    expires_at = macaroon.expires_at(made)
    begins_at = macaroon.not_before(made)
    if (expires_at is not None and now > expires_at) or (begins_at is not None and now < begins_at):
        return False
    record = find(world, made)
    if record is None or record.revoked_at is None:
        return True
    lag = timedelta(seconds=world.switches.revocation_lag_seconds)
    return now < record.revoked_at + lag


def authenticate(world: World, header: str | None) -> Principal:
    """The caller named by an Authorization value. Raises ApiError 401."""
    if not header:
        raise ApiError(401, "missing authorization header")
    genuine = _genuine(header, world.key_id, world.root_key)
    good = tuple(token for token in genuine if _in_force(world, token))
    if not good:
        raise ApiError(401, "token validation error")
    return Principal(good)


def listed(world: World, candidates: list[Token]) -> list[Token]:
    """Those that a list shows by now."""
    lag = timedelta(seconds=world.switches.list_lag_seconds)
    return [token for token in candidates if token.created_at + lag <= world.now()]


def shown_revoked_at(world: World, token: Token) -> datetime | None:
    """When a list says that the token was revoked."""
    lag = timedelta(seconds=world.switches.list_lag_seconds)
    if token.revoked_at is None or token.revoked_at + lag > world.now():
        return None
    return token.revoked_at
