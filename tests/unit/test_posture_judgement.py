"""Findings against suppressions and baselines: what counts, what is hidden, what is told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.cli.posturing.baseline import baseline_text, read_baseline, write_baseline
from rotator.domain.errors import InputError
from rotator.domain.posture.finding import Missing, Topic
from rotator.domain.posture.judgement import BaselineEntry, Standing, entries_of
from rotator.domain.risk import Risk
from rotator.manifest.problems import ManifestError
from rotator.manifest.suppressions import (
    load_suppressions,
    parse_suppressions,
    suppressions_beside,
)
from tests.unit.posture_support import (
    CATALOGUE,
    HTTPS,
    SECRET,
    TODAY,
    TOKEN,
    a_suppression,
    an_entry,
    at_fly,
    in_file,
    judged,
)

UNREAD = Missing(Topic.TOKENS, "acme", "", "the token may not list tokens")


def test_a_suppression_hides_what_fits_until_the_end_of_its_last_day() -> None:
    last_day = a_suppression(until=TODAY)
    assert judged(in_file(), suppressions=[last_day]).judged[0].standing is Standing.SUPPRESSED
    past = a_suppression(until=date(2026, 5, 31))
    found = judged(in_file(), suppressions=[past])
    assert found.judged[0].standing is Standing.NEW
    assert found.ended == (past,)
    assert found.unused == ()


@pytest.mark.parametrize(
    ("changes", "hides"),
    [
        ({}, True),
        ({"subject": "*"}, True),
        ({"subject": "fly.toml#env.API_KEY"}, True),
        ({"subject": "fly.toml#env.API_KE?"}, True),
        ({"subject": "FLY.TOML#*"}, False),
        ({"subject": "fly.toml"}, False),
        ({"rule": HTTPS.id}, False),
    ],
)
def test_a_suppression_is_for_one_rule_and_a_pattern(
    changes: dict[str, str], *, hides: bool
) -> None:
    found = judged(in_file(), suppressions=[a_suppression(**changes)])
    assert (found.judged[0].standing is Standing.SUPPRESSED) is hides


def test_a_suppression_that_fits_nothing_is_told_only_where_its_rule_had_its_say() -> None:
    unused = a_suppression(rule=TOKEN.id, subject="*")
    assert judged(suppressions=[unused]).unused == (unused,)
    assert judged(suppressions=[unused], topics=frozenset({Topic.CONFIG})).unused == ()
    assert judged(suppressions=[unused], missing=[UNREAD]).unused == ()
    assert judged(suppressions=[unused], app="web").unused == ()


def test_only_what_the_baseline_does_not_have_counts() -> None:
    old, new = in_file("OLD"), in_file("NEW")
    found = judged(old, new, baseline=[an_entry(old)])
    assert [(j.finding.subject, j.standing) for j in found.judged] == [
        ("fly.toml#env.NEW", Standing.NEW),
        ("fly.toml#env.OLD", Standing.KNOWN),
    ]
    assert found.fails(Risk.HIGH)
    assert not judged(old, baseline=[an_entry(old)]).fails(Risk.NOTE)


def test_what_moves_to_another_line_is_still_known() -> None:
    entry = an_entry(in_file(line=12))
    assert judged(in_file(line=90), baseline=[entry]).standing(Standing.KNOWN)


def test_what_is_fixed_is_told_but_not_what_could_not_be_read() -> None:
    token, secret = an_entry(at_fly()), an_entry(in_file())
    assert judged(baseline=[token, secret]).fixed == (secret, token)
    assert judged(baseline=[token, secret], missing=[UNREAD]).fixed == (secret,)
    assert judged(baseline=[token], app="web").fixed == (token,)
    assert judged(baseline=[token], app="api").fixed == ()
    gone = BaselineEntry("0" * 32, "rule-of-an-older-rotator", "x")
    assert judged(baseline=[gone]).fixed == (gone,)


def test_the_worst_comes_first_and_the_limit_decides() -> None:
    found = judged(in_file(rule=HTTPS), in_file(), at_fly())
    severities = [j.finding.severity for j in found.judged]
    assert severities == [Risk.CRITICAL, Risk.HIGH, Risk.MEDIUM]
    assert judged(in_file(rule=HTTPS)).fails(Risk.MEDIUM)
    assert not judged(in_file(rule=HTTPS)).fails(Risk.HIGH)
    assert not found.fails(None)
    assert judged(in_file(rule=HTTPS, risk=Risk.CRITICAL)).fails(Risk.CRITICAL)


def test_a_baseline_comes_back_as_it_was_written_and_is_the_same_each_time(tmp_path: Path) -> None:
    findings = [in_file("Ü"), at_fly(), in_file(rule=HTTPS), in_file("Ü", line=40)]
    entries = entries_of(judged(*findings, suppressions=[a_suppression(rule=HTTPS.id)]))
    assert [entry.rule for entry in entries] == [SECRET.id, TOKEN.id]
    file = tmp_path / "baseline.json"
    write_baseline(file, entries)
    assert read_baseline(file) == entries
    again = entries_of(judged(*reversed(findings), suppressions=[a_suppression(rule=HTTPS.id)]))
    assert baseline_text(again) == file.read_text()
    assert list(tmp_path.iterdir()) == [file]


@settings(max_examples=30)
@given(st.lists(st.builds(in_file, st.text()), max_size=5, unique_by=lambda f: f.fingerprint))
def test_every_subject_survives_a_baseline(findings: list[object]) -> None:
    import tempfile

    entries = entries_of(judged(*findings))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        write_baseline(Path(folder) / "b", entries)
        assert read_baseline(Path(folder) / "b") == entries


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"b\.json:1: is no JSON"),
        ("[]", 'is no baseline: "format"'),
        ('{"format": "rotator-posture-baseline/2"}', 'is no baseline: "format"'),
        ('{"format": "rotator-posture-baseline/1"}', "is damaged"),
        ('{"format": "rotator-posture-baseline/1", "findings": [{"rule": 1}]}', "is damaged"),
        ("[" * 100_000, r"b\.json"),
    ],
)
def test_what_is_no_baseline_is_told(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "b.json"
    file.write_text(text)
    with pytest.raises(InputError, match=told):
        read_baseline(file)
    with pytest.raises(InputError, match="there is no such baseline"):
        read_baseline(tmp_path / "other.json")


GOOD = """\
[[suppress]]
rule = "secret-in-env"
subject = "fly.toml#*"
reason = "a public
 key"
until = 2026-12-31
""".replace('"a public\n key"', '"""a public\n key"""')


def test_a_file_of_suppressions_is_read(tmp_path: Path) -> None:
    (tmp_path / "rotator-posture.toml").write_text(GOOD)
    found = suppressions_beside(tmp_path / "rotator.toml", CATALOGUE)
    assert found == (a_suppression(where=f"{tmp_path}/rotator-posture.toml:1"),)
    as_text = GOOD.replace("2026-12-31", '"2026-12-31"')
    assert parse_suppressions(as_text, "f", CATALOGUE)[0].until == date(2026, 12, 31)
    assert suppressions_beside(tmp_path / "other" / "rotator.toml", CATALOGUE) == ()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("secret-in-env", "secret-in-en", r"f:2: .*rule: 'secret-in-en' is no rule; `rotator"),
        ('reason = """a public\n key"""\n', "", r"f:1: .*reason: is missing"),
        ('"""a public\n key"""', '" "', r"f:4: .*reason: is empty"),
        ("until = 2026-12-31\n", "", r"f:1: .*until: is missing"),
        ("2026-12-31", '"tomorrow"', r"f:6: .*until: is not a day"),
        ("2026-12-31", "2026-12-31T00:00:00", r"f:6: .*until: is not a day"),
        ('subject = "fly.toml#*"', 'subject = ""', r"f:3: .*subject: is empty"),
        ("reason =", "because =", r"f:4: .*because: is not known here"),
        ("[[suppress]]", "[[supress]]", r"f:1: supress.*did you mean 'suppress'"),
        ("[[suppress]]", "[[suppress]", r"f:1: syntax: "),
    ],
)
def test_what_is_wrong_with_a_suppression_is_one_line_with_its_place(
    before: str, after: str, told: str
) -> None:
    with pytest.raises(ManifestError, match=told):
        parse_suppressions(GOOD.replace(before, after), "f", CATALOGUE)


def test_all_that_is_wrong_is_told_at_once() -> None:
    text = GOOD.replace("secret-in-env", "x") + GOOD.replace("until = 2026-12-31", "")
    with pytest.raises(ManifestError) as caught:
        parse_suppressions(text, "f", CATALOGUE)
    assert [problem.line for problem in caught.value.problems] == [2, 7]


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file of suppressions"):
        load_suppressions(tmp_path / "none.toml", CATALOGUE)
