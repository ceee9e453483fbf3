"""The log's chain, walked event by event: a plain look that tests take at small logs."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.domain.events import GENESIS, Damage, Fault, LoggedEvent, row_problem, to_row


def first_fault(events: Iterable[LoggedEvent], after: LoggedEvent | None = None) -> Fault | None:
    """Walk events in order and name the first one that the chain does not hold, or None.

    The chain alone can't tell an insertion from a deletion: `domain.damage` does, with the tree.
    """
    expected = after.sequence + 1 if after else 1
    previous = after.hash if after else GENESIS
    for logged in events:
        problem = row_problem(to_row(logged), expected, previous)
        if problem == "number":
            return Fault(
                expected,
                Damage.DELETED,
                f"event {expected} is missing: after {expected - 1} comes {logged.sequence}",
            )
        if problem == "link":
            return Fault(
                expected,
                Damage.REWRITTEN,
                f"event {expected} does not follow event {expected - 1}: "
                "a row was inserted, reordered or rewritten",
            )
        if problem is not None:
            message = f"event {expected} was edited after it was written"
            return Fault(expected, Damage.EDITED, message)
        expected += 1
        previous = logged.hash
    return None
