"""Days on which Fly, its users or the disk don't play along: nothing breaks, everything is told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rotator.domain.rotation import Rotation, RotationState
from rotator.domain.secret import Secret
from rotator.fly.client import FlyClient
from rotator.system import SystemClock, SystemEntropy
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator

MANUAL = (
    'organization = "acme"\n[defaults.policy]\noverlap = "1s"\n[defaults.rollout]\nstagger = "0s"\n'
)
MANUAL += 'health_timeout = "3s"\nstart_timeout = "5s"\n'
SECRET = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]
"""
TOKEN = """
[credentials.ci]
kind = "deploy-token"
app = "web"
policy = { every = "30d", overlap = "1s" }
targets = [ { type = "file", path = "FOLDER/ci.token" } ]
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with simulator(tmp_path, speed=50) as simulated:
        project = Project(tmp_path, simulated).migrated()
        project.manifest(SECRET, head=MANUAL)
        yield project


def rotate(project: Project, name: str = "session") -> Rotation:
    """Rotate, to whatever end."""
    ran = project.run("rotate", "now", name)
    assert "Traceback" not in ran.err + ran.out
    assert ran.code in (0, 1), ran
    return project.rotations()[0]


def limited_token(simulated: Simulated, profile: str, params: dict[str, object]) -> tuple[str, str]:
    """Another API token: its id and its value."""

    async def create() -> tuple[str, str]:
        client = client_of(simulated)
        try:
            organization = await client.organizations.organization("acme")
            made = await client.tokens.create(
                name="test",
                organization_id=organization.id,
                profile=profile,
                profile_params=params,
                expiry="24h0m0s",
            )
        finally:
            await client.aclose()
        return made.id, made.header.reveal()

    return asyncio.run(create())


def revoke(simulated: Simulated, token_id: str) -> None:
    """Revoke a token behind rotator's back."""

    async def delete() -> None:
        client = client_of(simulated)
        try:
            await client.tokens.delete(token_id)
        finally:
            await client.aclose()

    asyncio.run(delete())


def client_of(simulated: Simulated) -> FlyClient:
    """A client with the operator's rights."""
    token = Secret(simulated.token)
    return FlyClient(simulated.base, simulated.base, token, SystemClock(), SystemEntropy())


def test_a_token_without_the_right_is_named_before_anything_is_touched(project: Project) -> None:
    project.manifest(TOKEN.replace("FOLDER", str(project.folder)), head=MANUAL)
    _, limited = limited_token(project.simulated, "deploy", {"app_id": "web"})
    project.more["FLY_API_TOKEN"] = limited
    before = project.simulated.live_tokens("ci")
    rotation = rotate(project, "ci")
    assert rotation.state is RotationState.PARKED
    assert rotation.parked is not None
    assert "may not create deploy tokens" in rotation.parked.cause
    assert "nothing was touched" in rotation.parked.safe
    assert project.simulated.live_tokens("ci") == before
    checked = project.run("check")
    assert checked.code == 1
    assert "may not create deploy tokens" in " ".join(checked.out.split())


def test_an_api_token_revoked_in_the_middle_parks_with_the_old_value_working(
    project: Project,
) -> None:
    token_id, value = limited_token(project.simulated, "deploy_organization", {})
    project.more["FLY_API_TOKEN"] = value
    process = project.start("rotate", "now", "session")
    project.until(lambda: "wave 2" in project.log())
    revoke(project.simulated, token_id)
    process.wait(timeout=120)
    rotation = project.rotations()[0]
    assert rotation.state is RotationState.PARKED, (rotation, project.log())
    assert rotation.parked is not None
    assert "rotator rotate retry" in rotation.parked.next_command
    project.more["FLY_API_TOKEN"] = project.simulated.token
    project.must("rotate", "retry", rotation.id)
    assert project.rotations()[0].state is RotationState.SUCCEEDED


def test_answers_that_are_not_json_are_tried_again(project: Project) -> None:
    project.simulated.fault("html", {"method": "GET", "path": "/v1/apps/web/machines"}, times=2)
    project.simulated.fault("truncated", {"method": "POST", "path": "/v1/apps/web/secrets"})
    assert rotate(project).state is RotationState.SUCCEEDED


def test_lost_answers_to_changes_are_looked_after(project: Project) -> None:
    for path in ("/v1/apps/web/machines/*/lease", "/v1/apps/web/machines/*"):
        project.simulated.fault("lost", {"method": "POST", "path": path})
    project.simulated.fault("lost", {"method": "POST", "path": "/v1/apps/web/secrets"})
    assert rotate(project).state is RotationState.SUCCEEDED
    assert_all_run_with_the_new_value(project)


def test_a_lost_token_is_found_by_its_name_and_revoked(project: Project) -> None:
    project.manifest(TOKEN.replace("FOLDER", str(project.folder)), head=MANUAL)
    project.simulated.fault("lost", {"graphql": "createLimitedAccessToken"})
    rotation = rotate(project, "ci")
    assert rotation.state is RotationState.SUCCEEDED
    (held,) = [v.issued.name for v in project.versions(rotation) if v.issued and not v.ended_at]
    assert project.simulated.live_tokens("ci-0") == [held]
    actions = [e.event.action for e in project.events()]
    assert "leftover.found" in actions
    assert "leftover.revoked" in actions


def test_a_machine_destroyed_in_the_middle_is_left_out(project: Project) -> None:
    process = project.start("rotate", "now", "session")
    project.until(lambda: "wave 1" in project.log())
    victim = max(str(m["id"]) for m in project.simulated.machines("web") if m["state"] == "started")
    headers = {"Authorization": project.simulated.token}
    path = f"/v1/apps/web/machines/{victim}"
    project.until(
        lambda: (
            project.simulated.control.delete(
                path, params={"force": "true"}, headers=headers
            ).status_code
            in (200, 404)
        )
    )
    process.wait(timeout=120)
    assert project.rotations()[0].state is RotationState.SUCCEEDED, project.log()


def test_a_lease_held_by_a_deploy_is_waited_for(project: Project) -> None:
    machine = next(m for m in project.simulated.machines("web") if m["state"] == "started")
    headers = {"Authorization": project.simulated.token}
    project.simulated.control.post(
        f"/v1/apps/web/machines/{machine['id']}/lease?ttl=5", headers=headers
    ).raise_for_status()
    assert rotate(project).state is RotationState.SUCCEEDED
    assert_all_run_with_the_new_value(project)


def test_a_deploy_in_the_middle_is_not_undone(project: Project) -> None:
    project.simulated.fault(
        "deploy", {"method": "POST", "path": "/v1/apps/web/machines/*/lease"}, times=1
    )
    assert rotate(project).state is RotationState.SUCCEEDED
    assert_all_run_with_the_new_value(project)
    releases = project.simulated.app("web")["releases"]
    assert releases == 3, "the first, the rollout's own, and the deploy in its middle"


def test_a_machine_that_does_not_become_healthy_stops_the_rollout_and_the_old_value_stays(
    project: Project,
) -> None:
    project.must("rotate", "now", "session")
    before = digest(project)
    running = [m["id"] for m in project.simulated.machines("web") if m["healthy"]]
    project.simulated.fault(
        "never_healthy",
        {"method": "POST", "path": f"/v1/apps/web/machines/{running[0]}"},
        times=2,  # its lease comes first
    )
    ran = project.run("rotate", "now", "session")
    assert ran.code == 1, ran
    assert project.rotations()[0].state is RotationState.ROLLED_BACK, ran
    listed = json.loads(project.must("rollout", "show", "--json"))["rollouts"]
    states = [rollout["state"] for rollout in reversed(listed)]
    assert states == ["succeeded", "failed", "succeeded"], "there, stopped, and back"
    assert_all_run_with_the_new_value(project)
    assert digest(project) == before, "the old value was put back"


def test_an_unreachable_host_holds_the_revocation_back(project: Project) -> None:
    victim = next(m for m in project.simulated.machines("web") if m["state"] == "started")
    project.simulated.turn(victim["id"], host_status="unreachable")
    process = project.start("rotate", "now", "session")
    project.until(lambda: "roll-out web: waiting" in project.log())
    assert f"unreachable {victim['id']}" in project.log()
    project.simulated.turn(victim["id"], host_status="ok")
    assert process.wait(timeout=120) == 0, project.log()
    assert_all_run_with_the_new_value(project)


def test_a_database_locked_by_somebody_else_is_waited_for_or_told(project: Project) -> None:
    with closing(sqlite3.connect(project.database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        ran = project.run("rotate", "now", "session")
    assert ran.code == 1
    assert "is locked by another process" in ran.err
    assert "Traceback" not in ran.err
    assert rotate(project).state is RotationState.SUCCEEDED


def test_a_directory_that_vanished_is_told_in_one_line(project: Project, tmp_path: Path) -> None:
    project.more["ROTATOR_DATABASE_URL"] = f"sqlite:///{tmp_path / 'gone' / 'rotator.db'}"
    for arguments in (("list",), ("db", "upgrade"), ("run",)):
        ran = project.run(*arguments)
        assert ran.code in (1, 2)
        assert len(ran.err.strip().splitlines()) == 1, ran
        assert "Traceback" not in ran.err


def test_the_wrong_key_is_told_before_anything_happens(project: Project) -> None:
    project.must("rotate", "now", "session")
    project.more["ROTATOR_KEYS"] = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
    ran = project.run("rotate", "now", "session")
    assert ran.code == 1
    assert "does not hold the key of this database" in ran.err
    assert len(project.rotations()) == 1


def digest(project: Project) -> object:
    """What the app shows for the secret."""
    secrets = project.simulated.app("web")["secrets"]
    assert isinstance(secrets, list)
    return next(s["digest"] for s in secrets if s["name"] == "SESSION_KEY")


def assert_all_run_with_the_new_value(project: Project) -> None:
    """Every running machine booted with what the app shows."""
    wanted = digest(project)
    for machine in project.simulated.machines("web"):
        booted = machine["digests_at_boot"]
        assert isinstance(booted, dict)
        if machine["state"] == "started":
            assert booted["SESSION_KEY"] == wanted, machine
