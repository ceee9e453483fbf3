"""What looks make of a kept finding, in every order: what is told agrees with what is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.posture.finding import Missing, Topic
from rotator.domain.posture.record import (
    FindingRecord,
    FindingState,
    Turn,
    found_again,
    is_unknown,
    not_found,
)
from rotator.domain.risk import Risk
from tests.integration.store_objects import NOW
from tests.unit.posture_support import a_suppression, at_fly

DAY = timedelta(days=1)
HIDE = a_suppression()
LOOKS = st.lists(
    st.one_of(st.none(), st.tuples(st.booleans(), st.sampled_from(Risk))), min_size=1, max_size=12
)
"""What each look finds: nothing, or the finding, hidden or not, as bad as that."""
AFTER = {
    Turn.OPENED: FindingState.OPEN,
    Turn.REOPENED: FindingState.OPEN,
    Turn.CHANGED: FindingState.OPEN,
    Turn.SUPPRESSED: FindingState.SUPPRESSED,
    Turn.RESOLVED: FindingState.RESOLVED,
}


@given(LOOKS)
def test_who_follows_the_events_knows_how_things_stand(
    looks: list[tuple[bool, Risk] | None],
) -> None:
    known: FindingRecord | None = None
    followed: tuple[FindingState, Risk] | None = None
    opened = 0
    for number, look in enumerate(looks):
        now = NOW + number * DAY
        if look is None:
            if known is None or known.state is FindingState.RESOLVED:
                continue
            change = not_found(known, now)
        else:
            hidden, risk = look
            finding = replace(at_fly(), risk=risk)
            change = found_again(known, finding, HIDE if hidden else None, "acme", now)
        before, known = known, change.record
        assert change.before == before
        if change.turn is not Turn.STILL:
            followed = (AFTER[change.turn], known.severity)
            opened += change.turn in (Turn.OPENED, Turn.REOPENED)
        assert followed is not None
        assert followed[0] is known.state
        if known.state is FindingState.OPEN:
            assert followed[1] is known.severity
        assert (known.resolved_at is None) is (known.state is not FindingState.RESOLVED)
        assert known.opened_at <= known.seen_at <= now
        assert (known.note != "") is (known.state is FindingState.SUPPRESSED)
        assert known.times == opened


def test_only_what_was_read_says_that_nothing_is_there() -> None:
    record = found_again(None, at_fly(), None, "acme", NOW).record
    every = frozenset(Topic)
    assert not is_unknown(record, every, [])
    assert is_unknown(record, every - {Topic.TOKENS}, [])
    for organization, app, unknown in (
        ("acme", "web", True),
        ("acme", "", True),
        ("", "", True),
        ("acme", "api", False),
        ("other", "", False),
    ):
        missing = Missing(Topic.TOKENS, organization, app, "why")
        assert is_unknown(record, every, [missing]) is unknown
        assert not is_unknown(record, every, [replace(missing, topic=Topic.PEERS)])
