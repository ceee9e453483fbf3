"""Files and folders that people point at: what is read, what is left out, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rotator.config_files import find, inspect_paths, read
from rotator.domain.errors import InputError
from rotator.domain.posture.finding import Finding
from tests.unit.secret_corpus import NOW

OPEN = 'app = "web"\n[http_service]\n  internal_port = 8080\n'
CLOSED = OPEN + "  force_https = true\n"


def a_file(path: Path, text: str = OPEN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def inspected(*paths: Path) -> tuple[Finding, ...]:
    return inspect_paths(paths, NOW).findings


def refusal(*paths: Path) -> str:
    with pytest.raises(InputError) as refused:
        inspect_paths(paths, NOW)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_finding_names_the_file_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(tmp_path / "web" / "fly.toml")
    monkeypatch.chdir(tmp_path)
    by_folder = inspected(Path("web"))
    by_file = inspected(tmp_path / "web" / "fly.toml")
    (finding,) = by_folder
    assert by_folder == by_file
    assert finding.subject == "web/fly.toml#http_service.force_https"
    assert finding.app == "web"
    assert str(finding.region) == "web/fly.toml:2:2"


def test_a_file_counts_once_however_often_it_is_named(tmp_path: Path) -> None:
    file = a_file(tmp_path / "fly.toml")
    assert len(inspected(file, tmp_path, file)) == 1


def test_every_environment_and_form_in_a_folder_is_read(tmp_path: Path) -> None:
    for name in ("fly.toml", "fly.staging.toml", "fly-eu.toml", "prod.fly.toml"):
        a_file(tmp_path / name)
    a_file(tmp_path / "a" / "fly.json", '{"app": "a", "http_service": {"internal_port": 1}}')
    a_file(tmp_path / "b" / "fly.yml", "app: b\nhttp_service: {internal_port: 1}\n")
    paths = {
        finding.subject.split("#")[0].removeprefix(f"{tmp_path}/")
        for finding in inspected(tmp_path)
    }
    assert paths == {
        "fly.toml", "fly.staging.toml", "fly-eu.toml", "prod.fly.toml", "a/fly.json", "b/fly.yml",
    }  # fmt: skip


@pytest.mark.parametrize("folder", [".git", "node_modules", "vendor", "deps", ".venv"])
def test_what_others_wrote_is_left_out(tmp_path: Path, folder: str) -> None:
    a_file(tmp_path / "fly.toml", CLOSED)
    a_file(tmp_path / folder / "fly.toml")
    assert inspected(tmp_path) == ()


def test_a_file_that_only_has_a_name_like_that_is_left_out_but_refused_when_named(
    tmp_path: Path,
) -> None:
    a_file(tmp_path / "fly.toml", CLOSED)
    other = a_file(tmp_path / "fly-theme.json", '{"colour": "red"}')
    assert inspected(tmp_path) == ()
    assert refusal(other).endswith("(name a fly.toml, fly.json or fly.yaml)")


def test_a_broken_file_of_another_program_does_not_stop_the_search_of_a_folder(
    tmp_path: Path,
) -> None:
    a_file(tmp_path / "fly.toml")
    a_file(tmp_path / "fly.json", '{"sites": [], // ours\n}')
    seen = inspect_paths([tmp_path], NOW)
    assert len(seen.findings) == 1
    assert "fly.json:1:15: it can't be read as JSON" in seen.missing[0].why
    assert "fly.json:1:15" in refusal(tmp_path / "fly.json")


def test_a_file_of_any_name_is_read_when_it_is_named(tmp_path: Path) -> None:
    assert len(inspected(a_file(tmp_path / "production.toml"))) == 1


def test_the_dockerfile_that_a_configuration_names_is_read_instead_of_the_one_beside_it(
    tmp_path: Path,
) -> None:
    a_file(tmp_path / "Dockerfile", "FROM a@sha256:1\nENV DB_PASSWORD=hunter22\nUSER 1\n")
    a_file(tmp_path / "deploy" / "Dockerfile.fly", "FROM a@sha256:1\nUSER 1\n")
    config = a_file(
        tmp_path / "fly.toml", CLOSED + '[build]\ndockerfile = "deploy/Dockerfile.fly"\n'
    )
    assert inspected(config) == ()
    a_file(config, CLOSED)
    (finding,) = inspected(config)
    assert finding.rule.id == "secret-in-dockerfile"
    assert finding.app == "web"
    a_file(config, CLOSED + '[build]\nimage = "a@sha256:1"\n')
    assert inspected(config) == ()


def test_a_dockerfile_that_is_not_there_is_told_as_missing(tmp_path: Path) -> None:
    config = a_file(tmp_path / "fly.toml", CLOSED + '[build]\ndockerfile = "nowhere"\n')
    (missing,) = inspect_paths([config], NOW).missing
    assert missing.app == "web"
    assert missing.why.endswith("nowhere is not there")


def test_a_dockerfile_alone_can_be_looked_at(tmp_path: Path) -> None:
    file = a_file(tmp_path / "web.Dockerfile", "FROM alpine\n")
    assert {finding.rule.id for finding in inspected(file)} == {
        "dockerfile-base-by-tag",
        "dockerfile-runs-as-root",
    }


def test_an_entry_point_beside_the_dockerfile_that_gives_root_up_is_seen(tmp_path: Path) -> None:
    text = "FROM a@sha256:1\nCOPY run.sh /run.sh\nENTRYPOINT /run.sh\n"
    file = a_file(tmp_path / "Dockerfile", text)
    assert [finding.rule.id for finding in inspected(file)] == ["dockerfile-runs-as-root"]
    a_file(tmp_path / "run.sh", "#!/bin/sh\nexec gosu app server\n")
    assert inspected(file) == ()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fly.toml", "a = 1\nb = \n", "fly.toml:2:5: it can't be read as TOML: Invalid value"),
        ("fly.json", '{"a": 1,\n}', "fly.json:2:1: it can't be read as JSON: "),
        ("fly.yaml", "a: b: c\n", "fly.yaml:1:5: it can't be read as YAML: mapping values"),
        ("Dockerfile", "FROM a\nWHAT\n", "Dockerfile:2:1: it can't be read as a Dockerfile: "),
    ],
)
def test_a_broken_file_is_refused_with_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    a_file(tmp_path / name, text)
    monkeypatch.chdir(tmp_path)
    assert refusal(Path(name)).startswith(message)


def test_a_refusal_does_not_quote_the_text(tmp_path: Path) -> None:
    for name in ("fly.toml", "fly.json", "fly.yaml", "Dockerfile"):
        told = refusal(a_file(tmp_path / name, "hush hush = [{\n@hush: {hush\n"))
        assert "hush" not in told.replace(str(tmp_path), "")


def test_what_is_not_there_or_nothing_of_ours_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "fly.toml")
    assert "no configuration of a Fly app" in refusal(tmp_path)
    assert "no configuration that rotator can read" in refusal(a_file(tmp_path / "notes.txt"))


def test_a_file_that_is_too_large_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    large = a_file(tmp_path / "large.toml", "#" * (read.MAX_BYTES + 1))
    assert "larger than 1024 KiB" in refusal(large)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b'app = "x"\nb = "\xff"\n')
    assert "binary.toml:2:6: it is not UTF-8" in refusal(binary)
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    assert "no regular file" in refusal(pipe)
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    assert "can't be read" in refusal(loop)


def test_loops_of_folders_end(tmp_path: Path) -> None:
    a_file(tmp_path / "app" / "fly.toml")
    (tmp_path / "app" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "app" / "fly.loop.toml").symlink_to("fly.loop.toml")
    assert len(inspected(tmp_path)) == 1


def test_a_folder_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        a_file(tmp_path / f"app{number}" / "fly.toml")
    monkeypatch.setattr(find, "MAX_ENTRIES", 15)
    assert "the folder is too large" in refusal(tmp_path)
    monkeypatch.setattr(find, "MAX_ENTRIES", 1000)
    monkeypatch.setattr(find, "MAX_DEPTH", 0)
    assert "no configuration of a Fly app" in refusal(tmp_path)


def test_a_name_can_not_steer_the_terminal(tmp_path: Path) -> None:
    env = {"API_TOKEN\x1b]0;": "aB3dE5" + "gH7jK9"}
    text = json.dumps({"app": "x\x1b[2J", "env": env, "http_service": {}})
    findings = inspected(a_file(tmp_path / "fly.json", text))
    assert len(findings) == 2
    for finding in findings:
        assert (finding.subject + finding.message + finding.mend + finding.app).isprintable()


def test_only_a_yaml_file_brings_the_yaml_library(tmp_path: Path) -> None:
    file = a_file(tmp_path / "fly.toml")
    code = (
        "import sys, datetime, pathlib; from rotator.config_files import inspect_paths; "
        f"inspect_paths([pathlib.Path({str(file)!r})], datetime.datetime.now(datetime.UTC)); "
        "print('yaml' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
