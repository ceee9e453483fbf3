"""The daily look on real databases: batches, and two workers at once."""

from __future__ import annotations

import pytest

from rotator.domain.posture.record import FindingState
from rotator.engine.posture import job
from rotator.store.store import SqlStore
from tests.integration.store_objects import SettableClock
from tests.unit.posture_support import at_fly
from tests.unit.posture_world import Company, at_once

NAMES = [f"token-{number}" for number in range(7)]


async def test_a_look_in_several_batches_by_one_of_two_workers(
    store: SqlStore, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "BATCH", 3)
    company = Company(store, clock)
    company.inspector.findings = [at_fly(name) for name in NAMES]
    await company.make_due()
    results = await at_once(company.look("w1"), company.look("w2"))
    assert sorted(result is None for result in results) == [False, True]
    assert await company.actions() == ["opened"] * 7
    await company.look_now(*(at_fly(name) for name in NAMES[:2]))
    assert (await company.actions())[7:] == ["resolved"] * 5
    states = [record.state for record in (await company.records()).values()]
    assert states.count(FindingState.OPEN) == 2
