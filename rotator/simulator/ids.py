"""Identifiers in the shapes that Fly uses, from the world's own randomness."""

from __future__ import annotations

import base64
import random
from datetime import datetime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(rng: random.Random, at: datetime) -> str:
    """A 26-character ULID of the instant: instances, events, requests."""
    number = (int(at.timestamp() * 1000) << 80) | rng.getrandbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def machine_id(rng: random.Random) -> str:
    """14 hexadecimal digits."""
    return f"{rng.getrandbits(56):014x}"


def node_id(rng: random.Random) -> str:
    """An opaque GraphQL id."""
    return base64.urlsafe_b64encode(rng.randbytes(15)).decode("ascii")


def lease_nonce(rng: random.Random) -> str:
    """12 hexadecimal digits."""
    return f"{rng.getrandbits(48):012x}"


def public_key(rng: random.Random) -> str:
    """32 random bytes in base64, as a WireGuard key is written."""
    return base64.b64encode(rng.randbytes(32)).decode("ascii")


def rfc3339(at: datetime) -> str:
    """An instant as Fly writes it: UTC, whole seconds, Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
