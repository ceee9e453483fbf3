"""The Merkle tree over the audit log: hashing and proofs of RFC 6962, section 2.1.

A subtree is named by its level and position: level 0 holds the leaves, and the node at (level,
position) covers the leaves from `position << level` to `(position + 1) << level`. Only complete
subtrees have nodes; the right edge of a tree is a `Frontier` of at most 63 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf: SHA-256 over 0x00 and its bytes."""
    return sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256 over 0x01 and its two children."""
    return sha256(_NODE + left + right).digest()


def next_level(hashes: Sequence[bytes]) -> list[bytes]:
    """The parents of an even number of neighbours."""
    return [
        sha256(_NODE + left + right).digest()
        for left, right in zip(hashes[::2], hashes[1::2], strict=True)
    ]


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The node over neighbours whose number is a power of two."""
    level = hashes
    while len(level) > 1:
        level = next_level(level)
    return level[0]


@dataclass(frozen=True)
class Node:
    """The name of a complete subtree."""

    level: int
    position: int


class Frontier:
    """The complete subtrees that a tree of some size is made of, from left to right.

    It is all that is needed to append and to give the root, and takes log2(size) hashes. One that
    begins behind `start` leaves holds the subtrees of what follows, ready to be pushed to another.
    """

    def __init__(self, nodes: Sequence[tuple[int, bytes]] = (), *, start: int = 0) -> None:
        self._nodes = list(nodes)
        self._start = start
        self._end = start + sum(1 << level for level, _ in self._nodes)

    @classmethod
    def unpacked(cls, size: int, packed: bytes) -> Frontier:
        """From `packed()`; the size says which levels there are.

        Raises:
            ValueError: the bytes don't belong to a tree of that size.
        """
        levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
        if len(packed) != HASH_BYTES * len(levels):
            raise ValueError(f"{len(packed)} bytes are no frontier of a tree of {size}")
        starts = range(0, len(packed), HASH_BYTES)
        hashes = [packed[start : start + HASH_BYTES] for start in starts]
        return cls(list(zip(levels, hashes, strict=True)))

    def packed(self) -> bytes:
        """The hashes, one behind the other."""
        return b"".join(found for _, found in self._nodes)

    @property
    def nodes(self) -> Sequence[tuple[int, bytes]]:
        """Level and hash of each subtree, from left to right."""
        return tuple(self._nodes)

    @property
    def size(self) -> int:
        """How many leaves there are, those before `start` too."""
        return self._end

    def copy(self) -> Frontier:
        """One that grows on its own."""
        return Frontier(self._nodes, start=self._start)

    def push(self, level: int, found: bytes) -> Sequence[tuple[Node, bytes]]:
        """Append a complete subtree; gives the nodes above it that became complete.

        Raises:
            ValueError: the tree's size is no multiple of the subtree's.
        """
        if self._end & ((1 << level) - 1):
            raise ValueError(f"no subtree of level {level} fits behind {self._end} leaves")
        position = self._end >> level
        self._end += 1 << level
        completed = []
        while position & 1 and self._nodes and self._nodes[-1][0] == level:
            found = node_hash(self._nodes.pop()[1], found)
            level, position = level + 1, position >> 1
            completed.append((Node(level, position), found))
        self._nodes.append((level, found))
        return completed

    def root(self) -> bytes:
        """The tree's root hash."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1][1]
        for _, left in reversed(self._nodes[:-1]):
            root = node_hash(left, root)
        return root


def cover(start: int, end: int) -> Sequence[Node]:
    """The complete subtrees that make up the leaves of a range, from left to right.

    `start` has to be a multiple of the largest power of two that is not above the range's length,
    which holds for all ranges of proofs.
    """
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def folded(hashes: Sequence[bytes]) -> bytes:
    """The hash over the subtrees that `cover` named."""
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> Sequence[tuple[int, int]]:
    """The ranges whose hashes prove that a leaf is in the tree (PATH of section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has none at {index}")
    ranges: list[tuple[int, int]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> Sequence[tuple[int, int]]:
    """The ranges whose hashes prove that a tree is the beginning of another (section 2.1.2)."""
    if not 0 < old <= new:
        raise ValueError(f"there is no proof from {old} to {new} leaves")
    ranges: list[tuple[int, int]] = []
    start, end, whole = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to; None where its length is wrong."""
    ranges = inclusion_ranges(index, size) if 0 <= index < size else None
    if ranges is None or len(ranges) != len(path):
        return None
    result = leaf
    for (start, _), beside in zip(ranges, path, strict=True):
        result = node_hash(result, beside) if start > index else node_hash(beside, result)
    return result


def is_consistent(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether a proof shows that the tree of `old` leaves is the beginning of that of `new`."""
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    if not 0 < old < new:
        return False
    ranges = list(consistency_ranges(old, new))
    if len(ranges) != len(path):
        return False
    known = dict(zip(ranges, path, strict=True))
    return (
        _root_over(0, old, new, known, old_root, of_new=False) == old_root
        and _root_over(0, old, new, known, old_root, of_new=True) == new_root
    )


def _root_over(
    start: int,
    old: int,
    end: int,
    known: dict[tuple[int, int], bytes],
    old_root: bytes,
    *,
    of_new: bool,
) -> bytes:
    """The hash of a range that `old` lies in, with or without what came after it."""
    if end == old:
        return known.get((start, end), old_root)
    middle = start + _split(end - start)
    if old <= middle:
        left = _root_over(start, old, middle, known, old_root, of_new=of_new)
        return node_hash(left, known[middle, end]) if of_new else left
    right = _root_over(middle, old, end, known, old_root, of_new=of_new)
    return node_hash(known[start, middle], right)
