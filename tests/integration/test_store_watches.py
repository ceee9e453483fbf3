"""What the store keeps of drift and of taints, on both databases."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.drift import TargetWatch, Writer
from rotator.domain.rotation import Actor
from rotator.domain.taint import Taint, TaintState
from rotator.store.store import SqlStore
from tests.integration.store_objects import HOUR, NOW, a_credential, an_id

WATCH = TargetWatch(
    an_id(1, 1), "fly-secret:web/KEY", "d1", Writer.OTHER, NOW, "eve@example.com", 3, NOW + HOUR
)
TAINT = Taint(
    an_id(1, 9),
    an_id(1, 1),
    0,
    2,
    "it is assumed to have leaked",
    TaintState.ASKED,
    an_id(7, 3),
    Actor("user", "ann"),
    "laptop stolen",
    NOW,
    NOW + HOUR,
)


async def test_watches_and_taints_come_back_with_every_field(store: SqlStore) -> None:
    other = replace(TAINT, credential_id=an_id(2, 1), position=1, state=TaintState.DONE)
    async with store.unit() as unit:
        for number in (1, 2):
            await unit.save_credential(a_credential(number))
        await unit.save_target_watch(replace(WATCH, marker="d0"))
        await unit.save_target_watch(WATCH)
        await unit.save_taint(other)
        await unit.save_taint(TAINT)
        await unit.save_taint(replace(TAINT, id=an_id(2, 9), state=TaintState.LEFT_OUT))
    async with store.view() as unit:
        assert await unit.target_watches() == await unit.target_watches(an_id(1, 1)) == [WATCH]
        assert await unit.target_watches(an_id(2, 1)) == []
        assert await unit.open_taints() == [TAINT, other]
