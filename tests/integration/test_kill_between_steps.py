"""kill -9 of the daemon between any two steps; the next daemon finishes what was begun (P1-P5)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from rotator.domain.credential import VersionState
from rotator.domain.protocol import SEQUENCES
from rotator.domain.rotation import Mode, Rotation, RotationState, StepName, StepState
from tests.harness import forked
from tests.harness.chain import first_fault
from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator

MOMENTS = ("intent", "effect", "outcome")
STEPS = SEQUENCES[Mode.NORMAL]
NUMBERS = count()

MANIFESTS = {
    "secret": """
[credentials.{name}]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "api", name = "{variable}" }} ]
""",
    "deploy-token": """
[credentials.{name}]
kind = "deploy-token"
app = "web"
targets = [ {{ type = "file", path = "{folder}/token" }} ]
""",
    "wireguard-peer": """
[credentials.{name}]
kind = "wireguard-peer"
region = "fra"
targets = [ {{ type = "file", path = "{folder}/wg.conf" }} ]
""",
}


def points() -> list[tuple[str, str]]:
    """Every kind, killed at every moment of every step that it has."""
    found = []
    for kind in MANIFESTS:
        steps = [s for s in STEPS if kind == "secret" or s is not StepName.ROLL_OUT]
        found += [(kind, f"{step.value}:{moment}") for step in steps for moment in MOMENTS]
    return [*found, *(("secret", f"update:{number}") for number in (1, 2, 4))]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with simulator(tmp_path_factory.mktemp("simulator"), speed=50) as simulated:
        yield simulated


@pytest.mark.parametrize(("kind", "point"), points())
def test_a_rotation_killed_at_any_point_is_finished_by_the_next_daemon(
    tmp_path: Path, world: Simulated, kind: str, point: str
) -> None:
    number = next(NUMBERS)
    name = f"killed-{number}"
    project = Project(tmp_path, world).migrated()
    text = MANIFESTS[kind].format(name=name, folder=tmp_path, variable=f"KILLED_{number}")
    project.manifest(text)

    dying = forked.start(project, kill_at=point)
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL, project.log()

    with forked.daemon(project):
        (rotation,) = project.until_ended()
        assert_finished(project, rotation, kind, name)


def assert_finished(project: Project, rotation: Rotation, kind: str, name: str) -> None:
    """The promises, seen from the database and from the simulator's truth."""
    assert rotation.state is RotationState.SUCCEEDED, (rotation, project.log())
    assert all(s.state is StepState.DONE for s in project.steps(rotation))
    versions = project.versions(rotation)
    current = [v for v in versions if v.state is VersionState.CURRENT]
    assert len(current) == 1
    assert not [v for v in versions if v.state in (VersionState.PENDING, VersionState.RETIRING)]
    held = [v.issued.name for v in current if v.issued is not None]
    world = project.simulated
    if kind == "deploy-token":
        assert world.live_tokens(name) == held
    if kind == "wireguard-peer":
        assert world.live_peers(name) == held
    if kind == "secret":
        assert_adopted(world, name)
        # A lease whose nonce died with its daemon runs out by itself.
        project.until(lambda: all(m["leased_by"] is None for m in world.machines("api")))
    assert not [c for c in world.consumers() if c["accepted"] is False]
    assert first_fault(project.events()) is None


def assert_adopted(world: Simulated, name: str) -> None:
    """Every running machine booted with the digest that the app shows."""
    variable = name.replace("killed-", "KILLED_")
    secrets = world.app("api")["secrets"]
    assert isinstance(secrets, list)
    digest = next(s["digest"] for s in secrets if s["name"] == variable)
    for machine in world.machines("api"):
        booted = machine["digests_at_boot"]
        assert isinstance(booted, dict)
        assert booted.get(variable) == digest, machine
