"""`rotator demo` as a user runs it: everything that it shows is there, and it says so by 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from rotator.domain.rotation import RotationState
from tests.harness.project import Project
from tests.harness.simulated import Simulated


def test_the_demo_rotates_one_of_each_kind_and_everything_it_prints_is_in_its_database(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "kept"
    ran = subprocess.run(
        [sys.executable, "-m", "rotator", "demo", "--keep", str(folder)],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "160"},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    assert "0 were refused" in ran.stdout
    assert "the audit log is whole" in ran.stdout
    assert "3 of 3 rotations succeeded" in ran.stdout
    kept = Project(folder, Simulated("http://127.0.0.1:9", "", None))  # type: ignore[arg-type]
    rotations = kept.rotations()
    assert {r.state for r in rotations} == {RotationState.SUCCEEDED}
    for rotation in rotations:
        assert rotation.id in ran.stdout
    for event in kept.events():
        assert event.event.action.value in ran.stdout
    for rollout in json.loads(kept.must("rollout", "show", "--json"))["rollouts"]:
        assert f"rollout {rollout['id']} of {rollout['app']}" in ran.stdout
    assert (folder / "ci-web.token").stat().st_mode & 0o777 == 0o600
    assert "PrivateKey" in (folder / "fly.conf").read_text()
