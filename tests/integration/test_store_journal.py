"""What the store keeps of rotations, their steps, and who may work on them (P3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.errors import Busy, ClaimLost
from rotator.domain.rotation import ACTIVE, Claim, Rotation, RotationState, Step, StepState
from rotator.store.store import SqlStore, SqlUnit
from tests.integration.store_objects import (
    HOUR,
    NOW,
    SPENT,
    TTL,
    SettableClock,
    a_credential,
    a_full_rotation,
    a_full_step,
    a_ring,
    a_rotation,
    a_step,
    an_id,
    minutes,
    unset,
)

WRITERS = 8


async def begun(store: SqlStore, rotation: Rotation, *steps: Step) -> Rotation:
    """Save a rotation and its credential."""
    credential = replace(a_credential(), id=rotation.credential_id)
    async with store.unit() as unit:
        await unit.save_credential(credential)
        await unit.add_rotation(rotation, steps)
    return rotation


async def claimed(
    store: SqlStore, rotation: Rotation, worker: str = "w1", ttl: timedelta = TTL
) -> Claim:
    """Claim a rotation that is free."""
    claim = await tried(store, rotation, worker, ttl)
    assert claim is not None
    return claim


async def tried(
    store: SqlStore, rotation: Rotation, worker: str, ttl: timedelta = TTL
) -> Claim | None:
    """Try to claim a rotation."""
    async with store.unit() as unit:
        return await unit.claim(rotation.id, worker, ttl)


async def seen(store: SqlStore, rotation: Rotation) -> Rotation:
    """The rotation as the database has it."""
    async with store.view() as unit:
        found = await unit.rotation(rotation.id)
    assert found is not None
    return found


async def runnable(store: SqlStore, limit: int = 10) -> list[str]:
    """Ids of what wants a worker now."""
    async with store.view() as unit:
        return [rotation.id for rotation in await unit.runnable(NOW, limit)]


async def test_a_rotation_comes_back_with_every_field(store: SqlStore) -> None:
    full = a_full_rotation()
    await begun(store, full)
    async with store.unit() as unit:
        await unit.request_abort(full.id, NOW + minutes(9))

    asked = replace(full, abort_requested_at=NOW + minutes(9), resume_at=NOW + minutes(9))
    assert unset(asked) == []
    assert await seen(store, full) == asked
    async with store.view() as unit:
        assert await unit.rotation(an_id(99, 3)) is None


async def test_steps_come_back_in_order_with_every_field(store: SqlStore) -> None:
    full = a_full_step(2)
    assert unset(full) == []
    first, third = a_step(1), a_step(3)
    rotation = await begun(store, a_rotation(), third, first, full)
    async with store.view() as unit:
        assert await unit.steps(rotation.id) == [first, full, third]


async def test_rotations_are_listed_newest_first_by_credential_and_state(store: SqlStore) -> None:
    other = a_credential(2)
    old = await begun(store, a_rotation(1, state=RotationState.SUCCEEDED))
    new = await begun(store, a_rotation(3))
    async with store.unit() as unit:
        await unit.save_credential(other)
        await unit.add_rotation(elsewhere := a_rotation(2, of=other), [])

    async with store.view() as unit:
        assert await unit.rotations() == [new, elsewhere, old]
        assert await unit.rotations(limit=2) == [new, elsewhere]
        assert await unit.rotations(credential_id=old.credential_id) == [new, old]
        assert await unit.rotations(states=frozenset({RotationState.SUCCEEDED})) == [old]
        assert await unit.rotations(states=frozenset()) == []


@pytest.mark.parametrize("state", list(RotationState))
async def test_only_a_rotation_in_an_active_state_is_the_active_one(
    store: SqlStore, state: RotationState
) -> None:
    rotation = await begun(store, a_rotation(state=state))
    async with store.view() as unit:
        active = await unit.active_rotation(rotation.credential_id)
    assert active == (rotation if state in ACTIVE else None)


@pytest.mark.parametrize("state", sorted(ACTIVE))
async def test_a_second_active_rotation_of_a_credential_is_refused(
    store: SqlStore, state: RotationState
) -> None:
    first = await begun(store, a_rotation(1, state=state))
    second = a_rotation(2)
    with pytest.raises(Busy, match=first.id):
        async with store.unit() as unit:
            await unit.add_rotation(second, [a_step(of=second)])
    async with store.view() as unit:
        assert await unit.rotations() == [first]
        assert await unit.steps(second.id) == []


@pytest.mark.parametrize("state", sorted(set(RotationState) - ACTIVE))
async def test_a_rotation_may_begin_once_the_last_one_is_not_active_any_more(
    store: SqlStore, state: RotationState
) -> None:
    await begun(store, a_rotation(1, state=state))
    await begun(store, a_rotation(2))


async def test_of_many_rotations_that_are_added_at_once_one_stands(store: SqlStore) -> None:
    async with store.unit() as unit:
        await unit.save_credential(a_credential())

    async def add(number: int) -> str:
        try:
            async with store.unit() as unit:
                await unit.add_rotation(a_rotation(number), [])
        except Busy:
            return "busy"
        return "added"

    outcomes = await asyncio.gather(*(add(n) for n in range(1, WRITERS + 1)))
    assert sorted(outcomes) == ["added"] + ["busy"] * (WRITERS - 1)


async def test_a_parked_rotation_does_not_come_back_beside_an_active_one(store: SqlStore) -> None:
    parked = await begun(store, a_rotation(1, state=RotationState.PARKED))
    await begun(store, a_rotation(2))
    back = replace(parked, state=RotationState.RUNNING)
    with pytest.raises(Busy):
        async with store.unit() as unit:
            await unit.save_rotation(back, None)
    with pytest.raises(Busy):
        async with store.unit() as unit:
            await unit.reopen_rotation(back, [])
    assert await seen(store, parked) == parked


async def test_a_claim_is_live_until_it_is_given_up(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    claim = await claimed(store, rotation, "w1")
    async with store.view() as unit:
        now = await unit.database_now()
    assert (claim.rotation_id, claim.worker_id, claim.fence) == (rotation.id, "w1", 1)
    assert now < claim.expires_at <= now + TTL

    assert await tried(store, rotation, "w2") is None
    assert await tried(store, rotation, "w1") is None
    async with store.unit() as unit:
        await unit.release(claim)
    assert (await claimed(store, rotation, "w2")).fence == 2


async def test_of_many_workers_that_claim_at_once_one_gets_it(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    claims = await asyncio.gather(*(tried(store, rotation, f"w{n}") for n in range(WRITERS)))
    assert [claim.fence for claim in claims if claim is not None] == [1]


async def test_two_rotations_of_one_credential_are_never_claimed_together(store: SqlStore) -> None:
    retiring = await begun(store, a_rotation(1, state=RotationState.RETIRING))
    queued = await begun(store, a_rotation(2))
    claims = await asyncio.gather(
        *(tried(store, (retiring, queued)[n % 2], f"w{n}") for n in range(WRITERS))
    )
    (won,) = [claim for claim in claims if claim is not None]

    async with store.unit() as unit:
        await unit.release(won)
    await claimed(store, queued)
    assert await tried(store, retiring, "w9") is None


async def test_rotations_of_different_credentials_are_claimed_together(store: SqlStore) -> None:
    other = a_credential(2)
    mine = await begun(store, a_rotation(1))
    async with store.unit() as unit:
        await unit.save_credential(other)
        await unit.add_rotation(theirs := a_rotation(2, of=other), [])
    assert await tried(store, mine, "w1") is not None
    assert await tried(store, theirs, "w2") is not None


async def test_a_claim_that_ran_out_can_be_taken_under_a_higher_fence(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    fences = [(await claimed(store, rotation, f"w{n}", SPENT)).fence for n in range(4)]
    assert fences == [1, 2, 3, 4]


async def test_sqlite_goes_by_the_clock_of_this_host(sqlite_url: str, clock: SettableClock) -> None:
    store = SqlStore(sqlite_url, a_ring(), clock)
    rotation = await begun(store, a_rotation())
    await claimed(store, rotation, "w1")
    clock.advance(TTL - timedelta(microseconds=1))
    assert await tried(store, rotation, "w2") is None
    clock.advance(timedelta(microseconds=1))
    assert await tried(store, rotation, "w2") is not None
    await store.aclose()


async def test_postgresql_goes_by_the_clock_of_the_server(
    postgresql_url: str, clock: SettableClock
) -> None:
    store = SqlStore(postgresql_url, a_ring(), clock)
    rotation = await begun(store, a_rotation())
    await claimed(store, rotation, "w1")
    # A host whose clock is a century ahead would otherwise take everything from everybody.
    clock.advance(timedelta(days=36500))
    assert await tried(store, rotation, "w2") is None
    assert await runnable(store) == []
    await store.aclose()


async def test_a_renewed_claim_keeps_its_fence_and_lives_longer(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    claim = await claimed(store, rotation)
    async with store.unit() as unit:
        renewed = await unit.renew(claim, 2 * TTL)
    assert renewed.expires_at > claim.expires_at
    assert renewed == replace(claim, expires_at=renewed.expires_at)
    async with store.unit() as unit:
        await unit.save_rotation(rotation, claim)  # the fence counts, not the time in the claim


Write = Callable[[SqlUnit, Rotation, Claim], Awaitable[object]]
CLAIMED_WRITES: dict[str, Write] = {
    "renew": lambda unit, _, claim: unit.renew(claim, TTL),
    "save_rotation": lambda unit, it, claim: unit.save_rotation(replace(it, remints=9), claim),
    "add_steps": lambda unit, it, claim: unit.add_steps([a_step(7, of=it)], claim),
    "save_step": lambda unit, it, claim: unit.save_step(a_full_step(1), claim),
}


@pytest.mark.parametrize("name", CLAIMED_WRITES)
@pytest.mark.parametrize("lost", ["released", "taken", "made up"])
async def test_nothing_is_written_under_a_lost_claim(store: SqlStore, name: str, lost: str) -> None:
    rotation = await begun(store, a_rotation(), a_step(1))
    claim = await claimed(store, rotation, "w1", SPENT if lost == "taken" else TTL)
    if lost == "released":
        async with store.unit() as unit:
            await unit.release(claim)
    elif lost == "taken":
        await claimed(store, rotation, "w2")
    else:
        claim = replace(claim, worker_id="w2")

    with pytest.raises(ClaimLost, match=rotation.id):
        async with store.unit() as unit:
            await CLAIMED_WRITES[name](unit, rotation, claim)
    assert await seen(store, rotation) == rotation
    async with store.view() as unit:
        assert await unit.steps(rotation.id) == [a_step(1)]


@pytest.mark.parametrize("name", [name for name in CLAIMED_WRITES if name != "renew"])
async def test_a_claim_on_one_rotation_writes_to_no_other(store: SqlStore, name: str) -> None:
    mine = await begun(store, a_rotation(1))
    other = a_rotation(2, of=a_credential(2))
    async with store.unit() as unit:
        await unit.save_credential(a_credential(2))
        await unit.add_rotation(other, [a_step(1, of=other)])
    claim = await claimed(store, mine)
    write = {
        "save_rotation": lambda unit: unit.save_rotation(other, claim),
        "add_steps": lambda unit: unit.add_steps([a_step(7, of=other)], claim),
        "save_step": lambda unit: unit.save_step(a_step(1, of=other), claim),
    }[name]
    with pytest.raises(ClaimLost, match=other.id):
        async with store.unit() as unit:
            await write(unit)
    assert await seen(store, other) == other


async def test_a_step_that_was_never_added_cannot_be_saved(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation(), a_step(1))
    claim = await claimed(store, rotation)
    with pytest.raises(LookupError, match=a_step(2).id):
        async with store.unit() as unit:
            await unit.save_step(a_step(2), claim)


async def test_giving_up_a_lost_claim_leaves_the_new_owner_alone(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    lost = await claimed(store, rotation, "w1", SPENT)
    present = await claimed(store, rotation, "w2")
    async with store.unit() as unit:
        await unit.release(lost)
        await unit.save_rotation(rotation, present)


async def test_steps_are_added_and_replaced_under_the_claim(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation(), a_step(1))
    claim = await claimed(store, rotation)
    done = replace(a_full_step(1), state=StepState.DONE)
    async with store.unit() as unit:
        await unit.save_step(done, claim)
        await unit.add_steps([a_step(2), a_step(3)], claim)
    async with store.view() as unit:
        assert await unit.steps(rotation.id) == [done, a_step(2), a_step(3)]


async def test_without_a_claim_nobody_writes_while_somebody_works(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    claim = await claimed(store, rotation, "w1")
    with pytest.raises(Busy, match="w1"):
        async with store.unit() as unit:
            await unit.save_rotation(rotation, None)
    with pytest.raises(Busy, match="w1"):
        async with store.unit() as unit:
            await unit.reopen_rotation(rotation, [])
    async with store.unit() as unit:
        await unit.release(claim)
        await unit.save_rotation(replace(rotation, remints=1), None)
    assert await seen(store, rotation) == replace(rotation, remints=1)


async def test_saving_a_rotation_keeps_an_abort_that_was_asked_for(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation(resume_at=NOW))
    claim = await claimed(store, rotation)
    asked = NOW + minutes(1)
    async with store.unit() as unit:
        await unit.request_abort(rotation.id, asked)  # while the worker holds the claim

    # The worker knows nothing of it yet and wants to sleep for an hour.
    later = replace(rotation, state=RotationState.RUNNING, resume_at=NOW + HOUR)
    async with store.unit() as unit:
        await unit.save_rotation(later, claim)
    assert await seen(store, rotation) == replace(later, abort_requested_at=asked, resume_at=asked)

    sooner = replace(later, resume_at=NOW)
    async with store.unit() as unit:
        await unit.save_rotation(sooner, claim)
    assert (await seen(store, rotation)).resume_at == NOW


async def test_a_request_to_abort_can_be_taken_back(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation(resume_at=NOW + HOUR))
    async with store.unit() as unit:
        await unit.request_abort(rotation.id, NOW)
        await unit.request_abort(rotation.id, None)
    # Only the request goes; to wake up early is harmless.
    assert await seen(store, rotation) == replace(rotation, resume_at=NOW)


async def test_a_person_reopens_a_rotation_with_its_steps(store: SqlStore) -> None:
    parked = await begun(store, a_full_rotation(), a_step(1, state=StepState.FAILED))
    async with store.unit() as unit:
        await unit.request_abort(parked.id, NOW)
    again = replace(parked, state=RotationState.QUEUED, parked=None, ended_at=None, resume_at=NOW)
    async with store.unit() as unit:
        await unit.reopen_rotation(again, [a_step(1), a_step(2)])
    assert await seen(store, parked) == again
    async with store.view() as unit:
        assert await unit.steps(parked.id) == [a_step(1), a_step(2)]


async def test_what_wants_a_worker_is_handed_out_by_the_oldest_wish(store: SqlStore) -> None:
    wishes = {1: -minutes(1), 2: -minutes(3), 3: minutes(0), 4: minutes(0.1), 5: None}
    async with store.unit() as unit:
        for number, wish in wishes.items():
            resume_at = None if wish is None else NOW + wish
            await unit.save_credential(credential := a_credential(number))
            await unit.add_rotation(a_rotation(number, of=credential, resume_at=resume_at), [])
    assert await runnable(store) == [an_id(2, 3), an_id(1, 3), an_id(3, 3)]
    assert await runnable(store, limit=1) == [an_id(2, 3)]


async def test_what_is_worked_on_wants_no_worker_until_the_claim_runs_out(store: SqlStore) -> None:
    rotation = await begun(store, a_rotation())
    await claimed(store, rotation, "w1", SPENT)
    assert await runnable(store) == [rotation.id]
    await claimed(store, rotation, "w2", TTL)
    assert await runnable(store) == []


UNKNOWN = a_rotation(99)
WRITES: dict[str, Callable[[SqlUnit], Awaitable[object]]] = {
    "claim": lambda unit: unit.claim(UNKNOWN.id, "w1", TTL),
    "save_rotation": lambda unit: unit.save_rotation(UNKNOWN, None),
    "reopen_rotation": lambda unit: unit.reopen_rotation(UNKNOWN, []),
    "request_abort": lambda unit: unit.request_abort(UNKNOWN.id, NOW),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_to_an_unknown_rotation_is_a_programmers_error(
    store: SqlStore, name: str
) -> None:
    with pytest.raises(LookupError):
        async with store.unit() as unit:
            await WRITES[name](unit)
