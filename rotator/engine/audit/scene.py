"""Look around the first bad place of a log, so that the damage can be named."""

from __future__ import annotations

from typing import Final

from rotator.domain.damage import Scene, named
from rotator.domain.events import VERSION_AT, Fault, LogRow, leaf_of
from rotator.domain.ports import Store, Unit

PAGE: Final = 4096


async def name_damage(store: Store, bad: int, before: str, *, promised: int) -> Fault:
    """What was done at the first bad place. Reads the whole log: it is done once."""
    async with store.view() as unit:
        last = await unit.last_row()
        rows = {int(row[0] or 0): row for row in await unit.log_rows(bad - 1, bad + 1)}
        following = await unit.next_row(bad)
        if following is not None and following not in rows:
            rows[following] = (await unit.log_rows(following, following))[0]
        tree = await unit.tree_hashes(0, bad - 1, bad - 1)
        expected = tree[0][1] if tree else None
        row = rows.get(bad)
        found = leaf_of(row, bad) if row is not None else None
        moved_to, has_twin = await _elsewhere(unit, bad, last, expected, found)
        home = await _home(unit, row, bad) if row is not None else None
    return named(Scene(bad, rows, before, expected, home, moved_to, has_twin, last, promised))


async def _elsewhere(
    unit: Unit, bad: int, last: int, expected: bytes | None, found: bytes | None
) -> tuple[int | None, bool]:
    """Where the row stands that belongs here, and whether the one that is here stands there too."""
    moved_to, has_twin, after = None, False, 0
    while after < last:
        for row in await unit.log_rows(after + 1, after + PAGE):
            if row[0] == bad:
                continue
            leaf = leaf_of(row, bad)
            if leaf is not None and leaf == found:
                has_twin = True
            if leaf is not None and leaf == expected and moved_to is None:
                moved_to = int(row[0] or 0)
        after += PAGE
    return moved_to, has_twin


async def _home(unit: Unit, row: LogRow, bad: int) -> int | None:
    """Where the tree has the leaf of a row, other than here."""
    if row[VERSION_AT] != 1:
        leaf = leaf_of(row)
        return None if leaf is None else await unit.leaf_position(leaf)
    size, after = (await unit.log_head()).size, 0
    while after < size:
        for position, leaf in await unit.tree_hashes(0, after, after + PAGE - 1):
            if position + 1 != bad and leaf_of(row, position + 1) == leaf:
                return position + 1
        after += PAGE
    return None
