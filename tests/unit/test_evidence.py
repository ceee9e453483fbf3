"""What a report reads from events: how old a value is, and what became of a rotation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from rotator.domain.ages import Life, Standing, age_row, life_of, policy_text
from rotator.domain.courses import Course, Ending, Period, Tally, course_of
from rotator.domain.events import Action, LoggedEvent, Outcome, place
from rotator.domain.policy import Policy
from rotator.domain.rotation import Actor
from tests.integration.store_objects import NOW, a_credential, a_spec, an_event, minutes

DAY = timedelta(days=1)
ANN = Actor("user", "ann@laptop")


def told(*actions: Action | tuple[Action, dict[str, str]]) -> list[LoggedEvent]:
    """Events a minute apart, oldest first."""
    found: list[LoggedEvent] = []
    for number, given in enumerate(actions):
        action, detail = given if isinstance(given, tuple) else (given, {})
        event = an_event(
            number,
            action=action,
            outcome=Outcome.INFO,
            actor=ANN,
            credential="session",
            rotation_id="01R",
            detail=detail,
        )
        found.append(place(event, after=found[-1] if found else None))
    return found


ASKED = (Action.ROTATION_REQUESTED, {"mode": "normal"})
PARKED = (Action.ROTATION_PARKED, {"cause": "the issuer said no"})
ENDINGS = {
    "asked only": ([ASKED], Ending.UNDER_WAY),
    "done": ([ASKED, Action.VERSION_PROMOTED, Action.ROTATION_SUCCEEDED], Ending.SUCCEEDED),
    "parked": ([ASKED, PARKED], Ending.PARKED),
    "parked and let go on": ([ASKED, PARKED, Action.ROTATION_RETRIED], Ending.UNDER_WAY),
    "an abort that was refused": (
        [ASKED, Action.ROTATION_SUCCEEDED, Action.ROTATION_ABORTED],
        Ending.SUCCEEDED,
    ),
    "given up": (
        [ASKED, PARKED, Action.ROTATION_ABORTED, Action.ROTATION_ROLLED_BACK],
        Ending.ROLLED_BACK,
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_rotation_stands_where_its_last_event_leaves_it(name: str) -> None:
    events, ending = ENDINGS[name]
    assert course_of(told(*events)).ending is ending


def test_a_course_tells_what_went_wrong_and_who_helped() -> None:
    course = course_of(told(ASKED, PARKED, Action.ROTATION_RETRIED, Action.ROTATION_SUCCEEDED))
    assert [(t.what, t.cause, t.sequence) for t in course.troubles] == [
        ("parked", "the issuer said no", 2)
    ]
    assert course.how_it_ended == "succeeded, let go on by user:ann@laptop"
    assert (course.first, course.last, course.took) == (1, 4, minutes(3))


def test_the_time_to_revoke_counts_from_the_wish() -> None:
    asked = (Action.ROTATION_REQUESTED, {"mode": "emergency"})
    course = course_of(told(asked, Action.VERSION_PROMOTED, Action.VERSION_REVOKED))
    assert course.is_emergency
    assert course.revoked_after == minutes(2)
    assert course.in_use_after == minutes(1)


def a_course(**times: object) -> Course:
    course = course_of(told(ASKED, Action.ROTATION_SUCCEEDED))
    return Course(**{**vars(course), **times})


def test_every_week_of_the_period_is_counted_also_without_a_rotation() -> None:
    wednesday = datetime(2026, 1, 7, tzinfo=UTC)
    tally = Tally(Period(wednesday, wednesday + 21 * DAY))
    tally.add(a_course(asked_at=wednesday + DAY, ended_at=wednesday + 8 * DAY))
    tally.add(a_course(asked_at=wednesday - 9 * DAY, ended_at=None, ending=Ending.UNDER_WAY))
    assert [count.total() for count in tally.bins.values()] == [1, 1, 0, 0]
    assert all(day.weekday() == 0 for day in tally.bins)


def test_a_long_period_is_counted_in_months() -> None:
    tally = Tally(Period(NOW, NOW + 900 * DAY))
    assert tally.monthly
    assert all(day.day == 1 for day in tally.bins)
    assert len(tally.bins) == 30
    assert min(tally.bins) == date(NOW.year, NOW.month, 1)


ADDED = Action.CREDENTIAL_ADDED


def life(*actions: Action | tuple[Action, dict[str, str]]) -> Life:
    return life_of(reversed(told(*actions)))


def promoted(version: str) -> tuple[Action, dict[str, str]]:
    return Action.VERSION_PROMOTED, {"version": version}


def test_a_value_is_as_old_as_its_promotion() -> None:
    found = life(ADDED, promoted("v1"), promoted("v2"))
    assert (found.version, found.born, found.evidence) == ("v2", NOW + minutes(2), 3)


def test_a_value_that_was_undone_leaves_the_one_before_it_in_use() -> None:
    discarded = (Action.VERSION_DISCARDED, {"version": "v2"})
    assert life(ADDED, promoted("v1"), promoted("v2"), discarded).version == "v1"


def test_an_adopted_value_is_as_old_as_its_issuer_says_or_of_unknown_age() -> None:
    made = (NOW - DAY).isoformat()
    assert life((Action.VERSION_ADOPTED, {"version": "v", "created_at": made})).born == NOW - DAY
    unknown = life((Action.VERSION_ADOPTED, {"version": "v", "created_at": ""}))
    assert (unknown.version, unknown.born) == ("v", None)


def test_what_was_promoted_after_its_removal_is_unmanaged_all_the_same() -> None:
    assert not life(ADDED, Action.CREDENTIAL_UNMANAGED, promoted("v1")).managed
    assert life(ADDED, Action.CREDENTIAL_UNMANAGED, ADDED, promoted("v1")).managed


def standing(found: Life, policy: Policy, days: float) -> Standing:
    credential = a_credential(spec=a_spec(policy=policy))
    return age_row(credential, found, NOW + timedelta(days=days)).standing


MONTHLY = Policy(every=timedelta(days=30))
FRESH = Life("v1", NOW)
STANDINGS = [
    (FRESH, MONTHLY, 29, Standing.WITHIN),
    (FRESH, MONTHLY, 30.02, Standing.WITHIN),
    (FRESH, MONTHLY, 30.1, Standing.OVER),
    (FRESH, Policy(max_age=timedelta(days=7)), 8, Standing.OVER),
    (FRESH, Policy(), 900, Standing.BY_HAND),
    (Life("v1", None, adopted=True), MONTHLY, 1, Standing.UNKNOWN),
    (Life(), MONTHLY, 1, Standing.NO_VALUE),
    (Life("v1", NOW, gone=True), MONTHLY, 1, Standing.GONE),
    (Life("v1", NOW, managed=False), MONTHLY, 99, Standing.UNMANAGED),
]


@pytest.mark.parametrize(("found", "policy", "days", "wanted"), STANDINGS)
def test_an_age_is_held_against_the_policy(
    found: Life, policy: Policy, days: float, wanted: Standing
) -> None:
    assert standing(found, policy, days) is wanted


def test_a_policy_is_told_in_a_few_words() -> None:
    words: Sequence[tuple[Policy, str]] = (
        (Policy(), "by hand"),
        (Policy(cron="0 3 1 * *", zone="Europe/Berlin"), "cron 0 3 1 * * Europe/Berlin"),
        (Policy(every=30 * DAY, max_age=90 * DAY), "every 30d, at most 90d"),
    )
    for policy, wanted in words:
        assert policy_text(policy) == wanted
