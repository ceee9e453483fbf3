"""Two writers at one target: how they are told apart, and when rotator gives way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.drift import (
    CONTEST_WRITES,
    TargetWatch,
    Writer,
    changed_behind,
    overwritten,
    settled,
    written,
)
from rotator.domain.ports import TargetState
from tests.unit.builders import NOW

HOUR = timedelta(hours=1)
LAG = timedelta(minutes=1)


def ours(marker: str = "ours", at: int = 0) -> TargetWatch:
    return TargetWatch("id", "target", marker, Writer.ROTATOR, NOW + at * HOUR)


def theirs(marker: str, at: int) -> TargetState:
    return TargetState(marker, NOW + at * HOUR)


@given(st.lists(st.sampled_from("RO"), min_size=1, max_size=40))
def test_rotator_writes_once_more_at_most_after_it_was_undone(turns: list[str]) -> None:
    watch, undone = ours(), 0
    for at, turn in enumerate(turns, start=1):
        if turn == "O":
            watch = overwritten(watch, theirs(f"{at}", at), "eve", NOW)
            undone = 1 if watch.writes == 1 else undone
        elif watch.contested_at is None:
            watch = written(watch, ours(f"{at}", at))
        assert watch.writes <= CONTEST_WRITES
        assert (watch.contested_at is not None) == (watch.writes == CONTEST_WRITES)
        assert not watch.drifted or watch.other == "eve"


def test_a_value_that_stood_until_the_next_rotation_ends_a_dispute() -> None:
    watch = overwritten(ours(), theirs("a", 1), "eve", NOW)
    watch = written(watch, ours("b", 2))
    assert watch.writes == 2
    assert written(watch, ours("old", 3), restored=True).writes == 2
    assert written(watch, ours("c", 3)).writes == 0


def test_somebody_who_writes_again_over_their_own_undoes_nobody() -> None:
    watch = ours()
    for at in range(1, 9):
        watch = overwritten(watch, theirs(f"{at}", at), "", NOW)
    assert (watch.writes, watch.contested_at) == (1, None)
    assert watch.other == "somebody whom Fly does not name"


def test_a_persons_word_lets_rotator_write_again() -> None:
    watch = ours()
    for at in (1, 3):
        watch = overwritten(watch, theirs(f"{at}", at), "eve", NOW)
        watch = watch if watch.contested_at else written(watch, ours(f"{at + 1}", at + 1))
    assert watch.contested_at is not None
    again = settled(watch)
    assert (again.drifted, again.contested_at) == (False, None)
    assert written(again, ours("mine", 5)).writes == 0


def test_an_old_list_is_no_drift() -> None:
    known = ours("new", 5)
    late = NOW + 7 * HOUR
    assert not changed_behind(known, theirs("new", 0), late, LAG)
    assert not changed_behind(known, theirs("old", 0), late, LAG)
    assert not changed_behind(known, theirs("other", 6), NOW + 5 * HOUR, LAG)
    assert changed_behind(known, theirs("other", 6), late, LAG)
    assert changed_behind(known, None, late, LAG)
    gone = replace(known, marker="absent", writer=Writer.OTHER)
    assert not changed_behind(gone, None, late, LAG)
