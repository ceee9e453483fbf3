"""How long a claim lasts, as its holder may know without asking the database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from rotator.engine.keepalive import Tenure

TTL = timedelta(seconds=60)


class TwoClocks:
    """A wall clock and the loop's steady one, both set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = datetime(2026, 1, 1, tzinfo=UTC), 1000.0
        patch.setattr(asyncio.get_running_loop(), "time", lambda: self.steady)

    def now(self) -> datetime:
        return self.wall

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@pytest.mark.parametrize(
    ("wall", "steady", "lasts"),
    [
        (49, 49, True),
        (50, 50, False),
        (0, 50, False),
        (-3600, 61, False),
        (61, 0, False),
    ],
    ids=["in time", "margin", "wall stands", "wall set back", "steady stands (suspended)"],
)
async def test_a_claim_lasts_only_while_both_clocks_say_so(
    monkeypatch: pytest.MonkeyPatch, wall: float, steady: float, lasts: bool
) -> None:
    clocks = TwoClocks(monkeypatch)
    tenure = Tenure(clocks, TTL)
    clocks.wall += timedelta(seconds=wall)
    clocks.steady += steady
    assert tenure.lasts() is lasts
    monkeypatch.undo()


async def test_a_renewal_counts_from_before_it_was_asked_for_and_only_if_it_went_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = TwoClocks(monkeypatch)
    tenure = Tenure(clocks, TTL)

    def pass_by(seconds: float) -> None:
        clocks.wall += timedelta(seconds=seconds)
        clocks.steady += seconds

    pass_by(30)
    with pytest.raises(ConnectionError), tenure.renewing():
        raise ConnectionError
    pass_by(10)
    with tenure.renewing():
        pass_by(5)
    pass_by(44)
    assert tenure.lasts()
    pass_by(2)
    assert not tenure.lasts()
    monkeypatch.undo()
