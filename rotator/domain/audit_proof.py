"""Proofs as files: all that is needed to check them without a database, settings or rotator.

A proof of inclusion says: this event is number N of the log that this checkpoint signed. A proof of
consistency says: the log of the older checkpoint is the beginning of that of the newer one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.events import LEAF_COLUMNS
from rotator.domain.merkle import HASH_BYTES, is_consistent, leaf_hash, root_from_inclusion
from rotator.domain.note import TreeHead, VerifierKey, parse_checkpoint

FORMAT: Final = "rotator-audit-proof/1"
MAX_BYTES: Final = 4_000_000
_MAX_PATH: Final = 128


@dataclass(frozen=True)
class InclusionProof:
    """An event's leaf bytes, the hashes beside its way to the root, and the signed root. `key` is
    only a hint: whoever checks has to know the log's key from elsewhere."""

    sequence: int
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: str
    key: str

    def to_json(self) -> str:
        """The file."""
        told = {
            "format": FORMAT,
            "proves": "inclusion",
            "sequence": self.sequence,
            "event": event_of(self.leaf),
            "leaf": self.leaf.decode(),
            "hashes": _encoded(self.path),
            "checkpoint": self.checkpoint,
            "key": self.key,
        }
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class ConsistencyProof:
    """Two signed roots and the hashes that lead from one to the other."""

    old: str
    new: str
    path: tuple[bytes, ...]
    key: str

    def to_json(self) -> str:
        """The file."""
        told = {
            "format": FORMAT,
            "proves": "consistency",
            "old": self.old,
            "new": self.new,
            "hashes": _encoded(self.path),
            "key": self.key,
        }
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Proven:
    """What a proof shows. `trusted` says whether the key came from who checks, or from the proof
    itself."""

    statement: str
    head: TreeHead
    key: str
    trusted: bool
    event: Mapping[str, object] | None = None


def event_of(leaf: bytes) -> Mapping[str, object]:
    """An event's leaf bytes as named fields.

    Raises:
        ValueError: they are none of an event.
    """
    told = json.loads(leaf)
    if isinstance(told, dict):
        return told
    if not isinstance(told, list) or len(told) != len(LEAF_COLUMNS):
        raise ValueError("not an event's columns")
    named: dict[str, object] = dict(zip(LEAF_COLUMNS, told, strict=True))
    return named | {"detail": json.loads(str(named["detail"]))}


def check_proof(text: str, keys: Sequence[VerifierKey], where: str) -> Proven:
    """Check a proof.

    Raises:
        InputError: it is no proof of ours.
        NeedsHuman: it does not hold; the message says why.
    """
    told = _read(text, where)
    try:
        if told["proves"] == "inclusion":
            return _check_inclusion(told, keys)
        if told["proves"] == "consistency":
            return _check_consistency(told, keys)
    except (KeyError, ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise InputError(f"the proof is malformed ({error})", where=where) from None
    raise InputError("it proves nothing that is known here", where=where)


def _read(text: str, where: str) -> dict[str, object]:
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InputError(
            f"that is no proof in the format {FORMAT}",
            where=where,
            next_step="`rotator audit prove` writes one",
        )
    return told


def _check_inclusion(told: Mapping[str, object], keys: Sequence[VerifierKey]) -> Proven:
    sequence, leaf = told["sequence"], str(told["leaf"]).encode()
    if not isinstance(sequence, int):
        raise ValueError("sequence")
    head, key, trusted = _signed(str(told["checkpoint"]), told, keys)
    root = root_from_inclusion(leaf_hash(leaf), sequence - 1, head.size, _decoded(told))
    if root is None or root != head.root:
        raise NeedsHuman(
            f"the proof does not hold: this is not event {sequence} of the log that was signed"
        )
    event = event_of(leaf)
    if event != told.get("event", event):
        raise NeedsHuman("the proof's readable event is not the one that it proves")
    statement = f"event {sequence} is in the log {head.origin} of {head.size} events"
    return Proven(statement, head, key, trusted, event)


def _check_consistency(told: Mapping[str, object], keys: Sequence[VerifierKey]) -> Proven:
    old, _, _ = _signed(str(told["old"]), told, keys)
    new, key, trusted = _signed(str(told["new"]), told, keys)
    path = _decoded(told)
    same = old.origin == new.origin
    if not same or not is_consistent(old.size, old.root, new.size, new.root, path):
        raise NeedsHuman(
            f"the proof does not hold: the log of {old.size} events is not shown to be "
            f"the beginning of that of {new.size}"
        )
    statement = f"the log {new.origin} of {old.size} events is the beginning of that of {new.size}"
    return Proven(statement, new, key, trusted)


def _signed(
    checkpoint: str, told: Mapping[str, object], keys: Sequence[VerifierKey]
) -> tuple[TreeHead, str, bool]:
    """The checkpoint, once a key is seen to have signed it."""
    head, note = parse_checkpoint(checkpoint)
    hint = str(told.get("key") or "")
    if not keys and not hint:
        raise InputError("the proof names no key", where="--key", next_step="give the log's key")
    used = keys or [VerifierKey.parse(hint, where="the proof's key")]
    if not note.is_signed_by(used):
        raise NeedsHuman(
            f"the checkpoint of {head.size} events is not signed by "
            f"{'the key that was given' if keys else 'the key in the proof'}"
        )
    names = {(line.name, line.key_id) for line in note.signatures}
    signer = next(key for key in used if (key.name, key.id) in names)
    return head, str(signer), bool(keys)


def _encoded(path: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in path]


def _decoded(told: Mapping[str, object]) -> list[bytes]:
    hashes = told["hashes"]
    if not isinstance(hashes, list) or len(hashes) > _MAX_PATH:
        raise ValueError("hashes")
    path = [base64.b64decode(str(each), validate=True) for each in hashes]
    if any(len(each) != HASH_BYTES for each in path):
        raise ValueError("a hash of the wrong length")
    return path
