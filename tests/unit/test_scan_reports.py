"""Reports of scanners: four formats into one type, and whatever else may lie in a folder."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.domain.errors import InputError, Refused, Unavailable
from rotator.domain.posture.policy import Scanner
from rotator.domain.posture.scans import ScanReport, ScanWish, Severity, Vulnerability
from rotator.scans import read as reading
from rotator.scans import run as running
from rotator.scans.read import read_folder, read_report
from rotator.scans.run import LocalScans
from rotator.scans.summary import NotAReport, clean, digests_in, instant, severity_of_score
from tests.unit.scan_documents import DIGEST, FORMATS, IMAGE, Json, sarif, trivy

FULL = ("trivy", "grype")
WISH = ScanWish(IMAGE, DIGEST)


def read(document: object) -> ScanReport:
    return read_report(json.dumps(document).encode())


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_says_the_same_of_an_image(name: str) -> None:
    report = read(FORMATS[name]())
    assert report.digests == {DIGEST}
    assert report.image == f"{IMAGE}:v7"
    assert report.at is not None
    assert report.at.replace(microsecond=0) == datetime(2026, 5, 20, 8, tzinfo=UTC)
    assert {severity.word: count for severity, count in report.counts} == {
        "low": 1,
        "medium": 1,
        "high": 1,
        "critical": 1,
    }
    first, second, *_ = report.worst
    assert (first.id, first.package, first.installed) == ("CVE-2026-0001", "openssl", "3.0.11-1")
    assert (second.id, second.package, second.installed) == ("CVE-2026-0002", "zlib1g", "1:1.2.13")


def test_what_only_some_formats_know_is_read_there() -> None:
    reports = {name: read(make()) for name, make in FORMATS.items()}
    assert {name: report.fixable for name, report in reports.items()} == {
        "trivy": 1,
        "grype": 1,
        "cyclonedx": 0,
        "sarif": 1,
    }
    for name, report in reports.items():
        known = name in FULL
        assert report.built_at == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) if known else None)
        assert report.image_user == ("app" if known else None)
        assert report.base.startswith("debian 10") is (name != "sarif")
        assert report.base_ended is (True if name == "trivy" else None)


def test_an_image_that_runs_as_root_by_default_is_told_from_one_of_which_nobody_knows() -> None:
    document = trivy()
    document["Metadata"]["ImageConfig"]["config"] = {"Cmd": ["/app"]}
    assert read(document).image_user == ""
    del document["Metadata"]["ImageConfig"]
    assert read(document).image_user is None


def test_a_secret_that_a_scanner_has_found_is_not_taken_up() -> None:
    report = read(sarif())
    assert "AKIAIOSFODNN7EXAMPLE" not in repr(report)
    assert "aws-access-key-id" not in repr(report)


def test_a_sarif_report_goes_by_score_and_level_where_no_word_is_there() -> None:
    document = sarif()
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    for rule in rules[:4]:
        rule["properties"]["tags"] = []
    assert dict(read(document).counts)[Severity.CRITICAL] == 1
    for rule in rules[:4]:
        rule["properties"] = {}
    assert read(document).counts == ((Severity.HIGH, 4),)


def test_results_that_name_their_rule_by_its_place_alone_are_counted() -> None:
    document = sarif()
    for result in document["runs"][0]["results"][:4]:
        del result["ruleId"]
    assert sum(count for _, count in read(document).counts) == 4


def test_the_same_hole_in_the_same_package_counts_once() -> None:
    document = trivy()
    document["Results"].append(document["Results"][0])
    assert sum(count for _, count in read(document).counts) == 4


def test_an_older_report_of_trivy_is_its_results_alone() -> None:
    report = read(trivy()["Results"])
    assert sum(count for _, count in report.counts) == 4
    assert report.digests == frozenset()


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_without_holes_is_a_report_too(name: str) -> None:
    document = FORMATS[name]()
    for part in ("Results", "matches", "vulnerabilities"):
        if part in document:
            document[part] = []
    for run in document.get("runs", ()):
        run["results"] = None
    report = read(document)
    assert (report.counts, report.worst, report.digests) == ((), (), {DIGEST})


BAD: list[tuple[bytes, str]] = [
    (b"", "no JSON at line 1, column 1"),
    (b"{", "no JSON"),
    (b"\xff\xfe", "no JSON"),
    (b"[" * 100_000, "no JSON"),
    (b"5", "none of SARIF, CycloneDX"),
    (b"{}", "none of SARIF, CycloneDX"),
    (b'{"name": "x", "scripts": {}}', "none of SARIF, CycloneDX"),
    (b'{"bomFormat": "CycloneDX", "components": []}', "bill of materials without vulnerab"),
    (b'{"version": "2.1.0", "runs": []}', "SARIF without a run"),
    (b'{"version": "2.1.0", "runs": [{"tool": {}}]}', r"runs\.0\.tool\.driver: field required"),
    (b'{"Results": "none"}', r"Results: input should be a valid tuple"),
    (b'{"Results": [{"Vulnerabilities": [{}]}]}', r"VulnerabilityID: field required"),
    (b'{"matches": [{"vulnerability": "sk_live_1234"}]}', r"matches\.0\.vulnerability: "),
]


@pytest.mark.parametrize(("text", "why"), BAD)
def test_what_is_no_report_is_told_in_a_line_that_quotes_nothing(text: bytes, why: str) -> None:
    with pytest.raises(NotAReport, match=why) as caught:
        read_report(text)
    assert "\n" not in str(caught.value)
    assert "sk_live" not in str(caught.value)


def test_a_report_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    with pytest.raises(NotAReport, match="larger than"):
        read(trivy())


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
_JSON = (
    _LEAVES
    | st.lists(_LEAVES, max_size=2)
    | st.dictionaries(st.text(max_size=4), _LEAVES, max_size=2)
)


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_bytes_of_any_kind_are_a_report_or_are_told(text: bytes) -> None:
    with suppress(NotAReport):
        read_report(text)


def places(part: object) -> Iterator[tuple[Any, Any]]:
    """Everything in a document, as what holds it and by which key."""
    keys = part.keys() if isinstance(part, dict) else range(len(part) if type(part) is list else 0)
    for key in keys:
        yield part, key
        yield from places(part[key])  # type: ignore[index]


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 10_000), _JSON)
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_a_report_with_a_part_replaced_by_anything_is_read_or_is_told(
    name: str, place: int, instead: object
) -> None:
    document = FORMATS[name]()
    every = list(places(document))
    holder, key = every[place % len(every)]
    holder[key] = instead
    try:
        report = read_report(orjson.dumps(document))
    except NotAReport as error:
        assert len(str(error)) < 400
        assert str(error).isprintable()
    else:
        assert len(report.worst) <= 5
        assert all(str(each).isprintable() for each in report.worst)
        assert report.image.isprintable()


def test_texts_of_strangers_are_fit_for_a_terminal() -> None:
    assert clean("CVE\x1b[31m-1\n\x00 x" + "y" * 500) == "CVE [31m-1 x" + "y" * 108
    assert str(Vulnerability(Severity.HIGH, "CVE-1", "a", "1", "2")) == "CVE-1 in a 1 (fixed in 2)"
    assert str(Vulnerability(Severity.HIGH, "CVE-1")) == "CVE-1"


def test_dates_digests_and_scores_are_read_as_they_are_written() -> None:
    assert instant("2026-05-20T08:00:00.123456789Z") == datetime(2026, 5, 20, 8, 0, 0, 123456, UTC)
    assert instant("0001-01-01T00:00:00Z") is None
    assert instant("yesterday") is None
    assert instant("2026-05-20") == datetime(2026, 5, 20, tzinfo=UTC)
    spelled = {DIGEST, DIGEST.replace(":", "-"), DIGEST.replace(":", "%3A") + "?x=1"}
    assert digests_in([*spelled, None, "sha256:short", DIGEST + "0"]) == {DIGEST}
    scores = (9.8, 7.0, 4.0, 0.1, 0.0)
    assert [severity_of_score(each).word for each in scores] == [
        "critical",
        "high",
        "medium",
        "low",
        "unknown",
    ]


def put(folder: Path, name: str, document: Json | str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_a_folder_is_read_whole_and_names_what_it_could_not_read(tmp_path: Path) -> None:
    for name, make in FORMATS.items():
        put(tmp_path, f"ci/{name}.json", make())
    put(tmp_path, "broken.json", "{")
    put(tmp_path, "notes.txt", "not looked at")
    os.mkfifo(tmp_path / "pipe.json")
    folder = read_folder(str(tmp_path))
    assert [report.source for report in folder.reports] == [
        f"ci/{name}.json" for name in sorted(FORMATS)
    ]
    assert [(each.source, each.why) for each in folder.unreadable] == [
        ("broken.json", "no JSON at line 1, column 2")
    ]


def test_a_file_may_have_the_digest_in_its_name_and_its_date(tmp_path: Path) -> None:
    document = trivy()["Results"]
    named = put(tmp_path, f"web-{DIGEST.replace(':', '-')}.json", json.dumps(document))
    put(tmp_path, "web.json", json.dumps(document))
    os.utime(named, (1_780_000_000, 1_780_000_000))
    folder = read_folder(str(tmp_path))
    (report,), (unreadable,) = folder.reports, folder.unreadable
    assert report.digests == {DIGEST}
    assert report.at == datetime.fromtimestamp(1_780_000_000, UTC)
    assert "does not say which image" in unreadable.why


def test_one_file_may_be_named_itself(tmp_path: Path) -> None:
    file = put(tmp_path, "web.sarif", sarif())
    assert [each.source for each in read_folder(str(file)).reports] == ["web.sarif"]


def test_a_folder_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[posture\] scan_reports: .*no such folder") as caught:
        read_folder(str(tmp_path / "gone"))
    assert caught.value.next_step


def test_no_more_reports_are_read_than_there_is_a_limit_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_FILES", 2)
    for number in range(4):
        put(tmp_path, f"{number}.json", trivy())
    folder = read_folder(str(tmp_path))
    assert (len(folder.reports), folder.unreadable[0].why[:22]) == (2, "more than 2 reports: t")


def test_a_folder_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        size = put(tmp_path, f"{number}.json", trivy()).stat().st_size
    monkeypatch.setattr(reading, "MAX_TOTAL_BYTES", 2 * size)
    folder = read_folder(str(tmp_path))
    assert [each.source for each in folder.reports] == ["0.json", "1.json"]
    assert [each.source for each in folder.unreadable] == ["2.json"]


def installed(folder: Path, script: str, **environment: str) -> LocalScans:
    """A scanner that does what the script says."""
    for name in ("trivy", "grype"):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return LocalScans({"PATH": path, "FLY_API_TOKEN": "fm2_secret", **environment})


async def test_a_scanner_is_run_by_arguments_and_hears_of_no_token(tmp_path: Path) -> None:
    put(tmp_path, "report", trivy())
    told = tmp_path / "told"
    scans = installed(
        tmp_path,
        f'{{ printf "%s\\n" "$@"; env; }} > {told}; cat {tmp_path}/report; echo fine >&2',
        HOME="/home/someone",
        ROTATOR_KEYS="key",
    )
    report = await scans.scan(Scanner.TRIVY, WISH)
    assert (report.source, report.digests) == ("trivy", {DIGEST})
    lines = told.read_text().splitlines()
    assert lines[:2] == ["image", "--quiet"]
    assert f"{IMAGE}@{DIGEST}" in lines
    assert "HOME=/home/someone" in lines
    assert not [line for line in lines if "fm2_" in line or "ROTATOR" in line]
    await scans.scan(Scanner.GRYPE, WISH)
    assert f"registry:{IMAGE}@{DIGEST}" in told.read_text().splitlines()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'UNAUTHORIZED: https://me:hunter2@registry' >&2; exit 1", "exit code 1: UNAUTH"),
        ("exit 3", "exit code 3: it says nothing"),
        ("echo not a report", "what trivy has printed is no report: no JSON"),
        ("yes", "prints more than"),
        ("exec >&-; exec 2>&-; sleep 60", "longer than"),
        ("sleep 60 & sleep 60", "longer than"),
        ("sleep 60 &", "longer than"),
    ],
)
async def test_a_scanner_that_fails_is_told_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    monkeypatch.setattr(running, "SCAN_SECONDS", 0.4)
    monkeypatch.setattr(running, "MAX_BYTES", 200_000)
    before = asyncio.all_tasks()
    with pytest.raises(Unavailable, match=why) as caught:
        await installed(tmp_path, script).scan(Scanner.TRIVY, WISH)
    assert "hunter2" not in str(caught.value)
    assert asyncio.all_tasks() == before


async def test_a_scanner_that_is_absent_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[posture\] scanner: trivy is not installed here"):
        await LocalScans({"PATH": str(tmp_path)}).scan(Scanner.TRIVY, WISH)


@pytest.mark.parametrize(
    "wish",
    [
        ScanWish("--output=/etc/passwd", DIGEST),
        ScanWish("web image", DIGEST),
        ScanWish("", DIGEST),
        ScanWish(IMAGE, ""),
        ScanWish(IMAGE, "sha256:short"),
    ],
)
async def test_an_image_that_is_no_name_is_never_given_to_a_scanner(
    tmp_path: Path, wish: ScanWish
) -> None:
    with pytest.raises(Refused):
        await installed(tmp_path, "exit 0").scan("trivy", wish)
