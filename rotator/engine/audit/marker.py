"""How far the log was found whole, so that the next verification can go on from there.

The marker stands in the database, so it is signed like a checkpoint: whoever owns the database but
not the keys can take it away or put an older one back, which makes the next walk longer. What a
walk from the marker on does not see is a change of older events after they were verified: that is
what a whole verification is for.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rotator.domain.merkle import Frontier
from rotator.domain.note import VerifierKey, parse_note, signed_note
from rotator.domain.ports import LogCursor, Signer, Store

NAME: Final = "verified"


@dataclass(frozen=True)
class Marker:
    """The log was whole up to this size, with this hash of the chain and this edge of the tree."""

    size: int
    hash: str
    frontier: bytes

    def text(self, origin: str) -> str:
        """The lines that are signed."""
        frontier = base64.b64encode(self.frontier).decode()
        return f"{origin} verified\n{self.size}\n{self.hash}\n{frontier}\n"


async def read_marker(store: Store, keys: Sequence[VerifierKey]) -> Marker | None:
    """The marker, if a key of ours vouches for it."""
    async with store.view() as unit:
        cursor = await unit.log_cursor(NAME)
        origin = (await unit.log_head()).origin
    if cursor is None:
        return None
    try:
        note = parse_note(cursor.note)
        title, size, found, frontier = note.text[:-1].split("\n")
        marker = Marker(int(size), found, base64.b64decode(frontier, validate=True))
        Frontier.unpacked(marker.size, marker.frontier)
    except (ValueError, binascii.Error):
        return None
    if title != f"{origin} verified" or not note.is_signed_by(keys):
        return None
    return marker


async def save_marker(store: Store, signer: Signer, marker: Marker) -> None:
    """Keep the marker, signed."""
    async with store.unit() as unit:
        origin = (await unit.log_head()).origin
        key = VerifierKey(origin, signer.public_keys[0])
        note = signed_note(marker.text(origin), key, signer.sign)
        await unit.save_log_cursor(LogCursor(NAME, marker.size, note=note))
