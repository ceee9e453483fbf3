"""What the store knows of credentials, their versions and their sealed values."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.errors import Busy, InputError, NeedsHuman
from rotator.domain.events import Action
from rotator.domain.rotation import ACTIVE, RotationState
from rotator.domain.secret import Secret
from rotator.store.store import SqlStore
from rotator.store.tables import metadata, sealed_values
from tests.integration.store_objects import (
    A_KEY,
    ANOTHER_KEY,
    HOUR,
    NOW,
    VALUE,
    SettableClock,
    a_credential,
    a_full_issued,
    a_full_policy,
    a_full_rollout_policy,
    a_full_spec,
    a_ring,
    a_rotation,
    a_spec,
    a_version,
    an_event,
    an_id,
    minutes,
    unset,
)


async def tracked(store: SqlStore, *credentials: Credential) -> None:
    """Save credentials."""
    async with store.unit() as unit:
        for credential in credentials:
            await unit.save_credential(credential)


async def issued(store: SqlStore, *versions: Version) -> None:
    """Save versions of the first credential."""
    async with store.unit() as unit:
        await unit.save_credential(a_credential())
        for version in versions:
            await unit.save_version(version)


async def due_names(store: SqlStore, limit: int = 10) -> Sequence[str]:
    """Names of what is due now."""
    async with store.view() as unit:
        return [credential.name for credential in await unit.due(NOW, limit)]


async def opened(store: SqlStore, version_id: str) -> str | None:
    """The value that is held, in plain text."""
    async with store.view() as unit:
        value = await unit.unseal(version_id)
    return value.reveal() if value else None


async def test_a_credential_comes_back_with_every_field(store: SqlStore) -> None:
    full = a_credential(spec=a_full_spec("full"))
    for thing in (full, full.spec, a_full_policy(), a_full_rollout_policy()):
        assert unset(thing) == []
    await tracked(store, full)

    async with store.view() as unit:
        assert await unit.credential("full") == full
        assert await unit.credential_by_id(full.id) == full
        found = await unit.credential("full")
    assert found is not None
    # True == 1 in Python, so equality alone would not see a boolean that came back as a number.
    assert {name: type(value) for name, value in found.spec.params.items()} == {
        name: type(value) for name, value in full.spec.params.items()
    }


async def test_a_credential_is_replaced_by_its_id(store: SqlStore) -> None:
    await tracked(store, a_credential())
    spec, status = a_spec("renamed", owner="somebody"), CredentialStatus.UNMANAGED
    changed = a_credential(spec=spec, status=status, due_at=None, updated_at=NOW)
    await tracked(store, changed)

    async with store.view() as unit:
        assert await unit.credentials() == [changed]
        assert await unit.credential("credential-1") is None


async def test_two_credentials_never_share_a_name(store: SqlStore) -> None:
    await tracked(store, a_credential(1))
    with pytest.raises(Busy, match="another worker"):
        await tracked(store, a_credential(2, spec=a_spec("credential-1")))


async def test_credentials_are_listed_by_name_and_by_status(store: SqlStore) -> None:
    left = a_credential(1, spec=a_spec("b"), status=CredentialStatus.UNMANAGED)
    kept = a_credential(2, spec=a_spec("a"))
    await tracked(store, left, kept)

    async with store.view() as unit:
        assert await unit.credentials() == [kept, left]
        assert await unit.credentials(status=CredentialStatus.MANAGED) == [kept]
        assert await unit.credentials(status=CredentialStatus.UNMANAGED) == [left]


async def test_an_unknown_id_is_a_programmers_error(store: SqlStore) -> None:
    async with store.view() as unit:
        assert await unit.credential("nobody") is None
        with pytest.raises(LookupError):
            await unit.credential_by_id(an_id(99, 1))
        with pytest.raises(LookupError):
            await unit.version(an_id(99, 2))


async def test_due_hands_out_the_oldest_first_and_no_more_than_asked_for(store: SqlStore) -> None:
    ages = {1: minutes(5), 2: minutes(50), 3: minutes(20)}
    await tracked(store, *(a_credential(n, due_at=NOW - age) for n, age in ages.items()))
    assert await due_names(store) == ["credential-2", "credential-3", "credential-1"]
    assert await due_names(store, limit=2) == ["credential-2", "credential-3"]


async def test_due_includes_the_very_instant_and_nothing_later_or_never(store: SqlStore) -> None:
    await tracked(
        store,
        a_credential(1, due_at=NOW),
        a_credential(2, due_at=NOW + timedelta(microseconds=1)),
        a_credential(3, due_at=None),
    )
    assert await due_names(store) == ["credential-1"]


async def test_what_is_no_longer_managed_is_never_due(store: SqlStore) -> None:
    await tracked(store, a_credential(status=CredentialStatus.UNMANAGED))
    assert await due_names(store) == []


@pytest.mark.parametrize("state", list(RotationState))
async def test_a_credential_is_not_due_while_a_rotation_of_it_is_active(
    store: SqlStore, state: RotationState
) -> None:
    await tracked(store, a_credential())
    async with store.unit() as unit:
        await unit.add_rotation(a_rotation(state=state), [])
    assert await due_names(store) == ([] if state in ACTIVE else ["credential-1"])


async def test_a_version_comes_back_with_every_field(store: SqlStore) -> None:
    full = a_version(
        state=VersionState.RETIRING,
        issued=a_full_issued(),
        promoted_at=NOW + minutes(1),
        revoke_at=NOW + minutes(2),
        ended_at=NOW + minutes(3),
    )
    assert unset(full) == [] == unset(a_full_issued())
    adopted = a_version(2, rotation_id=None)
    await issued(store, adopted, full)

    async with store.view() as unit:
        assert await unit.version(full.id) == full
        assert await unit.versions(full.credential_id) == [full, adopted]


async def test_a_version_is_replaced_without_its_value(store: SqlStore) -> None:
    await issued(store, a_version())
    async with store.unit() as unit:
        await unit.seal(a_version().id, Secret(VALUE))
        await unit.save_version(a_version(state=VersionState.DISCARDED, ended_at=NOW))

    async with store.view() as unit:
        version = await unit.version(a_version().id)
    assert version == a_version(state=VersionState.DISCARDED, ended_at=NOW, sealed=True)
    assert await opened(store, version.id) == VALUE


async def test_the_current_version_is_the_one_in_use(store: SqlStore) -> None:
    current = a_version(2, state=VersionState.CURRENT)
    others = [state for state in VersionState if state is not VersionState.CURRENT]
    await issued(
        store, current, *(a_version(n, state=state) for n, state in enumerate(others, start=3))
    )
    async with store.view() as unit:
        assert await unit.current_version(a_credential().id) == current
        assert await unit.current_version(an_id(99, 1)) is None


async def test_a_credential_has_one_current_version_at_most(store: SqlStore) -> None:
    await issued(store, a_version(1, state=VersionState.CURRENT))
    with pytest.raises(NeedsHuman):
        await issued(store, a_version(2, state=VersionState.CURRENT))


async def test_what_is_due_comes_in_order_of_danger(store: SqlStore) -> None:
    async def add(number: int, after: timedelta | None, state: VersionState) -> Version:
        credential = a_credential(number, due_at=NOW - number * HOUR)
        expires_at = None if after is None else NOW + after
        about = replace(a_full_issued(), expires_at=expires_at)
        version = a_version(number, of=credential, state=state, issued=about)
        async with store.unit() as unit:
            await unit.save_credential(credential)
            await unit.save_version(version)
        return version

    later = await add(1, timedelta(days=13), VersionState.CURRENT)
    sooner = await add(2, minutes(10), VersionState.CURRENT)
    far = await add(3, timedelta(days=15), VersionState.CURRENT)
    endless = await add(4, None, VersionState.CURRENT)
    retiring = await add(5, minutes(5), VersionState.RETIRING)

    async with store.view() as unit:
        order = [int(name.rpartition("-")[2]) for name in await due_names(store)]
        assert order == [2, 1, 5, 4, 3]
        current = await unit.versions_in(frozenset({VersionState.CURRENT}))
        assert current == [later, sooner, far, endless]
        assert await unit.versions_in(frozenset({VersionState.RETIRING})) == [retiring]


async def test_a_sealed_value_can_be_read_replaced_and_erased(store: SqlStore) -> None:
    version = a_version()
    await issued(store, version)
    assert await opened(store, version.id) is None

    for value in (VALUE, "another one: ü\n"):
        async with store.unit() as unit:
            await unit.seal(version.id, Secret(value))
            assert (await unit.version(version.id)).sealed
        assert await opened(store, version.id) == value

    async with store.unit() as unit:
        await unit.erase(version.id)
        await unit.erase(version.id)
        assert not (await unit.version(version.id)).sealed
    assert await opened(store, version.id) is None


async def test_a_value_that_nobody_committed_is_not_held(store: SqlStore) -> None:
    await issued(store, a_version())
    with pytest.raises(RuntimeError):
        async with store.unit() as unit:
            await unit.seal(a_version().id, Secret(VALUE))
            raise RuntimeError
    assert await opened(store, a_version().id) is None


async def test_a_value_of_an_unknown_version_is_a_programmers_error(store: SqlStore) -> None:
    with pytest.raises(LookupError):
        async with store.unit() as unit:
            await unit.seal(an_id(99, 2), Secret(VALUE))


async def test_no_table_and_no_file_holds_the_plain_text(
    store: SqlStore, raw: AsyncEngine, database_url: str
) -> None:
    await issued(store, a_version())
    await store.verify_keys()
    async with store.unit() as unit:
        await unit.seal(a_version().id, Secret(VALUE))
        await unit.add_rotation(a_rotation(), [])
        await unit.append(an_event(action=Action.ROTATION_STARTED))

    dump = b""
    async with raw.connect() as connection:
        for table in metadata.tables.values():
            for row in await connection.execute(select(table)):
                for cell in row:
                    dump += (
                        bytes(cell)
                        if isinstance(cell, bytes | memoryview)
                        else f"{cell}\0".encode()
                    )
    if database_url.startswith("sqlite"):
        # The write-ahead log counts too: that is where the newest pages are.
        file = Path(make_url(database_url).database or "")
        dump += b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*"))
    assert b"credential-1" in dump
    assert VALUE.encode() not in dump
    assert base64.b64encode(VALUE.encode()).rstrip(b"=")[:-1] not in dump


async def test_the_same_value_never_looks_the_same_when_sealed(
    store: SqlStore, raw: AsyncEngine
) -> None:
    await issued(store, a_version(1), a_version(2))
    async with store.unit() as unit:
        for number in (1, 2):
            await unit.seal(an_id(number, 2), Secret(VALUE))
    async with raw.connect() as connection:
        one, other = (row.sealed for row in await connection.execute(select(sealed_values)))
    # The version's id and the key's id may repeat, the ciphertext may not.
    assert bytes(one)[-len(VALUE) :] != bytes(other)[-len(VALUE) :]


async def test_a_value_that_was_moved_to_another_version_does_not_open(
    store: SqlStore, raw: AsyncEngine
) -> None:
    await issued(store, a_version(1), a_version(2))
    async with store.unit() as unit:
        await unit.seal(an_id(1, 2), Secret(VALUE))
    async with raw.begin() as connection:
        await connection.execute(update(sealed_values).values(version_id=an_id(2, 2)))
    with pytest.raises(NeedsHuman):
        await opened(store, an_id(2, 2))


async def test_a_value_that_was_cut_short_needs_a_human(store: SqlStore, raw: AsyncEngine) -> None:
    await issued(store, a_version())
    async with store.unit() as unit:
        await unit.seal(a_version().id, Secret(VALUE))
    async with raw.connect() as connection:
        whole = bytes((await connection.execute(select(sealed_values.c.sealed))).scalar_one())
    for length in (0, 1, 9, 15, 40, 75, 90, len(whole) - 1):
        async with raw.begin() as connection:
            await connection.execute(update(sealed_values).values(sealed=whole[:length]))
        with pytest.raises(NeedsHuman):
            await opened(store, a_version().id)


async def test_rotated_keys_open_old_values_and_seal_new_ones(
    store: SqlStore, database_url: str
) -> None:
    await store.verify_keys()
    await issued(store, a_version(1), a_version(2))
    async with store.unit() as unit:
        await unit.seal(an_id(1, 2), Secret(VALUE))

    rotated = SqlStore(database_url, a_ring(ANOTHER_KEY, A_KEY), SettableClock())
    await rotated.verify_keys()
    assert await opened(rotated, an_id(1, 2)) == VALUE
    async with rotated.unit() as unit:
        await unit.seal(an_id(2, 2), Secret("new"))
    await rotated.aclose()

    # The old key can go as soon as no value is sealed under it.
    only_new = SqlStore(database_url, a_ring(ANOTHER_KEY), SettableClock())
    await only_new.verify_keys()
    assert await opened(only_new, an_id(2, 2)) == "new"
    with pytest.raises(NeedsHuman, match=r"not in ROTATOR_KEYS.*add that key behind"):
        await opened(only_new, an_id(1, 2))
    await only_new.aclose()


async def test_wrong_keys_are_told_before_anything_is_sealed_under_them(
    store: SqlStore, database_url: str
) -> None:
    await store.verify_keys()
    wrong = SqlStore(database_url, a_ring(ANOTHER_KEY), SettableClock())
    for _ in range(2):  # the refused keys must not have been remembered
        with pytest.raises(NeedsHuman, match="does not hold the key of this database") as refusal:
            await wrong.verify_keys()
        assert "restore that key" in str(refusal.value)
        assert ANOTHER_KEY not in str(refusal.value)
    await wrong.aclose()
    await store.verify_keys()


async def test_a_key_that_only_has_the_right_name_does_not_open_a_value(
    store: SqlStore, database_url: str
) -> None:
    named = SqlStore(database_url, a_ring(f"mine:{A_KEY}"), SettableClock())
    await named.verify_keys()
    await issued(named, a_version())
    async with named.unit() as unit:
        await unit.seal(a_version().id, Secret(VALUE))
    await named.aclose()

    wrong = SqlStore(database_url, a_ring(f"mine:{ANOTHER_KEY}"), SettableClock())
    with pytest.raises(NeedsHuman, match="does not hold the key of this database"):
        await wrong.verify_keys()
    with pytest.raises(NeedsHuman, match="the key mine in ROTATOR_KEYS does not open the values"):
        await opened(wrong, a_version().id)
    await wrong.aclose()


async def test_without_a_key_values_are_out_of_reach_but_the_rest_is_not(
    store: SqlStore, database_url: str
) -> None:
    await issued(store, a_version())
    async with store.unit() as unit:
        await unit.seal(a_version().id, Secret(VALUE))

    keyless = SqlStore(database_url, None, SettableClock())
    async with keyless.view() as unit:
        assert (await unit.version(a_version().id)).sealed
    with pytest.raises(InputError, match=r"ROTATOR_KEYS.*rotator init"):
        await opened(keyless, a_version().id)
    with pytest.raises(InputError, match="ROTATOR_KEYS"):
        await keyless.verify_keys()
    await keyless.aclose()


async def test_versions_are_found_by_the_lineage_of_their_value(store: SqlStore) -> None:
    async with store.unit() as unit:
        await unit.save_credential(a_credential())
        for number, lineage in enumerate(("a-1", "a-1", "b-2", None), start=1):
            known = replace(a_full_issued(), facts={"lineage": lineage} if lineage else {})
            await unit.save_version(a_version(number, state=VersionState.RETIRING, issued=known))
            await unit.seal(an_id(number, 2), Secret(VALUE))
    async with store.view() as unit:
        assert [v.id for v in await unit.versions_of_lineage("a-1")] == [an_id(1, 2), an_id(2, 2)]
        assert await unit.versions_of_lineage("c-3") == []
        assert [v.id for v in await unit.untraced(["secret"], 5)] == [an_id(4, 2)]
        assert await unit.untraced(["deploy-token"], 5) == []
