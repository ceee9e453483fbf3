"""`rotator rollout` and `rotate undo` as a user has them: what is said, and by which exit code."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rotator.domain.rotation import RotationState
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator

HEAD = """\
organization = "acme"
[defaults.policy]
overlap = "5m"
[defaults.rollout]
max_unavailable = 1
stagger = "4s"
"""
SECRET = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "api", name = "SESSION_KEY" } ]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulator(tmp_path_factory.mktemp("simulator"), speed=50) as simulated:
        yield simulated


@pytest.fixture
def project(tmp_path: Path, world: Simulated) -> Project:
    project = Project(tmp_path, world).migrated()
    project.manifest(SECRET, head=HEAD)
    return project


def newest(project: Project) -> dict[str, object]:
    listed = json.loads(project.must("rollout", "list", "--limit", "1", "--json"))["rollouts"]
    found: dict[str, object] = listed[0]
    return found


def running_rollout(project: Project, after: object = "") -> str:
    """The id of a rollout later than this one, of which the first machine has been restarted."""

    def look() -> str | None:
        rows = _rows(
            project,
            "SELECT rollout_id FROM machine_restarts"
            " WHERE ended_at IS NOT NULL AND rollout_id > ? ORDER BY rollout_id DESC",
            after,
        )
        return str(rows[0][0]) if rows else None

    return project.until(look)


def is_paused(project: Project, rollout_id: str) -> bool:
    rows = _rows(project, "SELECT state FROM rollouts WHERE id = ?", rollout_id)
    return rows == [("paused",)]


def _rows(project: Project, query: str, *values: object) -> list[tuple[object, ...]]:
    """Asked of the file directly: a store for each of many looks costs more than rotator."""
    with closing(sqlite3.connect(project.database, timeout=10)) as connection:
        return connection.execute(query, values).fetchall()


def test_a_rollout_is_paused_resumed_watched_and_drawn(project: Project) -> None:
    with project.daemon():
        project.must("rotate", "now", "session", "--no-wait", "--reason", "naïve")
        rollout = running_rollout(project)
        paused = project.must("rollout", "pause", rollout[-6:], "--reason", "lunch")
        assert "stops before its next wave" in paused
        assert f"rotator rollout resume {rollout}" in paused
        project.until(lambda: is_paused(project, rollout))
        again = project.run("rollout", "pause", rollout)
        assert (again.code, len(again.err.splitlines())) == (2, 1)
        assert f"`rotator rollout resume {rollout}`" in again.err
        watching = project.start("rollout", "watch")
        project.until(lambda: ": paused" in project.log())
        resumed = project.must("rollout", "resume", rollout)
        assert "takes it up within seconds" in resumed
        assert watching.wait(timeout=60) == 0
    assert f"rollout {rollout} of api: succeeded" in project.log()
    shown = project.must("rollout", "show", rollout)
    assert "rolling: wave by wave" in shown
    assert "✓ done" in shown
    assert all(str(machine["id"]) in shown for machine in project.simulated.machines("api"))
    record = json.loads(project.must("rollout", "show", rollout, "--json"))
    assert [r["credential"] for r in record["rotations"]] == ["session"]
    for machine in record["machines"]:
        assert {"boot", "checks"} <= {phase["phase"] for phase in machine["phases"]}
    _check_where_output_is_only_ascii(project, rollout)
    reasons = [e.event.reason for e in project.events() if e.event.action == "rollout.paused"]
    assert "lunch" in reasons


@pytest.mark.timeout(240)
def test_a_new_value_is_taken_back_by_abort_before_and_by_undo_after_it_is_in_use(
    project: Project,
) -> None:
    project.manifest(SECRET, head=HEAD + 'strategy = "immediate"\n')
    project.must("rotate", "now", "session", "--emergency")
    held = _digests(project)
    first = newest(project)["id"]
    project.manifest(SECRET, head=HEAD)
    project.must("rotate", "now", "session", "--no-wait")
    with project.daemon():
        rollout = running_rollout(project, first)
        out = project.must("rollout", "abort", rollout, "--reason", "bad value")
        assert "the old value is put back" in out
        assert "restart wave by wave on the old one" in out
        assert project.run("rollout", "watch", rollout).code == 1
        assert project.until_ended(2)[0].state is RotationState.ROLLED_BACK
    assert newest(project)["kind"] == "roll-back"
    assert _digests(project) == held
    late = project.run("rollout", "abort", rollout)
    assert late.code == 2
    assert f"`rotator rollout show {rollout}`" in late.err

    project.manifest(SECRET, head=HEAD + 'strategy = "immediate"\n')
    project.must("rotate", "now", "session")
    rotation = project.rotations()[0]
    assert rotation.state is RotationState.RETIRING
    assert _digests(project) != held
    out = project.must("rotate", "undo", rotation.id, "--reason", "users complain")
    assert "go back to the old value" in out
    assert "session: rolled back" in out
    assert "mint: done" not in out
    assert _digests(project) == held
    again = project.run("rotate", "undo", rotation.id[-8:])
    assert (again.code, len(again.err.splitlines())) == (2, 1)
    assert "`rotator rotate now session`" in again.err


def _check_where_output_is_only_ascii(project: Project, rollout: str) -> None:
    project.more |= {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    shown = project.must("rollout", "show", rollout)
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 80
    assert "+ done" in shown
    assert "na\\xefve" in shown


def _digests(project: Project) -> set[object]:
    return {c["digest"] for c in project.simulated.consumers() if c["secret"] == "SESSION_KEY"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rollout", "list", "--state", "fine"), "--state: 'fine' is none of"),
        (("rollout", "watch"), "no rollout is under way (`rotator rollout list`"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_next_command(
    project: Project, arguments: tuple[str, ...], told: str
) -> None:
    ran = project.run(*arguments)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert told in ran.err


def test_a_plan_names_the_machines_for_which_the_revocation_waits(project: Project) -> None:
    project.manifest(SECRET, head=HEAD + 'strategy = "next-start"\n')
    told = project.must("plan", "session", "--out", "plan.json")
    assert "4 machines, until their next start" in told
    (plan,) = json.loads((project.folder / "plan.json").read_text())["plans"]
    assert plan["revocation_waits_for"] == ["api: 4 machines, until their next start"]
    assert len(plan["rollouts"][0]["waiting"]) == 4
