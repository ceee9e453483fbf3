"""The rotation of key-encryption keys: every value's data key is wrapped anew by the first key.

A batch is one transaction, and what is left is what the database says: it may be cut at any moment
and begun again, by several processes at once.
"""

from __future__ import annotations

from collections.abc import Callable

from rotator.domain.events import Action, Event, Outcome
from rotator.wiring import Rotator

BATCH = 100


async def rewrap_all(rotator: Rotator, tell: Callable[[int], None] = lambda _: None) -> int:
    """Wrap anew what another key than the first one wraps; gives how many values that were."""
    parts, done = rotator.parts, 0
    while not parts.stopping.is_set():
        count = await rotator.store.rewrap(BATCH)
        done += count
        if not count:
            break
        tell(done)
    if done:
        event = Event(
            action=Action.KEYS_REWRAPPED,
            outcome=Outcome.OK,
            actor=parts.actor,
            at=parts.clock.now(),
            detail={"key_id": rotator.store.key_ids[0], "values": str(done)},
        )
        async with parts.store.unit() as unit:
            await unit.append(event)
    return done
