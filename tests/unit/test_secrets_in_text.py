"""Secrets in plain text are found, and what only looks like one is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.domain.posture.secrets_in_text import (
    Suspicion,
    suspicion,
    suspicions_in_file,
    suspicions_in_text,
)
from rotator.domain.risk import Risk
from tests.unit.secret_corpus import NOW, Dice, Sample, harmless, issued, secrets

RECALL_AT_LEAST = 0.95
FALSE_ALARMS_AT_MOST = 0.02


def looked_at(sample: Sample) -> tuple[Suspicion, ...]:
    if sample.name:
        found = suspicion(sample.name, sample.value, NOW)
        return () if found is None else (found,)
    return suspicions_in_text(sample.value, NOW)


def test_nearly_every_secret_of_the_corpus_is_found() -> None:
    samples = secrets()
    missed = [sample for sample in samples if not looked_at(sample)]
    assert len(samples) >= 150
    assert 1 - len(missed) / len(samples) >= RECALL_AT_LEAST, missed


def test_hardly_anything_harmless_of_the_corpus_is_taken_for_a_secret() -> None:
    samples = harmless()
    alarms = [sample for sample in samples if looked_at(sample)]
    assert len(samples) >= 300
    assert len(alarms) / len(samples) <= FALSE_ALARMS_AT_MOST, alarms


def test_recall_does_not_hang_on_one_roll_of_the_dice() -> None:
    values = [value for seed in range(100, 110) for value in issued(Dice(seed))]
    missed = [value for value in values if suspicion("SETTING", value, NOW) is None]
    assert 1 - len(missed) / len(values) >= RECALL_AT_LEAST, missed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_TOKEN", "${API_TOKEN}"),
        ("DB_PASSWORD", "$(cat /run/secrets/db)"),
        ("AWS_ACCESS_KEY_ID", "AK" + "IA" + "QWERTYUIOPASDFGH"),
        ("NEXT_PUBLIC_KEY", Dice(1).hex(32)),
        ("GIT_SHA", Dice(2).hex(40)),
        ("TENANT", Dice(3).uuid()),
        ("DATABASE_URL", "postgres://db.internal/app"),
        ("FLY_REGIONS", "ams,fra,iad"),
        ("TOKEN_TTL", "86400"),
        ("SUPABASE_ANON_KEY", Dice(4).jwt(role="anon")),
    ],
)
def test_what_only_looks_like_a_secret_is_left_alone(name: str, value: str) -> None:
    assert suspicion(name, value, NOW) is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("fm2" + "_" + Dice(5).base64(60), "fly-token"),
        ("gh" + "p_" + Dice(6).alnum(36), "github-token"),
        ("sk-" + "ant-api03-" + Dice(7).alnum(90), "anthropic-key"),
        ("sk" + "_live_" + Dice(8).alnum(24), "stripe-key"),
        (Dice(9).pem("EC " + "PRIVATE KEY"), "private-key"),
        ("postgres://a:" + Dice(10).alnum(12) + "@db.internal/x", "address-password"),
    ],
)
def test_the_kind_of_a_secret_is_named_by_its_form(value: str, code: str) -> None:
    found = suspicion("ANYTHING", value, NOW)
    assert found is not None
    assert found.code == code
    assert found.risk is Risk.CRITICAL


def test_a_json_web_token_that_has_run_out_is_told_softly() -> None:
    old = suspicion("SESSION", Dice(1).jwt(exp=NOW.timestamp() - 1), NOW)
    new = suspicion("SESSION", Dice(1).jwt(exp=NOW.timestamp() + 1), NOW)
    assert old is not None
    assert old.risk is Risk.LOW
    assert new is not None
    assert new.risk is Risk.HIGH


def test_the_place_of_a_secret_is_that_of_its_value_alone() -> None:
    password = Dice(3).alnum(20)
    text = f"psql postgres://web:{password}@db.internal/web && ./server --token={password}9"
    places = [text[found.start : found.end] for found in suspicions_in_text(text, NOW)]
    assert places == [password, password + "9"]


def test_settings_on_the_lines_of_a_file_are_looked_at() -> None:
    password = Dice(4).alnum(16)
    files = [
        f"host: db\npassword: {password}\n",
        f'[db]\nhost = "db"\npassword = "{password}"\n',
        f'{{"host": "db", "password": "{password}"}}',
        f"export DB_PASSWORD='{password}'\n",
    ]
    for text in files:
        assert [text[f.start : f.end] for f in suspicions_in_file(text, NOW)] == [password], text


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), position=st.integers(0, 40))
def test_a_suspicion_shows_nothing_of_the_value(seed: int, position: int) -> None:
    values = issued(Dice(seed))
    value = values[position]
    found = suspicion("SETTING", value, NOW)
    if found is not None:
        shown = f"{found!r} {found}"
        assert not any(value[at : at + 8] in shown for at in range(10, len(value) - 8))


@settings(max_examples=150, deadline=None)
@given(name=st.text(max_size=30), value=st.text(max_size=200))
def test_no_text_breaks_the_search(name: str, value: str) -> None:
    for found in (suspicion(name, value, NOW), *suspicions_in_text(value, NOW)):
        if found is not None:
            assert 0 <= found.start < found.end <= len(value)


@pytest.mark.parametrize(
    "piece", ["a", "--a ", "curl -", "a/", "token: ", "://a:", "-----BEGIN A "]
)
def test_a_long_text_is_no_more_than_long_work(piece: str) -> None:
    text = piece * (30_000 // len(piece))
    assert len(suspicions_in_text(text, NOW)) <= 100
    suspicion("SETTING", text, NOW)
