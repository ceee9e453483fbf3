"""Key-encryption keys are replaced under the values that they protect, and killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rotator.domain.credential import VersionState
from rotator.domain.errors import NeedsHuman
from rotator.domain.secret import Secret
from rotator.store.sealing import KeyRing, key_id, new_key
from rotator.store.store import SqlStore
from tests.integration.store_objects import SettableClock, a_credential, a_version

OLD, NEW = Secret(new_key(os.urandom)), Secret(new_key(os.urandom))
VALUES = 30
DIES = """
import asyncio, os, sys
from rotator.domain.secret import Secret
from rotator.store.sealing import KeyRing
from rotator.store.store import SqlStore
from rotator.system import SystemClock

keys = [Secret(key) for key in sys.stdin.read().split()]
calls, rewrap = 0, KeyRing.rewrap

def dying(self, subject, sealed):
    global calls
    calls += 1
    if calls == 14:
        os.kill(os.getpid(), 9)
    return rewrap(self, subject, sealed)

KeyRing.rewrap = dying

async def work():
    store = SqlStore(sys.argv[1], KeyRing(keys, os.urandom), SystemClock())
    while await store.rewrap(5):
        pass

asyncio.run(work())
"""


def ring(*keys: Secret) -> KeyRing:
    return KeyRing(keys, os.urandom)


async def filled(url: str, *keys: Secret) -> dict[str, str]:
    """A database with values, by the ids of their versions."""
    store = SqlStore(url, ring(*keys), SettableClock())
    values: dict[str, str] = {}
    async with store.unit() as unit:
        credential = a_credential(1)
        await unit.save_credential(credential)
        for number in range(VALUES):
            version = a_version(number + 1, of=credential, state=VersionState.REVOKED)
            await unit.save_version(version)
            values[version.id] = f"value {number}"
            await unit.seal(version.id, Secret(values[version.id]))
    await store.aclose()
    return values


async def read(url: str, ids: dict[str, str], *keys: Secret) -> dict[str, str]:
    store = SqlStore(url, ring(*keys), SettableClock())
    try:
        async with store.view() as unit:
            found = {each: await unit.unseal(each) for each in ids}
    finally:
        await store.aclose()
    return {each: value.reveal() for each, value in found.items() if value is not None}


async def test_every_value_comes_under_the_new_key_and_the_old_one_may_go(
    database_url: str,
) -> None:
    values = await filled(database_url, OLD)
    store = SqlStore(database_url, ring(NEW, OLD), SettableClock())
    old, new = ring(OLD).first_id, ring(NEW).first_id
    assert await store.sealed_under() == {old: VALUES}
    counts = [await store.rewrap(20), await store.rewrap(20), await store.rewrap(20)]
    assert counts == [20, VALUES - 20, 0]
    assert await store.sealed_under() == {new: VALUES}
    await store.aclose()
    assert await read(database_url, values, NEW) == values
    with pytest.raises(NeedsHuman, match="not in ROTATOR_KEYS"):
        await read(database_url, values, OLD)


async def test_a_process_that_is_killed_in_the_middle_loses_nothing(sqlite_url: str) -> None:
    values = await filled(sqlite_url, OLD)
    died = subprocess.run(
        [sys.executable, "-c", DIES, sqlite_url],
        input=f"{NEW.reveal()} {OLD.reveal()}",
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=60,
    )
    assert died.returncode == -9
    assert await read(sqlite_url, values, NEW, OLD) == values
    store = SqlStore(sqlite_url, ring(NEW, OLD), SettableClock())
    # Two whole batches were committed; of the third, nothing.
    assert (await store.sealed_under())[ring(NEW).first_id] == 10
    while await store.rewrap(100):
        pass
    await store.aclose()
    assert await read(sqlite_url, values, NEW) == values


def test_only_the_wrapping_changes_and_a_moved_value_is_still_refused() -> None:
    sealed = ring(OLD).seal("one", Secret("a value"))
    both = ring(NEW, OLD)
    wrapped = both.rewrap("one", sealed)
    assert key_id(wrapped) == both.first_id
    assert wrapped[-23:] == sealed[-23:]
    assert ring(NEW).open("one", wrapped).reveal() == "a value"
    with pytest.raises(NeedsHuman):
        both.rewrap("another", sealed)
    with pytest.raises(NeedsHuman):
        ring(NEW).open("another", wrapped)
