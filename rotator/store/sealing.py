"""Envelope encryption of values, and the key that signs checkpoints.

Each value has a fresh data key (AES-256-GCM); the data key is wrapped by a key-encryption key.
The version's id is authenticated with both, so that a sealed value can't be moved to another row.

    sealed = 1 | id length | key id | wrap nonce 12 | wrapped key 48 | nonce 12 | ciphertext + tag
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.secret import Secret

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_WRAPPED_BYTES: Final = KEY_BYTES + 16
_FORMAT: Final = 1
_HOW: Final = (
    "set ROTATOR_KEYS to a key of 32 random bytes as base64; `rotator init` prints a fresh one"
)
RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class KeyEncryptionKey:
    """One key and its public id."""

    id: str
    key: bytes = field(repr=False)


def new_key(random_bytes: RandomBytes) -> str:
    """A fresh key-encryption key as the text that ROTATOR_KEYS takes."""
    return base64.b64encode(random_bytes(KEY_BYTES)).decode()


def _parse_key(text: str, number: int) -> KeyEncryptionKey:
    name, _, encoded = text.strip().rpartition(":")
    try:
        key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            f"key {number} is not base64", where="ROTATOR_KEYS", next_step=_HOW
        ) from None
    if len(key) != KEY_BYTES:
        raise InputError(
            f"key {number} has {len(key)} bytes instead of 32", where="ROTATOR_KEYS", next_step=_HOW
        )
    derived = hashlib.sha256(b"rotator key id\0" + key).hexdigest()[:8]
    if len(name) > 32:
        raise InputError(f"the name of key {number} is too long", where="ROTATOR_KEYS")
    return KeyEncryptionKey(name or derived, key)


class KeyRing:
    """The key-encryption keys: the first one seals, all of them open.

    Raises:
        InputError: no key, or one that is not 32 bytes of base64.
    """

    def __init__(self, keys: Sequence[Secret], random_bytes: RandomBytes) -> None:
        if not keys:
            raise InputError("no key-encryption key is set", where="ROTATOR_KEYS", next_step=_HOW)
        parsed = [_parse_key(key.reveal(), n) for n, key in enumerate(keys, start=1)]
        self._keys = {key.id: key for key in parsed}
        self._first = parsed[0]
        self._random = random_bytes

    @property
    def first_id(self) -> str:
        """Id of the key that seals."""
        return self._first.id

    def seal(self, subject: str, value: Secret) -> bytes:
        """Encrypt a value for the row `subject`."""
        data_key = self._random(KEY_BYTES)
        wrap_nonce, nonce = self._random(_NONCE_BYTES), self._random(_NONCE_BYTES)
        about = subject.encode()
        wrapped = AESGCM(self._first.key).encrypt(wrap_nonce, data_key, about)
        sealed = AESGCM(data_key).encrypt(nonce, value.reveal().encode(), about)
        return self.first_prefix + wrap_nonce + wrapped + nonce + sealed

    @property
    def ids(self) -> Sequence[str]:
        """Ids of all keys, the one that seals first."""
        return [self._first.id, *(key.id for key in self._others())]

    @property
    def first_prefix(self) -> bytes:
        """How everything begins that the first key has sealed."""
        name = self._first.id.encode()
        return bytes([_FORMAT, len(name)]) + name

    def rewrap(self, subject: str, sealed: bytes) -> bytes:
        """The same sealed value with its data key wrapped by the first key. The value itself stays
        encrypted as it is.

        Raises:
            NeedsHuman: as `open` does.
        """
        data_key, body = self._data_key(subject, sealed)
        wrap_nonce = self._random(_NONCE_BYTES)
        wrapped = AESGCM(self._first.key).encrypt(wrap_nonce, data_key, subject.encode())
        return self.first_prefix + wrap_nonce + wrapped + sealed[body:]

    def open(self, subject: str, sealed: bytes) -> Secret:
        """Decrypt what `seal` made.

        Raises:
            NeedsHuman: the key that sealed it is not in the ring, or the bytes were tampered with.
        """
        data_key, at = self._data_key(subject, sealed)
        body = at + _NONCE_BYTES
        try:
            opened = AESGCM(data_key).decrypt(sealed[at:body], sealed[body:], subject.encode())
            return Secret(opened.decode())
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise _does_not_open(key_id(sealed)) from None

    def _data_key(self, subject: str, sealed: bytes) -> tuple[bytes, int]:
        """The key of the value, and where the value itself begins."""
        if len(sealed) < 2 or sealed[0] != _FORMAT:
            raise NeedsHuman("a sealed value has an unknown format")
        start = 2 + sealed[1]
        name = sealed[2:start].decode(errors="replace")
        key = self._keys.get(name)
        if key is None:
            raise NeedsHuman(
                f"a value is sealed under the key {name}, which is not in ROTATOR_KEYS",
                next_step="add that key behind the present one, separated by a comma",
            )
        wrap_end = start + _NONCE_BYTES + _WRAPPED_BYTES
        nonce, wrapped = (
            sealed[start : start + _NONCE_BYTES],
            sealed[start + _NONCE_BYTES : wrap_end],
        )
        try:
            return AESGCM(key.key).decrypt(nonce, wrapped, subject.encode()), wrap_end
        except (InvalidTag, ValueError):
            raise _does_not_open(name) from None

    def signing_keys(self) -> Sequence[Ed25519PrivateKey]:
        """The checkpoint keys, the first key's first: HKDF-SHA256 (RFC 5869) of each key."""
        return [_signing_key(self._first), *map(_signing_key, self._others())]

    def _others(self) -> Sequence[KeyEncryptionKey]:
        return [key for key in self._keys.values() if key.id != self._first.id]


def key_id(sealed: bytes) -> str:
    """Id of the key that a sealed value is under."""
    return sealed[2 : 2 + sealed[1]].decode(errors="replace") if len(sealed) > 1 else ""


def _does_not_open(name: str) -> NeedsHuman:
    return NeedsHuman(
        f"the key {name} in ROTATOR_KEYS does not open the values in this database",
        next_step="restore the key that this database was used with",
    )


def _signing_key(key: KeyEncryptionKey) -> Ed25519PrivateKey:
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"rotator checkpoint key v1")
    return Ed25519PrivateKey.from_private_bytes(derived.derive(key.key))


class CheckpointSigner:
    """Signs checkpoints of the audit log with Ed25519."""

    def __init__(self, ring: KeyRing) -> None:
        keys = ring.signing_keys()
        self._key = keys[0]
        self.public_keys: Sequence[bytes] = tuple(
            key.public_key().public_bytes_raw() for key in keys
        )

    def sign(self, message: bytes) -> bytes:
        """A signature by the first key."""
        return self._key.sign(message)
