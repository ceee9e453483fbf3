"""The command line as a user has it: a process, its output, its exit code."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rotator.domain.events import Action
from rotator.domain.rotation import RotationState
from tests.harness import tlog
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator
from tests.integration.store_objects import an_event

SECRET = """
[credentials.web-session-key]
kind = "secret"
targets = [ { type = "fly-secret", app = "api", name = "SESSION_KEY" } ]
"""
MANUAL = (
    'organization = "acme"\n[defaults.policy]\noverlap = "1s"\n[defaults.rollout]\nstagger = "0s"\n'
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulator(tmp_path_factory.mktemp("simulator"), speed=50) as simulated:
        yield simulated


@pytest.fixture
def project(tmp_path: Path, world: Simulated) -> Project:
    """A project whose one credential is rotated by hand only."""
    world.clear_faults()
    project = Project(tmp_path, world).migrated()
    project.manifest(SECRET, head=MANUAL)
    return project


def test_help_lists_every_command(project: Project) -> None:
    out = project.must("--help")
    for command in ("init", "check", "plan", "run", "rotate", "list", "show", "rollout", "audit"):
        assert f"  {command} " in out
    for command in ("db", "simulate", "demo"):
        assert f"  {command} " in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lst",), "No such command 'lst'. Did you mean 'list'?"),
        (("rotate", "now"), "nothing chosen"),
        (("rotate", "now", "--nonsense"), "No such option"),
        (("rotate", "now", "x", "--app", "api"), "give names, or --app"),
        (("rotate", "now", "nobody"), "there is no credential 'nobody'"),
        (("rotate", "show", "01ABC"), "there is no rotation '01ABC'"),
        (("rollout", "show", "01ABC"), "there is no rollout '01ABC'"),
        (("show", "nobody"), "there is no credential 'nobody'"),
        (("audit", "--since", "yesterday"), "--since: 'yesterday' is no time"),
        (("audit", "--action", "rotation.exploded"), "there is no action"),
        (("audit", "--outcome", "fine"), "is none of"),
        (("audit", "--limit", "0"), "--limit"),
        (("plan", "nobody"), "there is no credential 'nobody' in the manifest"),
        (("certificates", "--app", "nothing-here"), "--app: there is no such app"),
        (("rotate", "now", "--plan", "absent.json"), "absent.json: can't be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    project: Project, arguments: tuple[str, ...], told: str
) -> None:
    ran = project.run(*arguments)
    assert ran.code == 2, ran
    assert told in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert "Traceback" not in ran.err


def test_init_writes_a_manifest_that_holds_and_a_private_key(project: Project) -> None:
    (project.folder / "rotator.toml").unlink()
    project.more["ROTATOR_KEYS"] = ""
    out = project.must("init", "--organization", "acme")
    env = project.folder / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    key = env.read_text().strip().removeprefix("ROTATOR_KEYS=")
    assert len(key) >= 43
    assert key not in out
    again = project.run("init")
    assert again.code == 2
    assert "exists already" in again.err
    project.must("init", "--force")
    assert env.read_text().count("ROTATOR_KEYS") == 1


def test_check_says_what_is_missing_and_how_to_mend_it(project: Project) -> None:
    fine = project.run("check")
    assert fine.code == 0, fine
    assert "all is well" in fine.out
    assert project.simulated.token[10:40] not in fine.out
    assert project.key not in fine.out
    project.more["FLY_API_TOKEN"] = ""
    project.more["ROTATOR_KEYS"] = ""
    poor = project.run("check", "--json")
    assert poor.code == 1
    verdicts = {f["what"]: (f["verdict"], f["mend"]) for f in json.loads(poor.out)["findings"]}
    assert verdicts["API token"][0] == "missing"
    assert "fly tokens create org" in verdicts["API token"][1]
    assert verdicts["keys"][0] == "missing"


def test_check_names_an_app_that_does_not_exist(project: Project) -> None:
    project.manifest(SECRET.replace('app = "api"', 'app = "ghost"'), head=MANUAL)
    ran = project.run("check")
    assert ran.code == 1
    assert "the app ghost does not exist" in " ".join(ran.out.split())


def test_rotate_now_does_the_work_itself_without_a_daemon(project: Project) -> None:
    ran = project.run("rotate", "now", "web-session-key", "--reason", "laptop stolen")
    assert ran.code == 0, ran
    assert "web-session-key: succeeded" in ran.out
    (rotation,) = project.rotations()
    assert rotation.state is RotationState.SUCCEEDED
    assert rotation.reason == "laptop stolen"
    shown = project.must("rotate", "show", rotation.id)
    assert "laptop stolen" in shown
    assert "roll-out" in shown
    listed = json.loads(project.must("list", "--json"))["credentials"]
    assert listed[0]["state"] == "current"
    assert listed[0]["current"]["issued_as"].startswith("web-session-key-")


def test_rotate_now_leaves_the_work_to_a_running_daemon(project: Project) -> None:
    with project.daemon():
        project.until(lambda: "daemon started" in project.log())
        ran = project.run("rotate", "now", "web-session-key")
        assert ran.code == 0, ran
    (rotation,) = project.rotations()
    workers = {str(e.event.actor) for e in project.events() if e.event.action == "step.done"}
    assert rotation.actor.kind == "user"
    assert all(name.startswith("worker:") for name in workers)


def test_the_record_of_a_rollout_has_every_machine_with_its_times(project: Project) -> None:
    project.must("rotate", "now", "web-session-key")
    (listed,) = json.loads(project.must("rollout", "show", "--json"))["rollouts"]
    record = json.loads(project.must("rollout", "show", listed["id"], "--json"))
    assert len(record["machines"]) == 4
    for machine in record["machines"]:
        assert machine["state"] == "healthy"
        assert machine["leased_at"] <= machine["updated_at"] <= machine["healthy_at"]
    assert "secrets version" in project.must("rollout", "show", listed["id"])


def test_the_audit_log_is_filtered_and_exported(project: Project) -> None:
    project.must("rotate", "now", "web-session-key", "--reason", "=cmd|' /C calc'!A0")
    lines = project.must("audit", "--json", "--limit", "1000").splitlines()
    events = [json.loads(line) for line in lines]
    assert [e["sequence"] for e in events] == list(range(len(events), 0, -1))
    rows = list(csv.DictReader(io.StringIO(project.must("audit", "-f", "csv", "--limit", "1000"))))
    assert len(rows) == len(events)
    requested = next(r for r in rows if r["action"] == "rotation.requested")
    assert requested["reason"].startswith("'=cmd")
    restarted = project.must("audit", "--json", "--app", "api", "--action", "machine.restarted")
    assert len(restarted.splitlines()) == 4
    assert project.must("audit", "--app", "web").strip() == "no event fits"
    assert "version.promoted" in project.must("audit", "--action", "version", "--outcome", "ok")


def test_audit_verify_finds_an_event_that_was_changed(project: Project) -> None:
    project.must("rotate", "now", "web-session-key")
    assert "the audit log is whole" in project.must("audit", "verify")
    with closing(sqlite3.connect(project.database)) as connection, connection:
        triggers = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for (name,) in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE events SET reason = 'nothing happened' WHERE sequence = 4")
    ran = project.run("audit", "verify")
    assert ran.code == 1
    assert "damaged at event 4 (edited)" in ran.out


def test_an_event_is_proven_to_somebody_who_has_neither_database_nor_keys(
    project: Project, tmp_path: Path
) -> None:
    project.more["ROTATOR_CHECKPOINT_FILE"] = str(tmp_path / "kept.txt")
    project.told(*(an_event(n) for n in range(1, 9)))
    note, key = project.must("audit", "checkpoint"), project.must("audit", "key").strip()
    size = tlog.open_checkpoint(note, key)[1]
    assert (tmp_path / "kept.txt").read_text().strip() == note.strip()
    project.must("audit", "prove", "5", "--out", "proof.json")
    assert tlog.proof_holds((tmp_path / "proof.json").read_text(), key)
    growth = project.must("audit", "prove-consistency", "kept.txt", str(size))
    assert tlog.proof_holds(growth, key)

    project.database.rename(tmp_path / "elsewhere")
    project.key = "nonsense"
    told = project.must("audit", "verify-proof", "proof.json", "--key", key)
    assert f"event 5 is in the log {key.split('+')[0]} of {size} events" in told
    (tmp_path / "proof.json").write_text(
        (tmp_path / "proof.json").read_text().replace("rotation.requested", "step.done")
    )
    ran = project.run("audit", "verify-proof", "proof.json", "--key", key)
    assert ran.code == 1
    assert "the proof does not hold" in ran.err


def test_old_events_are_archived_only_when_that_is_confirmed(project: Project) -> None:
    before = 8
    project.told(*(an_event(n) for n in range(1, before + 1)))
    ask = ("audit", "archive", "--before", "0s", "--out", "old.jsonl.gz")
    assert "nothing was deleted" in project.must(*ask)
    assert [e.sequence for e in project.events()] == list(range(1, before + 2))
    assert f"deleted {before} events" in project.must(*ask, "--confirm")
    told = project.must("audit", "verify", "--archive", "old.jsonl.gz")
    assert "the audit log is whole" in told
    assert f"old.jsonl.gz: {before} archived events" in told
    ran = project.run("audit", "show", "5")
    assert (ran.code, "event 5 was archived in old.jsonl.gz" in ran.err) == (2, True)
    proof = project.must("audit", "prove", "5", "--archive", "old.jsonl.gz")
    assert tlog.proof_holds(proof, project.must("audit", "key").strip())
    file = project.folder / "old.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-9])
    ran = project.run("audit", "verify", "--archive", "old.jsonl.gz")
    assert (ran.code, "is not the file that events 1 to" in ran.err) == (2, True)


def test_a_credential_s_life_is_told_as_a_story(project: Project) -> None:
    project.must("rotate", "now", "web-session-key", "--reason", "laptop stolen")
    told = project.must("history", "web-session-key")
    for part in ("laptop stolen", "4 machines of api restarted", "it succeeded after"):
        assert part in told
    chapters = json.loads(project.must("history", "web-session-key", "--json"))["chapters"]
    ids = [chapter["rotation_id"] for chapter in chapters if chapter["rotation_id"]]
    assert ids
    assert all(each in told for each in ids)
    ran = project.run("history", "nobody")
    assert (ran.code, "there is no credential 'nobody'" in ran.err) == (2, True)


def test_a_value_of_the_settings_is_not_repeated_whoever_types_it(project: Project) -> None:
    ran = project.run("show", project.key)
    assert (ran.code, ran.out) == (2, "")
    assert "there is no credential '[redacted]'" in ran.err


def test_the_log_is_followed(project: Project) -> None:
    project.told(an_event(1, action=Action.STEP_DONE), an_event(2))
    process = project.start("audit", "--follow", "--action", "rotation")
    project.until(lambda: "event 2" in project.log())
    project.told(an_event(3, action=Action.STEP_DONE), an_event(4))
    project.until(lambda: "event 4" in project.log())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130, project.log()
    assert "step.done" not in project.log()


def test_a_plan_is_shown_and_kept_to_unless_the_world_has_drifted(project: Project) -> None:
    before = project.simulated.last_request()
    shown = project.must("plan", "web-session-key", "--out", "plan.json")
    assert "POST /v1/apps/api/secrets" in shown
    assert "wave 1" in shown
    changed = [r for r in project.simulated.requests(before) if r["method"] != "GET"]
    assert not [r for r in changed if not str(r["path"]).startswith("/graphql")]
    assert project.must("rotate", "now", "--plan", "plan.json")
    ran = project.run("rotate", "now", "--plan", "plan.json")
    assert ran.code == 1
    assert "nothing was done" in ran.err
    assert len(project.rotations()) == 1


def test_a_dry_run_changes_nothing(project: Project) -> None:
    before = project.simulated.last_request()
    project.must("rotate", "now", "web-session-key", "--dry-run")
    assert not project.rotations()
    assert not [r for r in project.simulated.requests(before) if r["method"] == "POST"]


def test_no_wait_queues_and_a_daemon_finishes(project: Project) -> None:
    assert "is queued" in project.must("rotate", "now", "web-session-key", "--no-wait")
    with project.daemon():
        (rotation,) = project.until_ended()
    assert rotation.state is RotationState.SUCCEEDED


def test_a_second_rotation_of_the_same_credential_is_refused(project: Project) -> None:
    project.must("rotate", "now", "web-session-key", "--no-wait")
    ran = project.run("rotate", "now", "web-session-key")
    assert ran.code == 1
    assert "is under way" in ran.err


def test_partly_done_is_exit_code_3(project: Project) -> None:
    other = SECRET.replace("web-session-key", "other").replace("SESSION_KEY", "OTHER")
    project.manifest(SECRET + other.replace('app = "api"', 'app = "ghost"'), head=MANUAL)
    ran = project.run("rotate", "now", "web-session-key", "other")
    assert ran.code == 3, ran
    assert "other: parked" in ran.out
    assert "'ghost'" in ran.out
    assert "then: rotator rotate retry" in ran.out


def test_an_interrupted_rotation_goes_on_with_retry(project: Project) -> None:
    process = project.start("rotate", "now", "web-session-key")
    project.until(lambda: "roll-out api: intended" in project.log())
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130, project.log()
    (rotation,) = project.rotations()
    assert rotation.state is RotationState.RUNNING
    assert f"rotator rotate retry {rotation.id}" in project.log()
    project.must("rotate", "retry", rotation.id)
    assert project.rotations()[0].state is RotationState.SUCCEEDED


def test_a_second_daemon_on_the_same_file_is_refused(project: Project) -> None:
    with project.daemon():
        project.until(lambda: "daemon started" in project.log())
        ran = project.run("run")
    assert ran.code == 2, ran
    assert "another" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_the_daemon_stops_on_sigterm_and_leaves_no_claim_and_no_lease(project: Project) -> None:
    project.must("rotate", "now", "web-session-key", "--no-wait")
    daemon = project.start("run")
    project.until(lambda: any(m["leased_by"] for m in project.simulated.machines("api")) or None)
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(timeout=60) == 0, project.log()
    assert not [m for m in project.simulated.machines("api") if m["leased_by"]]
    with closing(sqlite3.connect(project.database)) as connection:
        claims = connection.execute(
            "SELECT count(*) FROM rotations WHERE claim_expires_at IS NOT NULL"
        ).fetchone()
    assert claims == (0,)
    project.must("rotate", "retry", project.rotations()[0].id)


def test_a_database_of_an_unknown_schema_is_refused_with_the_command_that_mends_it(
    project: Project,
) -> None:
    project.database.unlink()
    for arguments in (("run",), ("list",), ("rotate", "now", "web-session-key")):
        ran = project.run(*arguments)
        assert ran.code == 2
        assert "rotator db upgrade" in ran.err
    assert not project.database.exists()
    assert "schema none to" in project.must("db", "upgrade")
    assert "already" in project.must("db", "upgrade")
    project.must("db", "check")


def test_certificates_are_watched_by_the_daemon_and_shown(
    project: Project, world: Simulated
) -> None:
    late = {"expires_in_days": 9.5, "stuck": True, "checks_needed": 3}
    path = "/_simulator/certificates/jobs/late.example.com"
    world.control.post(path, json=late).raise_for_status()
    project.more["ROTATOR_CERTIFICATE_SECONDS"] = "1"
    with project.daemon():
        project.until(lambda: "was asked to look again" in project.log())
    found = [logged.event for logged in project.events() if logged.event.target]
    assert [(e.action, e.target) for e in found] == [
        (action, "certificate:late.example.com")
        for action in (
            Action.CERTIFICATE_EXPIRING,
            Action.CERTIFICATE_CHECKING,
            Action.CERTIFICATE_CHECKED,
        )
    ]
    out = project.must("certificates", "--app", "jobs")
    assert "! high: it expires in 9d" in out
    assert "→ fly certs check late.example.com --app jobs" in out
    assert "the daemon asks Fly to look again in 59m" in out
