"""Schedules, windows, jitter, expiry, and why something is due."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.credential import Version
from rotator.domain.due import decide
from rotator.domain.durations import format_duration, go_duration, parse_duration
from rotator.domain.policy import Blackout, Missed, Policy, Window
from rotator.domain.reasons import ReasonCode
from rotator.domain.schedule import (
    expires_at,
    in_window,
    never_fires,
    never_opens,
    next_due,
    next_firing,
    next_opening,
)
from tests.unit.builders import NOW, a_credential, a_rotation, a_version

DAY = timedelta(days=1)
MONTHLY = Policy(every=30 * DAY)
OFFICE = Window(frozenset(range(5)), time(9), timedelta(hours=8), "Europe/Berlin")
NIGHT = Window(frozenset(range(7)), time(22), timedelta(hours=6), "UTC")


@given(st.integers(0, 10**9))
def test_a_span_survives_being_written_and_read(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize("text", ["", "30", "d", "1d1d", "1h1d", "-1d", "1.5h", "30 d", "1y"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"span|order|years"):
        parse_duration(text)


def test_fly_gets_durations_as_go_prints_them() -> None:
    assert go_duration(timedelta(days=30)) == "720h0m0s"
    assert go_duration(timedelta(hours=1, minutes=2, seconds=3)) == "1h2m3s"


def test_cron_follows_the_wall_clock_over_a_change_of_time() -> None:
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    fired = next_firing("0 3 * * *", "Europe/Berlin", before)
    assert fired is not None
    assert fired.astimezone(ZoneInfo("Europe/Berlin")).hour == 3
    assert fired == datetime(2026, 3, 29, 1, tzinfo=UTC)


@given(st.text(min_size=1, max_size=8), st.integers(0, 48))
def test_jitter_delays_by_at_most_its_span_and_is_the_same_for_the_same_credential(
    seed: str, hours: int
) -> None:
    policy = Policy(every=30 * DAY, jitter=timedelta(hours=hours))
    due = next_due(policy, anchor=NOW, seed=seed)
    assert due is not None
    assert NOW + 30 * DAY <= due <= NOW + 30 * DAY + timedelta(hours=hours)
    assert due == next_due(policy, anchor=NOW, seed=seed)


@given(st.integers(0, 24 * 400))
def test_what_is_due_falls_into_an_open_window(hours: int) -> None:
    policy = Policy(every=30 * DAY, window=OFFICE)
    due = next_due(policy, anchor=NOW + timedelta(hours=hours), seed="x")
    assert due is not None
    assert in_window(policy, due)


def test_a_window_over_midnight_is_open_on_both_sides() -> None:
    policy = Policy(every=DAY, window=NIGHT)
    assert in_window(policy, datetime(2026, 6, 1, 23, tzinfo=UTC))
    assert in_window(policy, datetime(2026, 6, 2, 3, 59, tzinfo=UTC))
    assert not in_window(policy, datetime(2026, 6, 2, 4, tzinfo=UTC))


def test_a_blackout_closes_a_window() -> None:
    blackout = Blackout(NOW, NOW + 3 * DAY)
    policy = Policy(every=DAY, blackouts=(blackout,))
    assert next_opening(policy, NOW) == NOW + 3 * DAY
    assert not in_window(policy, NOW + DAY)


def test_what_never_happens_is_noticed() -> None:
    assert never_fires("0 0 31 2 *", "UTC", NOW)
    assert not never_fires("0 0 29 2 *", "UTC", NOW)
    covered = Blackout(NOW - DAY, NOW + 5000 * DAY)
    assert never_opens(Policy(every=DAY, window=OFFICE, blackouts=(covered,)), NOW)


@given(st.integers(1, 400), st.integers(0, 100))
def test_a_token_outlives_its_next_rotation_and_overlap_but_not_by_much(
    every: int, overlap: int
) -> None:
    policy = Policy(every=every * DAY, overlap=overlap * DAY)
    end = expires_at(policy, NOW)
    need = (every + overlap) * DAY
    assert NOW + need < end <= NOW + need * 1.1 + 2 * DAY


def due(policy: Policy, promoted_at: datetime | None, *, due_at: datetime | None = NOW) -> object:
    version: Version | None = a_version(promoted_at=promoted_at) if promoted_at else None
    return decide(a_credential(policy, due_at=due_at), version, None, NOW).reason.code


def test_each_reason_is_named() -> None:
    month_ago = NOW - 31 * DAY
    assert due(MONTHLY, month_ago) is ReasonCode.SCHEDULE
    assert due(MONTHLY, None) is ReasonCode.NEVER_ROTATED
    assert due(Policy(every=30 * DAY, max_age=31 * DAY), month_ago) is ReasonCode.MAX_AGE
    assert due(MONTHLY, NOW - DAY) is ReasonCode.VERSION_GONE
    assert due(MONTHLY, month_ago, due_at=None) is ReasonCode.NO_SCHEDULE
    assert due(MONTHLY, month_ago, due_at=NOW + DAY) is ReasonCode.NOT_YET


def test_a_rotation_under_way_holds_another_one_back() -> None:
    decision = decide(a_credential(MONTHLY), None, a_rotation(), NOW)
    assert not decision.due
    assert decision.reason.code is ReasonCode.ROTATION_ACTIVE


@pytest.mark.parametrize(
    ("missed", "code"),
    [(Missed.CATCH_UP, ReasonCode.SCHEDULE), (Missed.ALERT, ReasonCode.MISSED_ALERT)],
)
def test_a_rotation_that_was_missed_follows_its_policy(missed: Missed, code: ReasonCode) -> None:
    policy = Policy(every=30 * DAY, missed=missed)
    assert due(policy, NOW - 40 * DAY, due_at=NOW - 10 * DAY) is code
