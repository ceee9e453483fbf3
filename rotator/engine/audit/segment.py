"""Verify one segment of the log: every row's hash and link, every leaf, every kept subtree.

Segments are verified on their own, in any order and by several processes; what each gives back is
enough to put the tree together and to hold it against checkpoints. The loop over the rows works on
plain tuples: it runs a million times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from operator import itemgetter
from typing import Final

import orjson

from rotator.domain.events import (
    GENESIS,
    LEAF_STARTS,
    ROW_COLUMNS,
    LeafRow,
    LogRow,
    chained,
    leaf_bytes,
    leaf_of,
)
from rotator.domain.merkle import Frontier, complete_root, leaf_hash
from rotator.domain.ports import Store, Unit

BLOCK: Final = 256
BLOCK_LEVEL: Final = 8
PAGE: Final = 16 * BLOCK
TREE: Final = "tree"
SEARCH: Final = "search"
TIME_AT: Final = ROW_COLUMNS.index("at")
KIND_AT: Final = ROW_COLUMNS.index("actor_kind")
Nodes = Sequence[tuple[int, bytes]]
_ACTOR: Final[Callable[[LeafRow], tuple[str, str]]] = itemgetter(6, 7)


@dataclass(frozen=True)
class Segment:
    """Events `first` to `last`, where `first` - 1 is a multiple of 256. Of those up to `archived`
    the rows are in a file, and only the tree is walked; `previous` is the chain's hash behind them.
    `sizes` are those at which the tree is wanted too."""

    first: int
    last: int
    sizes: tuple[int, ...] = ()
    archived: int = 0
    previous: str = ""


@dataclass
class Walked:
    """What was found. `bad` is the first place that does not hold, `before` the chain's hash in
    front of it; `bad_part` names what beside the events does not hold from there on; `nodes` make
    up the segment's part of the tree, `at` the part up to some size."""

    segment: Segment
    before: str
    nodes: Nodes = ()
    at: dict[int, Nodes] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    actors: set[tuple[str, str]] = field(default_factory=set)
    bad: int | None = None
    bad_part: str | None = None


async def walk_segment(store: Store, segment: Segment) -> Walked:
    """Verify a segment, a page at a time."""
    async with store.view() as unit:
        found = Walked(segment, await _hash_before(unit, segment))
        frontier = Frontier(start=segment.first - 1)
        for first in range(segment.first, segment.last + 1, PAGE):
            last = min(first + PAGE - 1, segment.last)
            kept = [each for _, each in await unit.tree_hashes(0, first - 1, last - 1)]
            leaves = await _page_of_leaves(unit, first, last, kept, found)
            if found.bad is not None:
                return found
            blocks = await unit.tree_hashes(BLOCK_LEVEL, (first - 1) // BLOCK, last // BLOCK - 1)
            if not _grow(frontier, leaves, [each for _, each in blocks], found):
                found.bad, found.bad_part = first, TREE
                return found
    found.nodes = frontier.nodes
    return found


async def _page_of_leaves(
    unit: Unit, first: int, last: int, kept: Sequence[bytes], found: Walked
) -> Sequence[bytes]:
    """The leaves of a page, as many as hold; sets `bad` where one does not."""
    gone = max(0, min(found.segment.archived, last) - first + 1)
    if not gone and (quick := await _quick_leaves(unit, first, last, kept, found)) is not None:
        return quick
    rows = await unit.log_rows(first, last)
    if gone:
        leftover = [row for row in rows if int(row[0] or 0) < first + gone]
        rows = rows[len(leftover) :]
        found.bad = _bad_leftover(leftover, first, kept)
        if found.bad is None and len(kept) < gone:
            found.bad, found.bad_part = first, TREE
        if found.bad is not None:
            return ()
    leaves = [*kept[:gone], *_leaves(rows, first + gone, last, kept[gone:], found)]
    times = await unit.block_times((first - 1) // BLOCK, last // BLOCK - 1)
    skipped = -(-gone // BLOCK)
    behind = rows[skipped * BLOCK - gone :]
    if found.bad is None and not _is_searchable(behind, times[skipped:], found):
        found.bad, found.bad_part = first, SEARCH
    return leaves


async def _quick_leaves(
    unit: Unit, first: int, last: int, kept: Sequence[bytes], found: Walked
) -> Sequence[bytes] | None:
    """The leaves of a page whose bytes the database makes, if all of it holds. None where it can't,
    or where anything is not as it should be: then the rows are looked at one by one."""
    rows = await unit.log_leaves(first, last)
    if rows is None or len(rows) != last - first + 1 or len(kept) != len(rows):
        return None
    leaves: list[bytes] = []
    hashes: dict[int, str] = {}
    before, expected, wanted = found.before, first, frozenset(found.segment.sizes)
    add = leaves.append
    try:
        raw = bytes.fromhex(before)
        for (number, previous, after, version, data, _, _, _), stored in zip(
            rows, kept, strict=True
        ):
            leaf = sha256(b"\x00" + data).digest()
            raw = sha256(raw + leaf).digest()
            if (
                number != expected
                or previous != before
                or version == 1
                or leaf != stored
                or raw.hex() != after
            ):
                return None
            add(leaf)
            before = after
            if expected in wanted:
                hashes[expected] = before
            expected += 1
    except (ValueError, TypeError):  # a row that no rotator wrote
        return None
    spans = await unit.block_times((first - 1) // BLOCK, last // BLOCK - 1)
    times = [row[5] for row in rows]
    full = [times[n * BLOCK : (n + 1) * BLOCK] for n in range(len(rows) // BLOCK)]
    if [(min(block), max(block)) for block in full] != [tuple(span) for span in spans]:
        return None
    found.before = before
    found.hashes.update(hashes)
    found.actors.update(map(_ACTOR, rows))
    return leaves


async def _hash_before(unit: Unit, segment: Segment) -> str:
    if segment.first <= segment.archived + 1 and segment.archived:
        return segment.previous
    if segment.first == 1:
        return GENESIS
    rows = await unit.log_rows(segment.first - 1, segment.first - 1)
    return str(rows[0][2]) if rows else ""


def _leaves(
    rows: Sequence[LogRow], first: int, last: int, kept: Sequence[bytes], found: Walked
) -> Sequence[bytes]:
    """The leaves of a page of rows, or as many as hold: number, link, hash, and the tree's leaf."""
    leaves: list[bytes] = []
    previous, expected, sizes = found.before, first, found.segment.sizes
    dumps, add, unhex = orjson.dumps, leaves.append, bytes.fromhex
    wanted = frozenset(sizes)
    try:
        for row, stored in zip(rows, kept, strict=False):
            if row[0] != expected or row[1] != previous:
                break
            if row[LEAF_STARTS] != 1:
                leaf = sha256(b"\x00" + dumps(row[LEAF_STARTS:])).digest()
                after = sha256(unhex(previous) + leaf).hexdigest()
            else:
                leaf, after = _first_version(row, previous)
            if after != row[2] or leaf != stored:
                break
            add(leaf)
            previous = after
            if expected in wanted:
                found.hashes[expected] = previous
            expected += 1
    except (ValueError, TypeError):  # a row that no rotator wrote
        pass
    found.before = previous
    if expected <= last:
        found.bad = expected
    return leaves


def _bad_leftover(rows: Sequence[LogRow], first: int, kept: Sequence[bytes]) -> int | None:
    """The first row in front of the end of an archive that is not what the tree holds. None of
    them should be there any more, but a deletion may have been interrupted."""
    for row in rows:
        number = int(row[0] or 0)
        if number - first >= len(kept) or leaf_of(row) != kept[number - first]:
            return number
    return None


def _is_searchable(rows: Sequence[LogRow], times: Sequence[tuple[int, int]], found: Walked) -> bool:
    """Whether the times that the search goes by are those of the rows; notes the actors."""
    found.actors.update((str(row[KIND_AT]), str(row[KIND_AT + 1])) for row in rows)
    for number, (first_at, last_at) in enumerate(times):
        block = [int(row[TIME_AT] or 0) for row in rows[number * BLOCK : (number + 1) * BLOCK]]
        if (min(block), max(block)) != (first_at, last_at):
            return False
    return len(times) == len(rows) // BLOCK


def _first_version(row: LogRow, previous: str) -> tuple[bytes, str]:
    data = leaf_bytes(row)
    return leaf_hash(data), chained(previous, row, data)


def _grow(
    frontier: Frontier, leaves: Sequence[bytes], blocks: Sequence[bytes], found: Walked
) -> bool:
    """Put a page's leaves into the tree; False where a kept subtree is not what they make."""
    start = frontier.size
    sizes = [size for size in found.segment.sizes if start < size <= start + len(leaves)]
    full = len(leaves) // BLOCK
    roots = [complete_root(leaves[n * BLOCK : (n + 1) * BLOCK]) for n in range(full)]
    if roots != list(blocks):
        return False
    for number, root in enumerate(roots):
        for size in (s for s in sizes if s - start < (number + 1) * BLOCK):
            if size - start > number * BLOCK:
                found.at[size] = _upto(frontier, leaves[number * BLOCK : size - start])
        frontier.push(BLOCK_LEVEL, root)
        if frontier.size in sizes:
            found.at[frontier.size] = frontier.nodes
    for size in (s for s in sizes if s > frontier.size):
        found.at[size] = _upto(frontier, leaves[full * BLOCK : size - start])
    for leaf in leaves[full * BLOCK :]:
        frontier.push(0, leaf)
    return True


def _upto(frontier: Frontier, leaves: Sequence[bytes]) -> Nodes:
    grown = frontier.copy()
    for leaf in leaves:
        grown.push(0, leaf)
    return grown.nodes
