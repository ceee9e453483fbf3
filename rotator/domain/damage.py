"""What was done to a log: names the damage at the first place that does not hold.

The chain says *that* a row is not what followed its predecessor. The tree's record of every leaf
says *what* should stand there, so a row can be told from one that was moved, put in or left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.domain.events import Damage, Fault, LogRow, is_sound, leaf_of, row_problem


@dataclass(frozen=True)
class Scene:
    """The first bad place and what is known around it.

    `rows` are those that stand at and beside `sequence`, `expected` the leaf that the tree holds
    for it. `home` is where the tree has the leaf of the row that stands there, `moved_to` where the
    row stands that belongs there, `has_twin` whether the row that stands there stands elsewhere
    too. `last` is the last row, `promised` how many events there were by the head or a checkpoint.
    """

    sequence: int
    rows: Mapping[int, LogRow]
    before: str
    expected: bytes | None
    home: int | None
    moved_to: int | None
    has_twin: bool
    last: int
    promised: int


def named(scene: Scene) -> Fault:
    """What was done there."""
    number = scene.sequence
    row = scene.rows.get(number)
    if row is None:
        return _absent(scene)
    if number > scene.promised:
        return _beyond(scene, row)
    if leaf_of(row) == scene.expected:
        return _unlinked(scene, row)
    return _displaced(scene, row)


def _absent(scene: Scene) -> Fault:
    number = scene.sequence
    if scene.moved_to is not None:
        return Fault(
            number,
            Damage.REORDERED,
            f"event {number} was moved: it stands at {scene.moved_to} now",
        )
    later = [each for each in scene.rows if each > number]
    if not later:
        return Fault(
            number,
            Damage.TRUNCATED,
            f"the log ends at {number - 1}, but it had {scene.promised} events: "
            "its end was cut off",
        )
    gap = min(later)
    which = f"event {number} was" if gap == number + 1 else f"events {number} to {gap - 1} were"
    return Fault(number, Damage.DELETED, f"{which} deleted")


def _beyond(scene: Scene, row: LogRow) -> Fault:
    """A row behind the end that the log's own record tells."""
    number = scene.sequence
    if scene.expected is not None and leaf_of(row) == scene.expected:
        return Fault(
            number,
            Damage.EDITED,
            f"the record of the log's end was edited: it says {scene.promised} events",
        )
    return Fault(
        number,
        Damage.INSERTED,
        f"event {number} was inserted behind the end of the log, past rotator",
    )


def _displaced(scene: Scene, row: LogRow) -> Fault:
    """The row's content is not what the tree holds for this place."""
    number = scene.sequence
    if scene.moved_to is not None:
        if scene.home is None or scene.has_twin:
            return Fault(
                number,
                Damage.INSERTED,
                f"event {number} was inserted: the one that was written there stands at "
                f"{scene.moved_to} now",
            )
        return Fault(
            number,
            Damage.REORDERED,
            f"events were reordered: number {number} was written as {scene.home}, and what was "
            f"written there stands at {scene.moved_to} now",
        )
    if scene.home is not None and scene.home > number and not scene.has_twin:
        gone = scene.home - number
        which = f"event {number} was" if gone == 1 else f"{gone} events from {number} on were"
        return Fault(number, Damage.DELETED, f"{which} deleted, and later ones renumbered")
    if row_problem(row, number, scene.before) is None and _is_followed(scene, row):
        return Fault(
            number,
            Damage.EDITED,
            f"event {number} and the tree's hash of it don't fit: one of them was edited",
        )
    return Fault(number, Damage.EDITED, f"event {number} was edited after it was written")


def _unlinked(scene: Scene, row: LogRow) -> Fault:
    """The content is what the tree holds, so only the chain tells."""
    number = scene.sequence
    if not is_sound(row) or not _is_followed(scene, row):
        return Fault(
            number, Damage.EDITED, f"the hashes of event {number} were edited; its content holds"
        )
    earlier = scene.rows.get(number - 1)
    if earlier is not None and row[1] == earlier[1]:
        return Fault(
            number - 1, Damage.INSERTED, f"event {number - 1} was inserted, and the tree with it"
        )
    if scene.promised > scene.last:
        return Fault(
            number, Damage.DELETED, f"what stood before event {number} was deleted from the log"
        )
    return Fault(
        number - 1,
        Damage.EDITED,
        f"event {number - 1} was edited and hashed anew: event {number} follows another one",
    )


def _is_followed(scene: Scene, row: LogRow) -> bool:
    following = scene.rows.get(scene.sequence + 1)
    return following is None or following[1] == row[2]
