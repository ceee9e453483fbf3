"""A secret shows nothing; the log's chain shows every change."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.cli.text import plain
from rotator.domain.events import Action, Damage, Event, LoggedEvent, Outcome, place
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.fly.redact import MAX_LENGTH, redacted
from tests.harness.chain import first_fault

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUE = "correct horse battery staple"


def test_no_text_that_is_made_of_a_secret_shows_it() -> None:
    secret = Secret(VALUE)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!r:>9}"]
    shown += [repr([secret]), repr({"a": secret}), str(ValueError(secret)), str(plain(secret))]
    assert not [text for text in shown if "horse" in text]
    assert secret.reveal() == VALUE


def test_a_secret_is_neither_pickled_nor_put_into_json() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        json.dumps(Secret(VALUE))
    assert copy.deepcopy(Secret(VALUE)) == Secret(VALUE)


@given(TEXTS, TEXTS)
def test_secrets_are_equal_when_their_values_are(one: str, other: str) -> None:
    assert (Secret(one) == Secret(other)) is (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "bad token fm2_lJPECPWxZSJKWLeRxBBjnvCl/sEq given",
        "Authorization: Bearer fo1_abcdefgh",
        "dial postgres://user:hunter2@db/x failed",
        "value " + "A1b2" * 12 + " is not allowed",
    ],
)
def test_what_looks_like_a_value_is_taken_out_of_flys_texts(text: str) -> None:
    told = redacted(text)
    for part in ("lJPECP", "abcdefgh", "hunter2", "A1b2A1b2"):
        assert part not in told


@given(st.text(max_size=2000))
def test_flys_texts_become_one_short_line(text: str) -> None:
    told = redacted(text)
    assert len(told) <= MAX_LENGTH
    assert len(told.splitlines()) <= 1


def a_log(count: int) -> list[LoggedEvent]:
    events: list[LoggedEvent] = []
    for number in range(count):
        event = Event(
            Action.STEP_DONE,
            Outcome.OK,
            Actor("user", "ä"),
            NOW + timedelta(seconds=number),
            detail={"number": str(number)},
        )
        events.append(place(event, after=events[-1] if events else None))
    return events


@given(st.integers(1, 12), st.data())
def test_every_change_of_a_log_is_found_at_its_place(count: int, data: st.DataObject) -> None:
    log = a_log(count)
    assert first_fault(log) is None
    at = data.draw(st.integers(0, count - 1))
    edited = replace(log[at], event=replace(log[at].event, reason="nothing"))
    fault = first_fault([*log[:at], edited, *log[at + 1 :]])
    assert fault is not None
    assert (fault.sequence, fault.damage) == (at + 1, Damage.EDITED)
    if at < count - 1:
        fault = first_fault([*log[:at], *log[at + 1 :]])
        assert fault is not None
        assert (fault.sequence, fault.damage) == (at + 1, Damage.DELETED)


def test_a_rewritten_tail_is_found_by_its_link() -> None:
    log, other = a_log(5), a_log(6)[1:]
    forged = place(replace(other[2].event, reason="forged"), after=log[1])
    fault = first_fault([*log[:3], replace(forged, sequence=4), log[4]])
    assert fault is not None
    assert fault.damage is Damage.REWRITTEN
