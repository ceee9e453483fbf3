"""Whether a request to a hook was signed by one of the hook's secrets. Constant work, whoever asks.

Every request costs exactly `MOST_SECRETS` HMACs over what it sent, also for a hook that does not
exist and for one with fewer secrets, and all comparisons take constant time: neither time nor work
tells which hooks there are.

Formats: GitHub signs the body (`sha256=` and hex, GitHub's "Validating webhook deliveries");
Standard Webhooks 1.0.0 signs `ID.TIME.BODY` with the bytes that a `whsec_` secret encodes, and
sends `v1,BASE64`, several of them apart by spaces; `x-fly-signature` is hex over the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rotator.domain.errors import InputError
from rotator.domain.hook import MOST_SECRETS, Hook, HookFormat, HookSpec, RequestOutcome
from rotator.domain.secret import Secret

Mac = Callable[[bytes, bytes], bytes]
DIGEST_BYTES: Final = 32
LEAST_KEY_BYTES: Final = 16
"""Of a secret that is a text; GitHub and others leave the length to people."""
STANDARD_BYTES: Final = range(24, 65)
"""Of a Standard Webhooks secret: 192 to 512 bits."""
MOST_SIGNATURES: Final = 8
ID_MAX: Final = 256
_PREFIX: Final = "whsec_"
_DECOY_KEY: Final = b"\0" * DIGEST_BYTES
_SEEN: Final = b"rotator/hook-delivery/1\0"


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104)."""
    return hmac.digest(key, data, hashlib.sha256)


@dataclass(frozen=True)
class Verified:
    """What is known of a request once it is proven: the sender's id of it (None where it sends
    none), and what was signed, under each of the hook's secrets; the one that fits first."""

    id: str | None
    digests: tuple[str, ...]


@dataclass(frozen=True)
class _Signed:
    """What a format says was signed, what names a repeat of it, and when it was signed."""

    content: bytes
    repeated: bytes
    id: str | None
    at: datetime | None


def verify(
    hook: Hook | None,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    mac: Mac = hmac_sha256,
) -> Verified | RequestOutcome:
    """Hold a request against the secrets of its hook, None being one that does not exist."""
    spec = hook.spec if hook is not None else None
    keys = hook.keys if hook is not None else ()
    signed = _signed(spec, headers, body)
    offered = _offered(spec, headers) if spec is not None else ()
    fitting: int | None = None
    for number, key in enumerate((*keys, *[_DECOY_KEY] * MOST_SECRETS)[:MOST_SECRETS]):
        made = mac(key, signed.content)
        equal = [hmac.compare_digest(made, each) for each in offered or (bytes(DIGEST_BYTES),)]
        if any(equal) and offered and number < len(keys) and fitting is None:
            fitting = number
    if spec is None:
        return RequestOutcome.UNKNOWN_HOOK
    if fitting is None:
        return RequestOutcome.WRONG_SIGNATURE
    if signed.at is not None and abs(now - signed.at) > spec.tolerance:
        return RequestOutcome.STALE
    ordered = (keys[fitting], *keys[:fitting], *keys[fitting + 1 :])
    return Verified(signed.id, tuple(mac(key, _SEEN + signed.repeated).hex() for key in ordered))


def _signed(spec: HookSpec | None, headers: Mapping[str, str], body: bytes) -> _Signed:
    if spec is None:
        return _Signed(body, body, None, None)
    if spec.format is HookFormat.STANDARD:
        sent_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        content = f"{sent_id}.{sent_at}.".encode("latin-1") + body
        repeated = f"{sent_id}.".encode("latin-1") + body
        return _Signed(content, repeated, sent_id, _instant(sent_at))
    own_id = headers.get("x-github-delivery") if spec.format is HookFormat.GITHUB else None
    if spec.timestamp_header is None:
        return _Signed(body, body, own_id, None)
    sent_at = headers.get(spec.timestamp_header, "")
    content = f"{sent_at}.".encode("latin-1") + body
    return _Signed(content, content, own_id, _instant(sent_at))


def _instant(text: str) -> datetime:
    """Unix seconds; what is none is as old as can be."""
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return datetime.min.replace(tzinfo=UTC)
    return datetime.fromtimestamp(int(text), UTC)


def _offered(spec: HookSpec, headers: Mapping[str, str]) -> Sequence[bytes]:
    """The signatures that a request came with, as far as they can be any."""
    text = headers.get(spec.header, "")
    if spec.format is HookFormat.STANDARD:
        parts = text.split(" ")[:MOST_SIGNATURES]
        found = [_base64(part[3:]) for part in parts if part.startswith("v1,")]
    elif spec.format is HookFormat.GITHUB:
        found = [_hex(text.removeprefix("sha256="))] if text.startswith("sha256=") else []
    elif spec.format is HookFormat.BASE64:
        found = [_base64(text.removeprefix("sha256="))]
    else:
        found = [_hex(text.removeprefix("sha256="))]
    return [each for each in found if len(each) == DIGEST_BYTES]


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return b""


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def hook_of(spec: HookSpec, secrets: Sequence[Secret]) -> Hook:
    """A hook with its secrets as keys.

    Raises:
        InputError: no secret, too many, or one that is too short or of the wrong form.
    """
    where = spec.secrets_env
    if not secrets:
        raise InputError(f"the hook {spec.name} has no secret", where=where, next_step=_how(spec))
    if len(secrets) > MOST_SECRETS:
        raise InputError(f"a hook has at most {MOST_SECRETS} secrets", where=where)
    return Hook(spec, tuple(_key(spec, secret, n) for n, secret in enumerate(secrets, start=1)))


def _key(spec: HookSpec, secret: Secret, number: int) -> bytes:
    text, where = secret.reveal(), spec.secrets_env
    if spec.format is not HookFormat.STANDARD:
        if len(text.encode()) < LEAST_KEY_BYTES:
            told = f"secret {number} is shorter than {LEAST_KEY_BYTES} bytes"
            raise InputError(told, where=where, next_step=_how(spec))
        return text.encode()
    key = _base64(text.removeprefix(_PREFIX))
    if len(key) not in STANDARD_BYTES:
        told = f"secret {number} is not 24 to 64 bytes as base64"
        raise InputError(told, where=where, next_step=_how(spec))
    return key


def _how(spec: HookSpec) -> str:
    standard = spec.format is HookFormat.STANDARD
    form = "echo whsec_$(openssl rand -base64 32)" if standard else "openssl rand -hex 32"
    return f"make one: {form}"
