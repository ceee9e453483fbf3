"""Tokens that are narrowed and bound, rotated by the command line against a simulated Fly."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.domain.rotation import RotationState
from rotator.fly.bundle import read_bundle
from rotator.fly.inspection import read_token, together
from tests.harness.project import HEAD, Project
from tests.harness.simulated import simulator

MANIFEST = """
[credentials.dashboard]
kind = "readonly-token"
narrow = {{ apps = ["web", "api"] }}
targets = [ {{ type = "file", path = "{folder}/dashboard" }} ]

[credentials.backup]
kind = "machine-exec-token"
app = "web"
command_prefixes = ["pg_dump"]
bind = {{ app = "api" }}
rollout = {{ smoke = "0s", strategy = "immediate", canary = 0 }}
targets = [ {{ type = "fly-secret", app = "api", name = "EXEC_TOKEN" }} ]

[credentials.support]
kind = "ssh-token"
app = "web"
targets = [ {{ type = "file", path = "{folder}/support" }} ]

[credentials.network]
kind = "wireguard-token"
narrow = {{ mutations = ["addWireGuardPeer"], window = "45d" }}
targets = [ {{ type = "file", path = "{folder}/network" }} ]
"""
FILES = ("dashboard", "network", "support")
NAMES = ("dashboard", "backup", "support", "network")


@pytest.mark.timeout(240)
def test_narrowed_tokens_are_rotated_delivered_and_revoked(tmp_path: Path) -> None:
    with simulator(tmp_path, speed=100) as simulated:
        project = Project(tmp_path, simulated).migrated()
        project.manifest(MANIFEST.format(folder=tmp_path), head=HEAD)
        project.must("rotate", "now", *NAMES)
        first = {name: (tmp_path / name).read_text() for name in FILES}
        project.must("rotate", "now", *NAMES)
        assert [r.state for r in project.rotations()] == [RotationState.SUCCEEDED] * 8
        for name in NAMES:
            assert len(simulated.live_tokens(f"{name}-")) == 1, name
        refused = [c for c in simulated.consumers() if c["accepted"] is False]
        assert refused == []
        using = [c for c in simulated.consumers() if c["secret"] == "EXEC_TOKEN"]
        assert using
        assert all(c["accepted"] for c in using)
        kinds = {}
        for name in FILES:
            text = (tmp_path / name).read_text()
            assert text != first[name]
            bundle = read_bundle(text)
            kinds[name] = together([read_token(each, bundle) for each in bundle.permissions])
        assert kinds == {
            "dashboard": "read-only token of some apps",
            "network": "WireGuard token",
            "support": "ssh token",
        }
        proofs = [e for e in project.events() if "tokens/current" in str(e.event.detail)]
        assert proofs
