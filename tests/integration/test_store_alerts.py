"""What the store keeps of requests to hooks, of alerts and of leaked values."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta

from rotator.domain.alert import OPEN_ALERTS, Alert, AlertState
from rotator.domain.hook import Delivery, Respond, Untracked
from rotator.domain.leak import Course
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.store.sealing import KeyRing, new_key
from rotator.store.store import SqlStore
from tests.integration.store_objects import HOUR, NOW, SettableClock, a_credential, an_id

FIRST = Delivery("github", "id-1", "body-1", NOW)
ALERT = Alert(
    id=an_id(1, 9),
    hook="github",
    state=AlertState.WAITING,
    respond=Respond.APPROVE,
    untracked=Untracked.REVOKE,
    approve_within=timedelta(days=3),
    place="https://github.example/acme/web",
    sort="fly_io_token",
    received_at=NOW,
    resume_at=NOW + HOUR,
    source="acme/web#7",
    credential_id=an_id(1, 1),
    version_id=an_id(2, 2),
    course=Course.ROTATE,
    rotation_id=an_id(3, 3),
    began_at=NOW,
    expires_at=NOW + 2 * HOUR,
    attempts=3,
    note="it waits",
    decided_by=Actor("user", "ann"),
    decided_at=NOW + HOUR,
    reason="seen",
)


async def test_a_request_is_known_again_by_its_id_and_by_what_was_signed(store: SqlStore) -> None:
    async with store.unit() as unit:
        assert await unit.add_delivery(FIRST, ()) == []
    async with store.unit() as unit:
        await unit.answer_delivery("github", "id-1", 202, "accepted")
    answered = replace(FIRST, status=202, answer="accepted")
    async with store.unit() as unit:
        other_body = replace(FIRST, digest="body-2")
        assert await unit.add_delivery(other_body, ()) == [answered]
        other_id = replace(FIRST, key="id-2")
        assert await unit.add_delivery(other_id, ()) == [answered]
        other_secret = replace(FIRST, key="id-3", digest="body-1-anew")
        assert await unit.add_delivery(other_secret, ("body-1",)) == [answered]
        assert await unit.add_delivery(replace(FIRST, hook="scanner"), ()) == []
    async with store.unit() as unit:
        assert await unit.forget_deliveries(NOW, 10) == 0
        assert await unit.forget_deliveries(NOW + HOUR, 1) == 1
        assert await unit.forget_deliveries(NOW + HOUR, 10) == 1
        assert await unit.add_delivery(FIRST, ()) == []


async def test_of_requests_that_come_at_once_one_is_the_first(store: SqlStore) -> None:
    async def kept() -> bool:
        async with store.unit() as unit:
            return not await unit.add_delivery(FIRST, ())

    assert sum(await asyncio.gather(*(kept() for _ in range(4)))) == 1


async def test_an_alert_comes_back_with_every_field_and_is_taken_by_one_worker(
    store: SqlStore,
) -> None:
    bare = Alert(
        id=an_id(2, 9),
        hook="scanner",
        state=AlertState.ACCEPTED,
        respond=Respond.ROTATE,
        untracked=Untracked.TELL,
        approve_within=timedelta(hours=1),
        place="",
        sort="",
        received_at=NOW,
        resume_at=NOW,
    )
    async with store.unit() as unit:
        await unit.save_credential(a_credential(1))
        await unit.save_alert(ALERT)
        await unit.save_alert(bare)
    async with store.view() as unit:
        assert await unit.alert(ALERT.id) == ALERT
        assert await unit.alert(an_id(7, 7)) is None
        assert await unit.alerts(OPEN_ALERTS, 10) == [bare, ALERT]
        assert await unit.alerts(frozenset({AlertState.WAITING}), 10) == [ALERT]
        assert await unit.next_alert_at() == NOW
    async with store.unit() as unit:
        assert await unit.take_alerts(NOW, HOUR, 10) == [bare]
    async with store.unit() as unit:
        assert await unit.take_alerts(NOW, HOUR, 10) == []
        taken = await unit.take_alerts(NOW + HOUR, HOUR, 1)
        assert [alert.id for alert in taken] == [ALERT.id]
        await unit.save_alert(replace(ALERT, state=AlertState.DONE, resume_at=None))
        await unit.save_alert(replace(bare, resume_at=None))
        assert await unit.next_alert_at() is None


async def test_a_leaked_value_is_kept_until_it_is_erased(store: SqlStore) -> None:
    async with store.unit() as unit:
        await unit.save_credential(a_credential(1))
        await unit.save_alert(ALERT)
        assert await unit.unseal_leaked(ALERT.id) is None
        await unit.seal_leaked(ALERT.id, Secret("leaked"))
        await unit.seal_leaked(ALERT.id, Secret("leaked anew"))
    async with store.unit() as unit:
        found = await unit.unseal_leaked(ALERT.id)
        assert found is not None
        assert found.reveal() == "leaked anew"
        await unit.erase_leaked(ALERT.id)
        assert await unit.unseal_leaked(ALERT.id) is None


async def test_a_leaked_value_comes_under_a_new_key_like_every_other(database_url: str) -> None:
    old, new = Secret(new_key(os.urandom)), Secret(new_key(os.urandom))
    first = SqlStore(database_url, KeyRing([old], os.urandom), SettableClock())
    async with first.unit() as unit:
        await unit.save_credential(a_credential(1))
        await unit.save_alert(ALERT)
        await unit.seal_leaked(ALERT.id, Secret("a value that leaked"))
    await first.aclose()
    both = SqlStore(database_url, KeyRing([new, old], os.urandom), SettableClock())
    assert [await both.rewrap(10), await both.rewrap(10)] == [1, 0]
    await both.aclose()
    second = SqlStore(database_url, KeyRing([new], os.urandom), SettableClock())
    assert await second.sealed_under() == {KeyRing([new], os.urandom).first_id: 1}
    async with second.view() as unit:
        found = await unit.unseal_leaked(ALERT.id)
    assert found == Secret("a value that leaked")
    await second.aclose()
