"""The real flyctl against the simulator. Runs where `ROTATOR_TEST_FLYCTL` names its binary.

    ROTATOR_TEST_FLYCTL=$(command -v fly) make test

Without one, tests/contract/test_flyctl.py sends what flyctl would.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project import Project
from tests.harness.simulated import Simulated, simulator

BINARY = os.environ.get("ROTATOR_TEST_FLYCTL", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="ROTATOR_TEST_FLYCTL names no flyctl")


@dataclass
class Flyctl:
    """A flyctl with a home of its own."""

    home: Path
    simulated: Simulated
    token: str

    def run(self, *arguments: str) -> str:
        """Run a command that succeeds, and return what it prints."""
        base = self.simulated.base
        environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "FLY_API_BASE_URL": base,
            "FLY_FLAPS_BASE_URL": base,
            "FLY_UIEX_BASE_URL": base,
            "FLY_API_TOKEN": self.token,
            "FLY_NO_UPDATE_CHECK": "1",
            "FLY_SEND_METRICS": "0",
        }
        done = subprocess.run(
            [BINARY, *arguments],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr or done.stdout}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The same with --json."""
        return json.loads(self.run(*arguments, "--json"))


@pytest.fixture(scope="module")
def fly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flyctl]:
    folder = tmp_path_factory.mktemp("flyctl")
    with simulator(folder, speed=1.0) as simulated:
        yield Flyctl(folder, simulated, simulated.token)


def test_tokens(fly: Flyctl) -> None:
    made = fly.json("tokens", "create", "deploy", "-a", "web", "-n", "by-flyctl", "-x", "24h")
    fly.run("tokens", "create", "org", "-o", "acme", "-n", "org-by-flyctl", "-x", "24h")
    fly.run("tokens", "create", "readonly", "acme", "-n", "read-by-flyctl", "-x", "24h")
    deployer = Flyctl(fly.home, fly.simulated, made["token"])
    (first, *_) = json.loads(deployer.run("tokens", "debug"))
    assert first["location"] == "https://api.fly.io/v1"
    assert deployer.json("machine", "list", "-a", "web")
    listed = fly.json("tokens", "list", "-a", "web")
    (token_id,) = [_field(row, "id") for row in listed if _field(row, "name") == "by-flyctl"]
    assert "org-by-flyctl" in fly.run("tokens", "list", "-o", "acme")
    fly.run("tokens", "revoke", token_id)
    assert "by-flyctl" not in fly.simulated.live_tokens("by-flyctl")


def test_secrets(fly: Flyctl) -> None:
    fly.run("secrets", "set", "BY_FLYCTL=1", "-a", "web", "--stage")
    assert "BY_FLYCTL" in fly.run("secrets", "list", "-a", "web")
    fly.run("secrets", "deploy", "-a", "web", "--dns-checks=false")
    fly.run("secrets", "unset", "BY_FLYCTL", "-a", "web", "--stage")
    assert "BY_FLYCTL" not in fly.run("secrets", "list", "-a", "web")


def test_wireguard(fly: Flyctl) -> None:
    fly.run("wireguard", "create", "acme", "fra", "by-flyctl", str(fly.home / "wg.conf"))
    assert "by-flyctl" in fly.run("wireguard", "list", "acme")
    fly.run("wireguard", "remove", "acme", "by-flyctl")
    assert fly.simulated.live_peers("by-flyctl") == []


def test_apps_machines_and_certificates(fly: Flyctl) -> None:
    assert {"web", "api", "jobs"} <= set(fly.run("apps", "list").split())
    machines = fly.json("machine", "list", "-a", "web")
    machine = next(each["id"] for each in machines if each["state"] == "started")
    fly.run("machine", "status", machine, "-a", "web")
    fly.run("machine", "update", machine, "-a", "web", "--metadata", "by=flyctl", "--yes")
    fly.run("machine", "restart", machine, "-a", "web")
    assert machine in fly.run("status", "-a", "web")
    assert "web.example.com" in fly.run("certs", "list", "-a", "web")
    fly.run("certs", "show", "web.example.com", "-a", "web")


def test_flyctl_and_rotator_agree(fly: Flyctl, tmp_path: Path) -> None:
    project = Project(tmp_path, fly.simulated).migrated()
    project.manifest(
        """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]
"""
    )
    ran = project.run("rotate", "now", "session", timeout_seconds=300)
    assert ran.code == 0, ran.err
    (row,) = [
        row
        for row in fly.json("secrets", "list", "-a", "web")
        if _field(row, "name") == "SESSION_KEY"
    ]
    (seen,) = [s for s in fly.simulated.app("web")["secrets"] if s["name"] == "SESSION_KEY"]
    assert _field(row, "digest") == seen["digest"]


def _field(row: dict[str, Any], name: str) -> Any:
    """A field, however flyctl's release writes its name."""
    return next(value for key, value in row.items() if key.lower() == name)
