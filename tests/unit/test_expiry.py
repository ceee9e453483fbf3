"""A value is replaced before it expires, whatever the schedule says; if not, somebody is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.alarms import AlarmKind, alarms
from rotator.domain.credential import Credential, CredentialMode, Issued, Version
from rotator.domain.due import decide
from rotator.domain.policy import Blackout, Missed, Policy, Window
from rotator.domain.reasons import ReasonCode
from rotator.domain.schedule import RETRY_ROOM, expires_at, expiry_deadline, next_due
from rotator.engine.inventory import first_due
from tests.unit.builders import NOW, a_credential, a_version

DAY = timedelta(days=1)
MONTHLY = Policy(every=30 * DAY)
SUNDAYS = Window(frozenset({6}), time(3), timedelta(hours=2))


def a_value(*, since: datetime, until: datetime) -> Version:
    """A value that is valid in this time."""
    version = a_version(promoted_at=since)
    return replace(version, issued=Issued("ref", "name", created_at=since, expires_at=until))


def observed(credential: Credential) -> Credential:
    return replace(credential, spec=replace(credential.spec, mode=CredentialMode.OBSERVE))


@given(st.integers(1, 400), st.integers(0, 30), st.integers(0, 48), st.integers(0, 10_000))
def test_a_token_that_rotator_made_is_never_replaced_early(
    every: int, overlap: int, jitter: int, seed: int
) -> None:
    policy = Policy(every=every * DAY, overlap=overlap * DAY, jitter=timedelta(hours=jitter))
    ends = expires_at(policy, NOW)
    deadline = expiry_deadline(policy, since=NOW, expires_at=ends)
    plain = next_due(policy, anchor=NOW, seed=str(seed))
    assert next_due(policy, anchor=NOW, seed=str(seed), deadline=deadline) == plain


@given(st.integers(2, 1000), st.integers(0, 40), st.integers(1, 800), st.booleans())
def test_there_is_time_for_the_overlap_and_for_failed_tries(
    life: int, overlap: int, every: int, windowed: bool
) -> None:
    window = SUNDAYS if windowed else None
    policy = Policy(every=every * DAY, overlap=overlap * DAY, window=window)
    ends = NOW + life * DAY
    due = first_due(a_credential(policy), a_value(since=NOW, until=ends), NOW)
    assert due is not None
    room = min(policy.overlap + RETRY_ROOM, life * DAY / 2)
    assert NOW <= due <= max(ends - room, NOW + 7 * DAY if windowed else NOW)


def test_what_has_no_schedule_is_due_before_it_expires_too() -> None:
    ends = NOW + 100 * DAY
    due = first_due(a_credential(Policy()), a_value(since=NOW, until=ends), NOW)
    assert due == ends - 2 * DAY


def test_what_can_not_live_longer_is_not_replaced_again_and_again() -> None:
    """As with `narrow.until`: every new value ends at the same moment."""
    ends, at, rotations = NOW + 10 * DAY, NOW, 0
    while (due := expiry_deadline(MONTHLY, since=at, expires_at=ends)) is not None:
        at, rotations = due, rotations + 1
    assert rotations <= 3


@pytest.mark.parametrize(
    "policy",
    [
        replace(MONTHLY, blackouts=(Blackout(NOW - DAY, NOW + 9 * DAY),)),
        replace(MONTHLY, missed=Missed.ALERT),
        replace(MONTHLY, missed=Missed.NEXT_WINDOW, window=SUNDAYS),
    ],
)
def test_neither_window_nor_blackout_nor_a_missed_time_holds_up_what_expires(
    policy: Policy,
) -> None:
    credential = a_credential(policy, due_at=NOW - 3 * DAY)
    ending = a_value(since=NOW - 90 * DAY, until=NOW + DAY)
    decision = decide(credential, ending, None, NOW)
    assert (decision.due, decision.reason.code) == (True, ReasonCode.EXPIRING)
    lasting = a_value(since=NOW - 90 * DAY, until=NOW + 90 * DAY)
    assert not decide(credential, lasting, None, NOW).due
    assert not decide(observed(credential), ending, None, NOW).due


def kinds(credential: Credential, value: Version) -> list[AlarmKind]:
    return [alarm.kind for alarm in alarms(credential, value, NOW)]


def test_an_alarm_is_raised_only_where_nobody_replaces_the_value_in_time() -> None:
    ending = a_value(since=NOW - 90 * DAY, until=NOW + 5 * DAY)
    assert kinds(a_credential(due_at=NOW + 2 * DAY), ending) == []
    assert kinds(a_credential(due_at=NOW + 6 * DAY), ending) == [AlarmKind.EXPIRING]
    assert kinds(a_credential(due_at=NOW - DAY), ending) == [AlarmKind.EXPIRING]
    assert kinds(a_credential(due_at=None), ending) == [AlarmKind.EXPIRING]
    assert kinds(observed(a_credential(due_at=NOW + DAY)), ending) == [AlarmKind.EXPIRING]
    gone = a_value(since=NOW - 90 * DAY, until=NOW - DAY)
    assert kinds(a_credential(due_at=NOW + DAY), gone) == [AlarmKind.EXPIRED]
    aged = Policy(every=30 * DAY, max_age=60 * DAY)
    lasting = a_value(since=NOW - 61 * DAY, until=NOW + 90 * DAY)
    assert kinds(a_credential(aged), lasting) == [AlarmKind.TOO_OLD]


def test_an_alarm_changes_its_stage_as_the_end_comes_nearer() -> None:
    credential = a_credential(due_at=None)
    stages = []
    for left in (14, 8, 7, 3, 2, 1, 0):
        value = replace(a_value(since=NOW - 90 * DAY, until=NOW + left * DAY), id="v")
        stages.append(alarms(credential, value, NOW)[0].stage)
    assert stages == [
        "v 2w", "v 2w", "v 1w", "v 3d", "v 3d", "v 1d", "v 0s",
    ]  # fmt: skip
