"""Proofs over the audit log's tree, made of the nodes that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rotator.domain.audit_proof import ConsistencyProof, InclusionProof
from rotator.domain.errors import InputError, NeedsHuman
from rotator.domain.events import LogRow, leaf_bytes
from rotator.domain.merkle import (
    Node,
    complete_root,
    consistency_ranges,
    cover,
    folded,
    inclusion_ranges,
)
from rotator.domain.note import VerifierKey, parse_checkpoint
from rotator.domain.ports import Signer, Store, Unit

KEPT_LEVELS: Final = 8
NO_CHECKPOINT: Final = (
    "no checkpoint covers that yet: a daemon signs one every 10 minutes, "
    "`rotator audit checkpoint` does it now"
)


async def node_hash_of(unit: Unit, node: Node) -> bytes:
    """The hash of a complete subtree, from the nodes of the kept level at or below it."""
    level = node.level // KEPT_LEVELS * KEPT_LEVELS
    above = node.level - level
    first = node.position << above
    kept = await unit.tree_hashes(level, first, first + (1 << above) - 1)
    if len(kept) != 1 << above:
        raise NeedsHuman(
            "the audit log's tree has lost nodes", next_step="`rotator audit verify` says where"
        )
    return complete_root([each for _, each in kept])


async def _path(unit: Unit, ranges: Sequence[tuple[int, int]]) -> tuple[bytes, ...]:
    path = []
    for start, end in ranges:
        path.append(folded([await node_hash_of(unit, node) for node in cover(start, end)]))
    return tuple(path)


async def prove_inclusion(
    store: Store, sequence: int, signer: Signer | None, *, archived: LogRow | None = None
) -> InclusionProof:
    """The proof that an event is in the log of the newest checkpoint, or of the first that is
    signed now where none covers it. `archived` is the row where an archive has it.

    Raises:
        InputError: there is no such event, or no checkpoint that covers it.
    """
    async with store.view() as unit:
        rows = [archived] if archived is not None else await unit.log_rows(sequence, sequence)
        if not rows:
            raise await _absent(unit, sequence)
        note = await _covering(unit, sequence)
        head, _ = parse_checkpoint(note)
        path = await _path(unit, inclusion_ranges(sequence - 1, head.size))
    key = VerifierKey(head.origin, signer.public_keys[0]) if signer is not None else None
    return InclusionProof(sequence, leaf_bytes(rows[0]), path, note, str(key) if key else "")


async def _absent(unit: Unit, sequence: int) -> InputError:
    for archive in await unit.archives():
        if archive.first <= sequence <= archive.last:
            return InputError(
                f"event {sequence} was archived in {archive.file}",
                next_step="give that file with --archive",
            )
    size = (await unit.log_head()).size
    return InputError(f"there is no event {sequence}: the log has {size}")


async def _covering(unit: Unit, sequence: int) -> str:
    newest = await unit.newest_checkpoint()
    if newest is None or newest.note is None or newest.sequence < sequence:
        raise InputError(NO_CHECKPOINT)
    return newest.note


async def prove_consistency(
    store: Store, old: str | int, new: str | int | None, signer: Signer | None
) -> ConsistencyProof:
    """The proof that the log of one checkpoint is the beginning of that of another. Checkpoints are
    given as notes, or as sizes at which one stands in the database; `new` is the newest if None.

    Raises:
        InputError: there is no such checkpoint, or they are of other logs or the wrong way round.
    """
    async with store.view() as unit:
        older, newer = await _note_of(unit, old), await _note_of(unit, new)
        (first, _), (second, _) = parse_checkpoint(older), parse_checkpoint(newer)
        head = await unit.log_head()
        if {first.origin, second.origin} != {head.origin}:
            raise InputError(f"these checkpoints are not both of this log, {head.origin}")
        if not 0 < first.size <= second.size <= head.size:
            raise InputError(
                f"there is no proof from {first.size} to {second.size} events: "
                f"give the older one first; this log has {head.size}"
            )
        path = await _path(unit, consistency_ranges(first.size, second.size))
    key = VerifierKey(head.origin, signer.public_keys[0]) if signer is not None else None
    return ConsistencyProof(older, newer, path, str(key) if key else "")


async def _note_of(unit: Unit, wanted: str | int | None) -> str:
    if isinstance(wanted, str):
        return wanted
    if wanted is None:
        newest = await unit.newest_checkpoint()
        if newest is None or newest.note is None:
            raise InputError(NO_CHECKPOINT)
        return newest.note
    found = await unit.checkpoints(after=wanted - 1, limit=1)
    if not found or found[0].sequence != wanted or found[0].note is None:
        raise InputError(
            f"no checkpoint stands at event {wanted}",
            next_step="`rotator audit checkpoint --all` lists them",
        )
    return found[0].note
