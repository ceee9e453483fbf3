"""P6: no value that a run made is in its database, its logs, its output or its exports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rotator.domain.rotation import RotationState
from rotator.domain.secret import Secret
from rotator.store.sealing import KeyRing
from rotator.store.store import SqlStore
from rotator.system import SystemClock, SystemEntropy
from tests.harness.project import Project
from tests.harness.simulated import simulator

MANIFEST = """
[credentials.session]
kind = "secret"
prefix = "sk_"
policy = { every = "30d", overlap = "1h" }
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]

[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = { every = "30d", overlap = "1h" }
targets = [ { type = "file", path = "FOLDER/ci.token" } ]

[credentials.office]
kind = "wireguard-peer"
region = "fra"
policy = { every = "30d", overlap = "1h" }
targets = [ { type = "file", path = "FOLDER/wg.conf" } ]
"""
WITH_A_NEW_VALUE = (RotationState.RETIRING, RotationState.SUCCEEDED)
COMMANDS = (
    ("check",),
    ("list",),
    ("list", "--json"),
    ("show", "session"),
    ("show", "ci-web", "--json"),
    ("show", "office", "--json"),
    ("rotate", "show"),
    ("rotate", "show", "--json"),
    ("rollout", "show", "--json"),
    ("plan", "--json"),
    ("audit", "--limit", "10000"),
    ("audit", "--limit", "10000", "--json"),
    ("audit", "--limit", "10000", "-f", "csv"),
    ("audit", "verify", "--json"),
)


def held_values(project: Project) -> list[str]:
    """Every value that the database holds sealed, opened with the project's key."""

    async def opened() -> list[str]:
        ring = KeyRing([Secret(project.key)], SystemEntropy().token_bytes)
        store = SqlStore(f"sqlite:///{project.database}", ring, SystemClock())
        try:
            async with store.view() as unit:
                values = []
                for credential in await unit.credentials():
                    for version in await unit.versions(credential.id):
                        value = await unit.unseal(version.id)
                        if value is not None:
                            values.append(value.reveal())
        finally:
            await store.aclose()
        return values

    return asyncio.run(opened())


@pytest.mark.timeout(300)
def test_no_value_that_a_run_made_can_be_found_anywhere(tmp_path: Path) -> None:
    with simulator(tmp_path, speed=50) as simulated:
        project = Project(tmp_path, simulated, more={"ROTATOR_LOG_LEVEL": "debug"}).migrated()
        project.manifest(MANIFEST.replace("FOLDER", str(tmp_path)))
        # Answers that are lost or cut are where a body could slip into an error.
        simulated.fault("lost", {"graphql": "createLimitedAccessToken"})
        simulated.fault("truncated", {"method": "POST", "path": "/v1/apps/web/secrets"})
        with project.daemon():
            rotations = project.until(
                lambda: (
                    found
                    if len(found := project.rotations()) == 3
                    and all(r.state in WITH_A_NEW_VALUE for r in found)
                    else None
                )
            )
            printed = "".join(str(project.run(*command)) for command in COMMANDS)
            printed += "".join(str(project.run("rotate", "show", r.id)) for r in rotations)
        values = held_values(project)
        assert len(values) == 3
        token = (tmp_path / "ci.token").read_text().strip()
        files = [project.database, project.database.with_name("rotator.db-wal")]
        seen = b"".join(file.read_bytes() for file in files if file.exists())
        seen += printed.encode() + project.log().encode()
        # A needle is short of the whole, so that a cut value is found as well.
        needles = [*values, token, project.key, simulated.token.removeprefix("FlyV1 ")]
        for value in needles:
            for part in (value, value[8:40], value[-32:]):
                assert part.encode() not in seen


def test_values_are_erased_once_no_step_can_need_them(tmp_path: Path) -> None:
    with simulator(tmp_path, speed=50) as simulated:
        project = Project(tmp_path, simulated).migrated()
        project.manifest(MANIFEST.replace("FOLDER", str(tmp_path)).replace('"1h"', '"1s"'))
        for name in ("office", "office"):
            project.must("rotate", "now", name)
        assert len(held_values(project)) == 1, "the old private key is gone, the current one held"
