"""The forms that findings are told in: table, JSON, SARIF, JUnit."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from rich.cells import cell_len

from rotator.cli.posturing.data import as_data
from rotator.cli.posturing.junit import as_junit
from rotator.cli.posturing.sarif import as_sarif
from rotator.cli.posturing.table import table_lines
from rotator.cli.posturing.words import asides, summary, suppressed_lines
from rotator.cli.text import plain
from rotator.domain.posture.finding import Finding, Missing, Region, Topic
from rotator.domain.posture.judgement import Judgement
from rotator.domain.risk import Risk
from tests.unit.builders import NOW
from tests.unit.posture_support import (
    HTTPS,
    SECRET,
    TOKEN,
    a_suppression,
    an_entry,
    at_fly,
    in_file,
    judged,
)

SCHEMA = Path(__file__).parent / "data" / "sarif-schema-2.1.0.json"
UNREAD = Missing(Topic.IMAGES, "acme", "web", "Fly did not answer")
GONE = in_file("GONE")
ENDED = "and hides nothing any more"
LONG = in_file(
    "LONG",
    message="a long story " * 12 + "with-one-word-that-is-longer-than-any-line-" * 4,
    mend="fly secrets set LONG=…\nthen take it out of [env]:\n-  LONG = …",
)


def everything() -> Judgement:
    """A judgement with each thing that can be told."""
    return judged(
        in_file("OLD"),
        in_file("NEW"),
        in_file("HIDDEN", risk=Risk.LOW),
        in_file(rule=HTTPS),
        at_fly(),
        missing=[UNREAD],
        suppressions=[
            a_suppression(subject="*HIDDEN"),
            a_suppression(subject="no-such", where="p:9"),
            a_suppression(until=NOW.date().replace(year=2025), where="p:20"),
        ],
        baseline=[an_entry(in_file("OLD")), an_entry(GONE)],
    )


@cache
def validator() -> Draft4Validator:
    return Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def sarif(judgement: Judgement) -> Any:
    """As a reader gets it, and valid."""
    found = json.loads(json.dumps(as_sarif(judgement, "0.1.0", "files")))
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in validator().iter_errors(found)]
    assert errors == []
    return found["runs"][0]


def test_the_schema_refuses_what_is_no_sarif() -> None:
    broken = as_sarif(everything(), "0.1.0", "files")
    broken["runs"][0]["results"][0]["level"] = "fatal"  # type: ignore[index]
    assert not validator().is_valid(json.loads(json.dumps(broken)))


def test_sarif_has_rules_places_fingerprints_and_what_a_person_said() -> None:
    run = sarif(everything())
    rules = run["tool"]["driver"]["rules"]
    results = {each["message"]["text"].split()[0]: each for each in run["results"]}
    new = results["env.NEW"]
    assert rules[new["ruleIndex"]]["id"] == new["ruleId"] == SECRET.id
    rule = rules[new["ruleIndex"]]
    assert rule["helpUri"] == SECRET.page
    assert SECRET.mend in rule["help"]["text"]
    assert rule["properties"]["security-severity"] == "8.0"
    assert new["level"] == "error"
    place = new["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "fly.toml"
    assert place["region"] == {"startLine": 12, "startColumn": 3, "endLine": 12, "endColumn": 20}
    assert new["partialFingerprints"] == {"rotatorFinding/v1": in_file("NEW").fingerprint}
    assert new["baselineState"] == "new"
    assert new["suppressions"] == []
    assert results["env.OLD"]["baselineState"] == "unchanged"
    hidden = results["env.HIDDEN"]
    assert hidden["level"] == "note"
    assert hidden["suppressions"][0]["kind"] == "external"
    assert hidden["suppressions"][0]["justification"] == "a public key"
    absent = results["fly.toml#env.GONE"]
    assert (absent["baselineState"], absent["kind"]) == ("absent", "pass")
    assert run["automationDetails"]["id"] == "rotator-posture/files/"
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert "Fly did not answer" in told[0]["message"]["text"]


def test_what_has_no_file_has_a_place_that_code_scanning_takes() -> None:
    result = sarif(judged(at_fly("a b")))["results"][0]
    where = result["locations"][0]
    uri = where["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "fly.io/acme/web/token%3Aweb/a%20b"
    assert where["logicalLocations"][0]["fullyQualifiedName"] == "acme/web/token:web/a b"
    assert "baselineState" not in result


def test_a_path_is_an_address() -> None:
    for path, uri in {"a b/ü.toml": "a%20b/%C3%BC.toml", "/x y/f": "file:///x%20y/f"}.items():
        result = sarif(judged(in_file(region=Region(path, 1, 1, 1, 2))))["results"][0]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_a_rule_that_finds_nothing_is_in_sarif_and_passes_in_junit() -> None:
    nothing = judged(topics=frozenset({Topic.CONFIG}))
    assert [r["id"] for r in sarif(nothing)["tool"]["driver"]["rules"]] == [HTTPS.id, SECRET.id]
    root = ET.fromstring(as_junit(nothing, Risk.HIGH))
    assert (root.get("tests"), root.get("failures")) == ("2", "0")


def test_junit_fails_for_what_the_exit_code_fails_for() -> None:
    root = ET.fromstring(as_junit(everything(), Risk.HIGH))
    cases = {case.get("name", "").split(" ")[0]: case for case in root.iter("testcase")}
    sums = {key: root.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert sums == {"tests": "6", "failures": "2", "errors": "1", "skipped": "2"}
    failure = cases["fly.toml#env.NEW"].find("failure")
    assert failure is not None
    assert failure.get("type") == "high"
    assert SECRET.page in (failure.text or "")
    assert cases["fly.toml#env.NEW"].get("line") == "12"
    assert cases["fly.toml#env.API_KEY"].find("system-out") is not None
    assert cases["acme/web"].find("failure") is not None
    names = {suite.get("name") for suite in root}
    assert names == {SECRET.id, HTTPS.id, TOKEN.id, "not read"}


@given(st.text(st.characters(exclude_categories=())))
def test_junit_and_sarif_hold_every_character(text: str) -> None:
    found = in_file("K", subject=text or "x", message=text, mend=text)
    region = Region(text or "x", 1, 1, 1, 1)
    for finding in (found, Finding(SECRET, text, text, text, text, text, region)):
        document = as_junit(judged(finding), Risk.NOTE)
        root = ET.fromstring(document.encode())
        assert root.get("failures") == "1"
        json.dumps(as_sarif(judged(finding), "0.1.0", "files"))


def test_json_has_all_of_it() -> None:
    found: Any = plain(as_data(everything(), NOW, "0.1.0", failed=True))
    assert found["format"] == "rotator-posture/1"
    assert found["summary"] == {
        "new": {"critical": 1, "high": 1, "medium": 1, "low": 0, "note": 0},
        "known": 1,
        "suppressed": 1,
        "fixed": 1,
        "not_read": 1,
    }
    first = found["findings"][0]
    assert (first["rule"], first["severity"], first["app"]) == (TOKEN.id, "critical", "web")
    assert first["region"] is None
    regions = [each["region"] for each in found["findings"] if each["region"]]
    assert {region["line"] for region in regions} == {12}
    assert found["fixed"][0]["subject"] == GONE.subject
    assert found["not_read"][0]["why"] == "Fly did not answer"
    assert found["suppressions"]["unused"][0]["where"] == "p:9"
    assert found["suppressions"]["ended"][0]["where"] == "p:20"


@pytest.mark.parametrize("width", [30, 80, 149, 150, 200, 400])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_line_is_wider_than_the_terminal(width: int, *, ascii_only: bool) -> None:
    findings = [at_fly(), LONG, in_file("世界" * 30), in_file(rule=HTTPS)]
    lines = [line.plain for line in table_lines(findings, width, ascii_only=ascii_only)]
    assert max(cell_len(line) for line in lines) <= width
    together = "".join(line.strip() for line in lines)
    for finding in findings:
        assert finding.rule.id in together
    assert ("→" in together) is not ascii_only


def test_a_group_has_its_rule_once_and_lines_of_a_patch_stay_apart() -> None:
    lines = [line.plain for line in table_lines([in_file("A"), LONG], 80, ascii_only=False)]
    assert lines[0] == "HIGH      secret-in-env: Title of secret-in-env (2 findings)"
    assert sum("secret-in-env" in line for line in lines) == 1
    assert "          fly.toml:12:3" in lines
    assert "            -  LONG = …" in lines


def test_no_name_can_command_the_terminal() -> None:
    found = at_fly("x\x1b[2J\x07", message="\x9b31m")
    lines = "".join(line.plain for line in table_lines([found], 80, ascii_only=False))
    assert not any(ord(ch) < 32 or 0x7F <= ord(ch) < 0xA0 for ch in lines)


def test_the_sum_and_the_asides() -> None:
    found = everything()
    assert summary(found) == (
        "3 new findings: 1 critical, 1 high, 1 medium; 1 known from the baseline; "
        "1 of the baseline fixed; 1 suppressed; 1 part not read"
    )
    assert list(suppressed_lines(found)) == [
        "1 suppressed until 2026-12-31: a public key (secret-in-env, rotator-posture.toml:3)"
    ]
    assert list(asides(found)) == [
        "not read: images of acme/web: Fly did not answer",
        f"p:20: the suppression of {SECRET.id} at fly.toml#* ended on 2025-06-01 {ENDED}",
        "p:9: secret-in-env at no-such fits nothing; take it out",
    ]
    assert summary(judged()) == "no findings"
    assert summary(judged(in_file())) == "1 finding: 1 high"
