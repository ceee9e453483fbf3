"""Real daemons that die real deaths while a fleet rotates, on both databases; and a full disk.

`make soak RUNS=200` does the first two for longer.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rotator.domain.credential import VersionState
from rotator.domain.rotation import RotationState
from tests.harness import forked
from tests.harness.chain import first_fault
from tests.harness.project import Project
from tests.harness.simulated import simulator
from tests.integration.postgres_server import NoServer, postgres_server
from tests.integration.soak import (
    DURABLE,
    SMALL_FLEET,
    SPEED,
    Extent,
    soak_postgresql,
    soak_sqlite,
)

SHORT = Extent(runs=15, seed=11, longest_seconds=10.0, fleet=SMALL_FLEET)
"""A busy machine gets fewer kills into the time."""
FEWEST = 3
DISK_BYTES = 4 * 1024 * 1024
pytestmark = pytest.mark.timeout(540)
SIGNS = ("has no space left", "can't be opened", "does not answer")
"""What the daemon says of a disk that is full, and of one that refuses to write more."""
TOKEN = """
[credentials.full-disk]
kind = "deploy-token"
app = "web"
targets = [ {{ type = "file", path = "{folder}/token" }} ]
"""


def test_a_fleet_survives_kills_on_sqlite(tmp_path: Path) -> None:
    with simulator(tmp_path, seed=1, speed=SPEED) as world:
        tally = soak_sqlite(tmp_path, world, SHORT)
    assert tally.kills >= FEWEST
    assert tally.rotations[RotationState.SUCCEEDED] >= 5


def test_a_fleet_survives_kills_freezes_and_restarts_of_the_server_on_postgresql(
    tmp_path: Path,
) -> None:
    try:
        with simulator(tmp_path, seed=2, speed=SPEED) as world, postgres_server(DURABLE) as server:
            tally = soak_postgresql(tmp_path, world, SHORT, server)
    except NoServer as reason:
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL is needed in CI: {reason}")
        pytest.skip(f"no PostgreSQL: {reason}")
    assert tally.kills >= FEWEST
    assert tally.restarts
    assert tally.rotations[RotationState.SUCCEEDED] >= 5


Fill = Callable[[bool], None]
"""Fill the disk, or make room again."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Fill | None]:
    """A small file system of its own, or None where this account may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        yield None
        return
    ballast = folder / "ballast"

    def fill(full: bool) -> None:
        if not full:
            ballast.unlink()
            return
        with ballast.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    return

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def quota(process_id: int, project: Project) -> Fill:
    """A limit on the size of files that the daemon writes: any account may set it."""

    def fill(full: bool) -> None:
        try:
            _, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
        except ProcessLookupError:
            return
        size = project.database.stat().st_size // 2 if full else hard
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, (size, hard))

    return fill


def test_a_daemon_on_a_full_disk_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, speed=50) as world,
        small_disk(tmp_path / "disk") as disk,
    ):
        see_through_a_full_disk(Project(tmp_path / "disk", world), disk, killed=True)


def test_a_daemon_beyond_its_quota_goes_on_when_it_is_lifted(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with simulator(tmp_path, speed=50) as world:
        see_through_a_full_disk(Project(folder, world), None, killed=False)


def see_through_a_full_disk(project: Project, disk: Fill | None, *, killed: bool) -> None:
    """The disk fills in the middle of a rotation, and the daemon may be killed on it. Nothing is
    lost, nothing is left over, and the cause is told."""
    project.migrated()
    project.manifest(TOKEN.format(folder=project.folder))
    process = forked.start(project)
    try:
        project.until_ended()
        assert process.pid is not None
        fill = disk or quota(process.pid, project)
        make_due(project)
        project.until(lambda: len(project.rotations()) == 2)
        fill(True)
        project.until(lambda: any(sign in project.log() for sign in SIGNS))
        time.sleep(1)
        assert process.is_alive(), project.log()[-2000:]
        if killed:
            process.kill()
            process.join()
        fill(False)
        if killed:
            process = forked.start(project)
        project.until_ended(2)
    finally:
        process.kill()
        process.join()
    see_nothing_lost(project)


def make_due(project: Project) -> None:
    """As if its schedule had come round."""
    with closing(sqlite3.connect(project.database, timeout=15)) as connection:
        connection.execute("UPDATE credentials SET due_at = 0")
        connection.commit()


def see_nothing_lost(project: Project) -> None:
    """Both rotations went well, and the issuer holds what the inventory says."""
    rows = project.rotations()
    assert [r.state for r in rows] == [RotationState.SUCCEEDED] * 2
    live = [v for v in project.versions(rows[0]) if v.state is VersionState.CURRENT]
    held = [v.issued.name for v in live if v.issued is not None]
    assert project.simulated.live_tokens("full-disk-0") == held
    assert first_fault(project.events()) is None
