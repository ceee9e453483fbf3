"""`rotator posture` as a process, its history, and the daemon that looks by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.cli.main import _run
from rotator.domain.events import Action
from rotator.domain.posture.catalogue import RULES
from rotator.domain.posture.record import FindingRecord, PostureLook
from rotator.domain.risk import Risk
from rotator.metrics import Metrics
from rotator.store.store import SqlStore
from rotator.system import SystemClock
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator
from tests.unit.posture_support import at_fly
from tests.unit.posture_world import Company


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulator(tmp_path_factory.mktemp("simulator"), speed=50) as simulated:
        yield simulated


def test_the_daemon_looks_soon_after_its_first_start_and_tells(
    world: Simulated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Project(tmp_path, world, {"ROTATOR_POSTURE_SECONDS": "12"}).migrated()
    project.manifest("[posture]\ntoken_max_age = '30d'\n", head='organization = "acme"\n')

    with project.daemon():
        project.until(lambda: "posture of acme:" in project.log())
    assert [e.event.action for e in project.events()].count(Action.POSTURE_LOOKED) == 1
    assert "Traceback" not in project.log()
    look = project.read(lambda unit: unit.posture_look("acme"))
    assert isinstance(look, PostureLook)
    assert look.holder is None
    monkeypatch.chdir(project.folder)
    for name, value in project.environment().items():
        monkeypatch.setenv(name, value)
    assert _run(["posture", "--history", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["looks"][0]["looked_at"] is not None
    assert _run(["posture", "--org", "acme", "--fail-on", "never", "--format", "json"]) in (0, 3)
    found = json.loads(capsys.readouterr().out)
    assert found["failed"] is False
    assert {each["organization"] for each in found["findings"]} <= {"acme", None}


def test_a_check_tells_what_is_wrong_with_suppressions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROTATOR_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    file = tmp_path / "rotator-posture.toml"
    rule = next(iter(RULES))
    for until, rule_id, told in (
        ("2999-12-31", rule, "rotator-posture.toml: 1 in force"),
        ("2020-01-01", rule, "rotator-posture.toml:1: past the last day"),
        ("2999-12-31", "no-rule", "'no-rule' is no rule"),
    ):
        text = f'[[suppress]]\nrule = "{rule_id}"\nsubject = "*"\nreason = "r"\nuntil = {until}\n'
        file.write_text(text)
        _run(["check", "--json"])
        lines = [each["told"] for each in json.loads(capsys.readouterr().out)["findings"]]
        assert any(told in line for line in lines)


@pytest.fixture
def kept(sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FindingRecord]:
    """A database in which a daemon has looked three times."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROTATOR_DATABASE_URL", f"sqlite:///{sqlite_file}")

    async def looks() -> list[FindingRecord]:
        clock = SystemClock()
        store = SqlStore(f"sqlite:///{sqlite_file}", None, clock)
        company = Company(store)
        company.clock.advance(clock.now() - company.clock.now())
        await company.look_now(at_fly("gone"), at_fly("there"))
        await company.look_now(at_fly("there"), at_fly("late", risk=Risk.NOTE))
        records = list((await company.records()).values())
        await store.aclose()
        return records

    return asyncio.run(looks())


def test_the_history_tells_since_when(
    kept: list[FindingRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["posture", "--history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "CRITICAL  token-never-expires at token:web/there"
    assert lines[1].startswith("          open since ")
    assert any(line.endswith("→ fly tokens revoke there") for line in lines)
    assert not any("revoke gone" in line for line in lines)
    assert "2 open findings: 1 critical, 1 note; 1 resolved" in lines
    assert _run(["posture", "--history", "--app", "api"]) == 0
    assert "0 open findings" in capsys.readouterr().out
    assert _run(["posture", "--history", "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    states = {each["subject"]: each["state"] for each in data["findings"]}
    assert states == {
        "token:web/gone": "resolved",
        "token:web/there": "open",
        "token:web/late": "open",
    }
    assert len(kept) == 3
    assert _run(["posture", "--history", "--format", "sarif"]) == 2
    assert "told as table or json" in capsys.readouterr().err


def test_the_metric_counts_open_findings_by_severity() -> None:
    metrics = Metrics()
    metrics.inspected({Risk.HIGH: 3})
    sample = metrics.registry.get_sample_value
    assert sample("rotator_findings", {"severity": "high"}) == 3
    assert sample("rotator_findings", {"severity": "note"}) == 0
