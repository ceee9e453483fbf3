"""Hold a signed checkpoint against what was found in the log."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rotator.domain.note import Note, TreeHead, VerifierKey, parse_checkpoint
from rotator.domain.ports import Checkpoint


class Problem(Enum):
    """What is wrong with a checkpoint of the database."""

    UNKNOWN_KEY = auto()
    EDITED = auto()
    REWRITTEN = auto()


@dataclass(frozen=True)
class Outside:
    """A checkpoint that was kept elsewhere. `where` says from where it comes."""

    where: str
    head: TreeHead
    note: Note

    @property
    def size(self) -> int:
        """How many events there were."""
        return self.head.size


def first_message(sequence: int, head: str) -> bytes:
    """What the signature of a checkpoint without a note is over."""
    return f"rotator audit checkpoint\n{sequence}\n{head}\n".encode()


def first_key_id(public_key: bytes) -> str:
    """How checkpoints without a note name their key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def problem_of(
    checkpoint: Checkpoint,
    origin: str,
    root: bytes,
    chain: str | None,
    keys: Sequence[VerifierKey],
) -> Problem | None:
    """What is wrong with a checkpoint where the log has this root and this hash (None where its
    rows are in an archive)."""
    if checkpoint.note is None:
        return _first_problem(checkpoint, chain, keys)
    try:
        head, note = parse_checkpoint(checkpoint.note)
    except ValueError:
        return Problem.EDITED
    signed = note.is_signed_by(keys)
    if signed is False or (head.size, head.origin) != (checkpoint.sequence, origin):
        return Problem.EDITED
    if head.root != root:
        # Without its key nobody can tell whether the log was changed, or the checkpoint.
        return Problem.REWRITTEN if signed or not keys else Problem.EDITED
    return None if signed else Problem.UNKNOWN_KEY


def _first_problem(
    checkpoint: Checkpoint, chain: str | None, keys: Sequence[VerifierKey]
) -> Problem | None:
    if chain is not None and checkpoint.hash != chain:
        return Problem.REWRITTEN
    known = [key for key in keys if first_key_id(key.public_key) == checkpoint.key_id]
    if not known:
        return Problem.UNKNOWN_KEY
    try:
        signature = base64.b64decode(checkpoint.signature, validate=True)
    except binascii.Error:
        return Problem.EDITED
    message = first_message(checkpoint.sequence, checkpoint.hash)
    return None if known[0].accepts(message, signature) else Problem.EDITED
