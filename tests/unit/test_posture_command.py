"""`rotator posture` on files: options, exit codes, what goes to which output."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rotator.cli.main import _run
from rotator.cli.posturing import command
from rotator.cli.posturing.command import Wanted, show_posture
from rotator.domain.posture import catalogue
from rotator.domain.posture.finding import Finding, Missing, Topic
from tests.unit.posture_support import CATALOGUE, HTTPS, SECRET, TOKEN, finder, in_file

UNREAD = Missing(Topic.CONFIG, "", "", "no such thing")
SUPPRESS = """\
[[suppress]]
rule = "secret-in-env"
subject = "*"
reason = "a public key"
until = 2999-12-31
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an app's file, and rules of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "RULES", CATALOGUE)
    monkeypatch.setattr(command, "FILE_RULES", frozenset({SECRET.id, HTTPS.id}))
    monkeypatch.setattr(catalogue, "RULES", CATALOGUE)
    (tmp_path / "fly.toml").write_text("")
    return tmp_path


def ran(*findings: Finding, missing: tuple[Missing, ...] = (), **wanted: Any) -> int:
    """The exit code."""
    return asyncio.run(show_posture(Wanted(**wanted), finder(*findings, missing=missing)))


@pytest.mark.parametrize(
    ("fail_on", "codes"),
    [
        ("note", (1, 1)),
        ("medium", (1, 1)),
        ("high", (0, 1)),
        ("critical", (0, 0)),
        ("never", (0, 0)),
    ],
)
def test_the_exit_code_says_whether_something_is_as_bad(
    fail_on: str, codes: tuple[int, int]
) -> None:
    assert ran(in_file(rule=HTTPS), fail_on=fail_on) == codes[0]
    assert ran(in_file(), fail_on=fail_on) == codes[1]
    assert ran(fail_on=fail_on) == 0


def test_what_was_read_in_part_is_told_apart_from_what_is_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ran(missing=(UNREAD,)) == 3
    assert ran(in_file(), missing=(UNREAD,)) == 1
    assert ran(in_file(rule=HTTPS), missing=(UNREAD,)) == 3
    assert "rotator: not read: config: no such thing\n" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["table", "json", "sarif", "junit"])
def test_only_findings_go_to_the_output(capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert ran(in_file(), missing=(UNREAD,), form=form) == 1
    told = capsys.readouterr()
    assert "env.API_KEY" in told.out
    assert told.err == "rotator: not read: config: no such thing\n"


def test_suppressions_beside_the_files_hold_and_are_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "rotator-posture.toml").write_text(SUPPRESS)
    assert ran(in_file()) == 0
    out = capsys.readouterr().out
    assert "1 suppressed until 2999-12-31: a public key (secret-in-env, rotator-post" in out
    assert out.endswith("no findings; 1 suppressed\n")
    (folder / "none.toml").write_text("")
    assert ran(in_file(), suppressions=folder / "none.toml") == 1


def test_with_a_baseline_only_new_findings_fail(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "baseline.json"
    assert ran(in_file("A"), in_file("B"), baseline=file, write=True) == 0
    assert "baseline.json has 2 findings; only others count from now on" in capsys.readouterr().out
    assert ran(in_file("A"), in_file("B"), baseline=file) == 0
    assert ran(in_file("A"), baseline=file) == 0
    out = capsys.readouterr().out
    assert "fixed: secret-in-env at fly.toml#env.B\n" in out
    assert out.endswith("no new findings; 1 known from the baseline; 1 of the baseline fixed\n")
    assert ran(in_file("A"), in_file("C"), baseline=file) == 1
    before = file.read_bytes()
    assert ran(in_file("A"), missing=(UNREAD,), baseline=file, write=True) == 3
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--fail-on", "severe"),
            "--fail-on: 'severe' is none of note, low, medium, high, ",
        ),
        (("--write-baseline",), "where shall the baseline be written? (add --baseline FILE)"),
        (("nowhere.toml",), "nowhere.toml: there is no such file or folder"),
        (("--baseline", "none.json"), "none.json: there is no such baseline"),
        (("--suppressions", "none.toml"), "none.toml: there is no such file of suppressions"),
        (("--app", "A B"), "--app: "),
        (("--org", "A B"), "--org: "),
        (("--explain", "secret-in-en"), "is no rule (did you mean secret-in-env?)"),
        (("--format", "markdown"), "markdown is for --rules"),
        (("--rules", "--format", "sarif"), "rules are listed as table, json or markdown"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["posture", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_where_nothing_is_to_be_looked_at_it_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fly.toml").unlink()
    assert _run(["posture"]) == 2
    assert "no fly.toml is here (name files or folders, or --org" in capsys.readouterr().err


def test_the_files_of_an_app_are_found_where_none_is_named(folder: Path) -> None:
    seen: list[list[str]] = []

    def inspect_paths(paths: Any, _now: object) -> Any:
        seen.append([str(path) for path in paths])
        return finder()(paths, _now)

    for name in ("fly.staging.toml", "Dockerfile", "other.toml"):
        (folder / name).write_text("")
    assert asyncio.run(show_posture(Wanted(), inspect_paths)) == 0
    assert seen == [["fly.staging.toml", "fly.toml", "Dockerfile"]]


def test_rules_are_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["posture", "--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "config"
    assert lines[-1].split()[:2] == ["critical", TOKEN.id]
    assert _run(["posture", "--rules", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["rules"]
    assert [rule["id"] for rule in listed] == list(CATALOGUE)
    assert _run(["posture", "--explain", SECRET.id]) == 0
    out = capsys.readouterr().out
    for part in (SECRET.id, "high", SECRET.title, SECRET.why, SECRET.mend, SECRET.page):
        assert part in out
    assert _run(["posture", "--rules", "--format", "markdown"]) == 0
    assert "### `secret-in-env`\n" in capsys.readouterr().out
