"""What the store keeps of rollouts and machines, and who may roll an app out (P3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from rotator.domain.errors import Busy, ClaimLost
from rotator.domain.ports import AppLock
from rotator.domain.rotation import (
    OPEN_ROLLOUTS,
    RESTART_DONE,
    MachineRestart,
    RestartState,
    Rollout,
    RolloutState,
    RolloutWish,
)
from rotator.store.store import SqlStore, SqlUnit, database_url, make_engine
from tests.integration.store_objects import (
    HOUR,
    NOW,
    SPENT,
    TTL,
    SettableClock,
    a_credential,
    a_full_rollout_policy,
    a_restart,
    a_ring,
    a_rollout,
    a_rotation,
    an_id,
    minutes,
    unset,
)

HOLDERS = 8
BLOCKED_SECONDS = 30
"""How long a statement may take to reach the lock that it is to wait for."""


async def tried(
    store: SqlStore, holder: str, ttl: timedelta = TTL, app: str = "web"
) -> AppLock | None:
    """Try to take an app's lock."""
    async with store.unit() as unit:
        return await unit.lock_app(app, holder, ttl)


async def locked(
    store: SqlStore, holder: str = "w1", ttl: timedelta = TTL, app: str = "web"
) -> AppLock:
    """Take an app's lock, which is free."""
    lock = await tried(store, holder, ttl, app)
    assert lock is not None
    return lock


async def saved(store: SqlStore, *rollouts: Rollout) -> None:
    """Save rollouts, each under its app's lock."""
    for rollout in rollouts:
        lock = await locked(store, app=rollout.app)
        async with store.unit() as unit:
            await unit.save_rollout(rollout, lock)


async def restarted(store: SqlStore, *restarts: MachineRestart) -> None:
    """Save restarts of machines of `web`."""
    lock = await locked(store)
    async with store.unit() as unit:
        for restart in restarts:
            await unit.save_machine_restart(restart, lock)


async def until_blocked(engine: AsyncEngine) -> None:
    """Return once some statement on the server waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(BLOCKED_SECONDS), engine.connect() as connection:
        while not await connection.scalar(waiting):
            pass


async def test_a_rollout_comes_back_with_every_field(store: SqlStore) -> None:
    full = a_rollout(
        policy=a_full_rollout_policy(),
        state=RolloutState.FAILED,
        ended_at=NOW + minutes(1),
        error="machine m1 never became healthy",
        organization="acme",
        release_id="release-1",
        release_version=12,
        release_asked_at=NOW,
        wish=RolloutWish.PAUSE,
    )
    assert unset(full) == []
    await saved(store, replace(full, wish=None))
    async with store.unit() as unit:
        await unit.wish_rollout(full.id, RolloutWish.PAUSE)
    await saved(store, replace(full, wish=None))  # a worker's write leaves a person's wish alone
    async with store.view() as unit:
        assert await unit.rollout(full.id) == full
        assert await unit.rollout(an_id(99, 5)) is None


async def test_a_rollout_is_replaced_by_its_id(store: SqlStore) -> None:
    ended = a_rollout(state=RolloutState.SUCCEEDED, ended_at=NOW)
    await saved(store, a_rollout(), ended)
    async with store.view() as unit:
        assert await unit.rollouts() == [ended]


async def test_rollouts_are_listed_newest_first_and_by_app(store: SqlStore) -> None:
    old = a_rollout(1, state=RolloutState.SUCCEEDED)
    elsewhere = a_rollout(2, app="api")
    new = a_rollout(3)
    await saved(store, new, old, elsewhere)
    async with store.view() as unit:
        assert await unit.rollouts() == [new, elsewhere, old]
        assert await unit.rollouts(limit=1) == [new]
        assert await unit.rollouts(app="web") == [new, old]


@pytest.mark.parametrize("state", list(RolloutState))
async def test_only_a_running_or_paused_rollout_is_open(
    store: SqlStore, state: RolloutState
) -> None:
    rollout = a_rollout(state=state)
    await saved(store, rollout, a_rollout(2, app="api"))
    async with store.view() as unit:
        found = await unit.open_rollout("web")
    assert found == (rollout if state in OPEN_ROLLOUTS else None)


async def test_an_app_has_one_running_rollout_at_most(store: SqlStore) -> None:
    await saved(store, a_rollout(1), a_rollout(2, app="api"))
    with pytest.raises(Busy, match="a rollout of this app is under way"):
        await saved(store, a_rollout(3))
    await saved(store, a_rollout(1, state=RolloutState.ABANDONED), a_rollout(3))
    async with store.view() as unit:
        assert await unit.open_rollout("web") == a_rollout(3)


async def test_a_rollout_and_the_rotations_that_it_serves_find_each_other(store: SqlStore) -> None:
    rollouts = [a_rollout(n, state=RolloutState.SUCCEEDED) for n in (1, 2)]
    await saved(store, *rollouts)
    async with store.unit() as unit:
        for number in (1, 2):
            await unit.save_credential(credential := a_credential(number))
            await unit.add_rotation(a_rotation(number, of=credential), [])
        await unit.link_rollout(an_id(2, 5), an_id(1, 3))
        await unit.link_rollout(an_id(1, 5), an_id(2, 3))
        await unit.link_rollout(an_id(1, 5), an_id(1, 3))
        await unit.link_rollout(an_id(1, 5), an_id(1, 3))  # again: no harm
    async with store.view() as unit:
        assert await unit.rollouts_of(an_id(1, 3)) == rollouts
        assert await unit.rollouts_of(an_id(2, 3)) == rollouts[:1]
        assert await unit.rotations_of(an_id(1, 5)) == [an_id(1, 3), an_id(2, 3)]
        assert await unit.rotations_of(an_id(99, 5)) == []


async def test_a_link_to_an_unknown_rollout_is_a_programmers_error(store: SqlStore) -> None:
    with pytest.raises(LookupError):
        async with store.unit() as unit:
            await unit.link_rollout(an_id(99, 5), an_id(99, 3))


async def test_a_restart_comes_back_with_every_field(store: SqlStore) -> None:
    full = a_restart(
        state=RestartState.HEALTHY,
        new_instance_id="instance-2",
        secrets_version=8,
        leased_at=NOW + minutes(1),
        updated_at=NOW + minutes(2),
        started_at=NOW + minutes(3),
        healthy_at=NOW + minutes(4),
        ended_at=NOW + minutes(5),
        note="it took a while",
        admitted_at=NOW,
        drained_at=NOW + minutes(1.5),
        stopped_at=NOW + minutes(2.5),
        released_at=NOW + minutes(6),
        replaced_by="m9",
    )
    assert unset(full) == []
    await saved(store, a_rollout())
    await restarted(store, a_restart(), full)  # the second one replaces the first
    async with store.view() as unit:
        assert await unit.machine_restarts(a_rollout().id) == [full]


async def test_restarts_are_listed_by_wave_region_and_machine(store: SqlStore) -> None:
    await saved(store, a_rollout())
    first = a_restart("m4", wave=0, region="nrt")
    second = a_restart("m3", wave=1, region="ams")
    third, fourth = a_restart("m1"), a_restart("m2")
    await restarted(store, fourth, third, second, first)
    async with store.view() as unit:
        assert await unit.machine_restarts(a_rollout().id) == [first, second, third, fourth]


@pytest.mark.parametrize("state", list(RestartState))
async def test_only_a_restart_that_went_well_is_confirmed(
    store: SqlStore, state: RestartState
) -> None:
    await saved(store, a_rollout())
    await restarted(store, a_restart(state=state))
    async with store.view() as unit:
        found = await unit.confirmed_instance("web", "m1")
    assert found == (a_restart(state=state) if state in RESTART_DONE else None)


async def test_the_newest_confirmed_restart_of_a_machine_counts(store: SqlStore) -> None:
    rollouts = [a_rollout(n, state=RolloutState.SUCCEEDED) for n in (1, 2, 3)]
    await saved(store, *rollouts)
    old, new = (a_restart(of=rollout, state=RestartState.HEALTHY) for rollout in rollouts[:2])
    failed = a_restart(of=rollouts[2], state=RestartState.FAILED)
    other = a_restart("m2", of=rollouts[2], state=RestartState.HEALTHY)
    await restarted(store, new, old, failed, other)
    async with store.view() as unit:
        assert await unit.confirmed_instance("web", "m1") == new
        assert await unit.confirmed_instance("api", "m1") is None
        assert await unit.confirmed_instance("web", "m9") is None


async def test_an_apps_lock_is_one_holders_until_it_is_given_up(store: SqlStore) -> None:
    lock = await locked(store, "w1")
    async with store.view() as unit:
        now = await unit.database_now()
    assert (lock.app, lock.holder, lock.fence) == ("web", "w1", 1)
    assert now < lock.expires_at <= now + TTL

    assert await tried(store, "w2") is None
    assert await tried(store, "w2", app="api") is not None
    async with store.unit() as unit:
        await unit.unlock_app(lock)
    assert (await locked(store, "w2")).fence == 2


async def test_a_lock_that_ran_out_can_be_taken_under_a_higher_fence(store: SqlStore) -> None:
    fences = [(await locked(store, f"w{n}", SPENT)).fence for n in range(4)]
    assert fences == [1, 2, 3, 4]


async def test_a_holder_that_comes_back_retakes_its_own_lock(store: SqlStore) -> None:
    before = await locked(store, "w1")
    after = await locked(store, "w1")
    assert after.fence == before.fence + 1
    # What the holder left running under the old fence may not write beside it.
    with pytest.raises(ClaimLost):
        async with store.unit() as unit:
            await unit.save_rollout(a_rollout(), before)


async def test_of_many_that_take_a_free_lock_at_once_one_gets_it(store: SqlStore) -> None:
    await locked(store, "before", SPENT)
    locks = await asyncio.gather(*(tried(store, f"w{n}") for n in range(HOLDERS)))
    assert [lock.fence for lock in locks if lock is not None] == [2]


async def test_of_many_that_take_the_first_lock_of_an_app_one_gets_it(store: SqlStore) -> None:
    locks = await asyncio.gather(*(tried(store, f"w{n}") for n in range(HOLDERS)))
    assert [lock.fence for lock in locks if lock is not None] == [1]


async def test_the_first_lock_of_an_app_is_not_taken_from_a_transaction_under_way(
    postgresql_url: str,
) -> None:
    store = SqlStore(postgresql_url, a_ring(), SettableClock())
    watching = make_engine(database_url(postgresql_url))
    async with store.unit() as unit:
        first = await unit.lock_app("web", "w1", TTL)
        # A row that nobody has committed yet can't be locked, so this one sees no lock at all.
        second = asyncio.create_task(tried(store, "w2"))
        await until_blocked(watching)
    assert first is not None
    assert await second is None
    async with store.unit() as unit:
        await unit.save_rollout(a_rollout(), first)
    await watching.dispose()
    await store.aclose()


async def test_a_renewed_lock_keeps_its_fence_and_lives_longer(store: SqlStore) -> None:
    lock = await locked(store)
    async with store.unit() as unit:
        renewed = await unit.renew_app_lock(lock, 2 * TTL)
    assert renewed.expires_at > lock.expires_at
    assert renewed == replace(lock, expires_at=renewed.expires_at)


async def renew(unit: SqlUnit, lock: AppLock) -> None:
    await unit.renew_app_lock(lock, TTL)


async def save_rollout(unit: SqlUnit, lock: AppLock) -> None:
    await unit.save_rollout(a_rollout(state=RolloutState.FAILED), lock)


async def save_restart(unit: SqlUnit, lock: AppLock) -> None:
    await unit.save_machine_restart(a_restart("m2"), lock)


@pytest.mark.parametrize("write", [renew, save_rollout, save_restart])
@pytest.mark.parametrize("lost", ["unlocked", "taken", "made up"])
async def test_nothing_is_written_under_a_lost_lock(
    store: SqlStore, write: Callable[[SqlUnit, AppLock], Awaitable[None]], lost: str
) -> None:
    await saved(store, a_rollout())
    await restarted(store, a_restart("m1"))
    lock = await locked(store, "w1", SPENT if lost == "taken" else TTL)
    if lost == "unlocked":
        async with store.unit() as unit:
            await unit.unlock_app(lock)
    elif lost == "taken":
        await locked(store, "w2")
    else:
        lock = replace(lock, holder="w2")

    with pytest.raises(ClaimLost, match="web"):
        async with store.unit() as unit:
            await write(unit, lock)
    async with store.view() as unit:
        assert await unit.rollouts() == [a_rollout()]
        assert await unit.machine_restarts(a_rollout().id) == [a_restart("m1")]


async def test_giving_up_a_lost_lock_leaves_the_new_holder_alone(store: SqlStore) -> None:
    lost = await locked(store, "w1", SPENT)
    present = await locked(store, "w2")
    async with store.unit() as unit:
        await unit.unlock_app(lost)
        await unit.unlock_app(replace(present, holder="w1"))
        await unit.save_rollout(a_rollout(), present)
    assert await tried(store, "w3") is None


async def test_the_ledger_keeps_the_highest_secrets_version_of_each_app(store: SqlStore) -> None:
    async with store.unit() as unit:
        assert await unit.secrets_version("web") == 0
        assert await unit.note_secrets_version("web", 5) == 5
        assert await unit.note_secrets_version("web", 3) == 5
        assert await unit.note_secrets_version("web", 2**40) == 2**40
        assert await unit.note_secrets_version("api", 1) == 1
    async with store.view() as unit:
        assert await unit.secrets_version("web") == 2**40
        assert await unit.secrets_version("api") == 1


async def test_writers_at_once_never_lower_the_ledger(store: SqlStore) -> None:
    async def note(number: int) -> int:
        async with store.unit() as unit:
            return await unit.note_secrets_version("web", number)

    await note(1)
    numbers = [4, 9, 2, 8, 3, 7, 5, 6]
    answers = await asyncio.gather(*(note(number) for number in numbers))
    assert all(answer >= number for answer, number in zip(answers, numbers, strict=True))
    async with store.view() as unit:
        assert await unit.secrets_version("web") == 9


async def test_the_first_number_of_an_app_is_not_lowered_by_one_that_ran_beside_it(
    postgresql_url: str,
) -> None:
    store = SqlStore(postgresql_url, a_ring(), SettableClock())
    watching = make_engine(database_url(postgresql_url))

    async def note(number: int) -> int:
        async with store.unit() as unit:
            return await unit.note_secrets_version("web", number)

    async with store.unit() as unit:
        await unit.note_secrets_version("web", 9)
        lower = asyncio.create_task(note(3))
        await until_blocked(watching)
    assert await lower == 9
    async with store.view() as unit:
        assert await unit.secrets_version("web") == 9
    await watching.dispose()
    await store.aclose()


async def test_a_paused_rollout_is_resumed_and_its_wish_taken_back(store: SqlStore) -> None:
    await saved(store, a_rollout(state=RolloutState.PAUSED, error="machine m1 is sick"))
    async with store.unit() as unit:
        await unit.wish_rollout(a_rollout().id, RolloutWish.PAUSE)
        await unit.resume_rollout(a_rollout().id)
    async with store.view() as unit:
        resumed = await unit.rollout(a_rollout().id)
        assert resumed == a_rollout(error="machine m1 is sick"), "a person knows of the failure"
    with pytest.raises(LookupError):
        async with store.unit() as unit:
            await unit.resume_rollout(an_id(99, 5))


async def test_what_open_rollouts_have_out_of_service_is_counted_by_organisation(
    store: SqlStore,
) -> None:
    ours, other = a_rollout(1, organization="acme"), a_rollout(2, app="api", organization="else")
    await saved(store, ours, other)
    await restarted(
        store,
        a_restart("m1", of=ours, state=RestartState.CHECKING, admitted_at=NOW),
        a_restart("m2", of=ours, state=RestartState.HEALTHY, admitted_at=NOW - HOUR),
        a_restart("m3", of=ours, state=RestartState.PLANNED),
    )
    async with store.unit() as unit:
        await unit.lock_disruption("acme")
        out = await unit.disrupted("acme")
        assert [each.machine_id for each in out] == ["m1"]
        assert await unit.admitted_since("acme", NOW - minutes(1)) == 1
        assert await unit.admitted_since("acme", NOW - 2 * HOUR) == 2
        assert await unit.disrupted("else") == []
