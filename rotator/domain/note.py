"""Signed notes and the checkpoints in them, as C2SP describes them (c2sp.org/signed-note and
c2sp.org/tlog-checkpoint): text that tools other than ours can check.

    rotator/6f1c9a…           the log's origin, which is the key's name too
    20852163                  how many events it has
    CsUYapGGPo4d…             root of the Merkle tree over them

    — rotator/6f1c9a… Az3grl…
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rotator.domain.errors import InputError
from rotator.domain.merkle import HASH_BYTES

ED25519: Final = b"\x01"
"""The type of a signature, from the list in c2sp.org/signed-note."""
MAX_NOTE_BYTES: Final = 1_000_000
_DASH: Final = "— "
_ID_BYTES: Final = 4
_PUBLIC_KEY_BYTES: Final = 32
Sign = Callable[[bytes], bytes]


def key_hash(name: str, public_key: bytes) -> bytes:
    """The id of a key: four bytes of SHA-256 over its name and itself."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public_key).digest()[:_ID_BYTES]


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name. As text: `name+hash+key`, the form of Go's sumdb/note."""

    name: str
    public_key: bytes

    @property
    def id(self) -> bytes:
        """What signatures name it by."""
        return key_hash(self.name, self.public_key)

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str, *, where: str = "--key") -> VerifierKey:
        """From its text.

        Raises:
            InputError: it is no key, or none for Ed25519.
        """
        bad = InputError(
            "that is no verifier key",
            where=where,
            next_step="`rotator audit key` prints one: name+hash+key",
        )
        name, plus, rest = text.strip().partition("+")
        named, other_plus, encoded = rest.partition("+")
        if not (name and plus and other_plus) or _has_space(name):
            raise bad
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise bad from None
        if len(raw) != 1 + _PUBLIC_KEY_BYTES or raw[:1] != ED25519:
            raise bad
        key = cls(name, raw[1:])
        if key.id.hex() != named:
            raise bad
        return key

    def accepts(self, text: bytes, signature: bytes) -> bool:
        """Whether the key made a signature of a text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class Note:
    """A text with its signatures. Nothing in it counts before `is_signed_by`."""

    text: str
    signatures: tuple[Signature, ...]

    def is_signed_by(self, keys: Sequence[VerifierKey]) -> bool | None:
        """Whether one of these keys signed it; None where all its signatures are of others.

        A signature of a known key that does not hold spoils the whole note.
        """
        known = {(key.name, key.id): key for key in keys}
        found = None
        for line in self.signatures:
            key = known.get((line.name, line.key_id))
            if key is None:
                continue
            if not key.accepts(self.text.encode(), line.signature):
                return False
            found = True
        return found


def signed_note(text: str, key: VerifierKey, sign: Sign) -> str:
    """A note: the text (which ends with a newline), an empty line, one signature line."""
    signature = base64.b64encode(key.id + sign(text.encode())).decode()
    return f"{text}\n{_DASH}{key.name} {signature}\n"


def parse_note(note: str) -> Note:
    """Take a note apart.

    Raises:
        ValueError: it is none.
    """
    if len(note) > MAX_NOTE_BYTES or any(c < " " and c != "\n" for c in note):
        raise ValueError("too long, or with control characters")
    text, gap, tail = note.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise ValueError("no signature lines")
    return Note(text + "\n", tuple(_signature(line) for line in tail[:-1].split("\n")))


def _signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not name or "+" in name or _has_space(name):
        raise ValueError("a signature line is malformed")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("a signature is no base64") from None
    if len(raw) <= _ID_BYTES:
        raise ValueError("a signature is too short")
    return Signature(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


def _has_space(name: str) -> bool:
    return any(character.isspace() for character in name)


@dataclass(frozen=True)
class TreeHead:
    """What a checkpoint says: the log of this origin had this size and this root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> TreeHead:
        """From a note's text.

        Raises:
            ValueError: it is no checkpoint.
        """
        lines = text.split("\n")
        if len(lines) < 4 or not all(lines[:-1]):
            raise ValueError("a checkpoint has three lines or more, none of them empty")
        origin, size, encoded = lines[:3]
        if not (size.isascii() and size.isdigit()) or str(int(size)) != size:
            raise ValueError("the size is no number")
        try:
            root = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise ValueError("the root is no base64") from None
        if len(root) != HASH_BYTES:
            raise ValueError("the root is no SHA-256 hash")
        return cls(origin, int(size), root)


def parse_checkpoint(note: str) -> tuple[TreeHead, Note]:
    """A checkpoint with its signatures, which are still to be looked at.

    Raises:
        ValueError: it is none.
    """
    parsed = parse_note(note)
    return TreeHead.parse(parsed.text), parsed


def split_notes(text: str) -> Sequence[str]:
    """The notes of a file that several checkpoints were appended to."""
    notes: list[str] = []
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and lines[-1].startswith(_DASH) and not line.startswith(_DASH):
            notes.append("\n".join(lines) + "\n")
            lines = []
        if line or lines:
            lines.append(line)
    if lines:
        notes.append("\n".join(lines) + "\n")
    return notes
