"""What is wrong with a manifest is told with file, line, field and an example; nothing is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.project import Project
from tests.harness.simulated import Simulated

HEAD = 'organization = "acme"\n'
GOOD = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """No simulator: a bad manifest is refused before anything is called."""
    return Project(tmp_path, Simulated("http://127.0.0.1:9", "fo1_test", None)).migrated()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (GOOD + "colour = 1\n", 6, "colour"),
        (GOOD.replace('"web"', '"Web"'), 5, "lowercase letters"),
        (GOOD.replace('"SESSION_KEY"', '"1KEY"'), 5, "no digit first"),
        (GOOD.replace('"secret"', '"secrets"'), 4, "kind"),
        (GOOD.replace("fly-secret", "flysecret"), 5, "type"),
        (GOOD + GOOD.replace("session]", "other]"), 9, "SESSION_KEY"),
        (GOOD + '[credentials.session.policy]\nevery = "30 days"\n', 7, "30 days"),
        (GOOD + '[credentials.session.policy]\ncron = "61 * * * *"\n', 7, "cron"),
        (GOOD + '[credentials.session.policy]\ncron = "0 0 31 2 *"\n', 7, "never"),
        (GOOD + '[credentials.session.policy]\nevery = "1d"\ncron = "0 3 * * *"\n', 8, "cron"),
        (GOOD + '[credentials.session.policy]\ncron = "0 3 * * *"\nzone = "Mars/X"\n', 8, "Mars/X"),
        (GOOD + '[credentials.session.policy]\nmissed = "never"\n', 7, "catch-up"),
        (GOOD + '[credentials.session.rollout]\nmax_unavailable = "0%"\n', 7, "max_unavailable"),
        (GOOD + "[credentials.session.rollout]\nstagger = -1\n", 7, "stagger"),
        (GOOD.replace("[credentials.session]", "[credentials.session"), 3, ""),
        (GOOD.replace('kind = "secret"', 'kind = "secret"\nbytes = 4'), 3, "bits of randomness"),
        (GOOD.replace("targets = [", "bytes = 32\nlength = 10\ntargets = ["), 3, "not both"),
    ],
)
def test_a_bad_manifest_is_told_by_file_line_and_field(
    project: Project, text: str, line: int, told: str
) -> None:
    project.manifest(text, head=HEAD)
    ran = project.run("plan")
    assert ran.code == 2, ran
    assert f"rotator.toml:{line}: " in ran.err, ran.err
    assert told in ran.err
    assert "Traceback" not in ran.err


def test_a_window_that_never_opens_is_told(project: Project) -> None:
    policy = """
[credentials.session.policy]
every = "30d"
window = { days = "mon", start = "09:00", span = "1h", zone = "UTC" }
blackout = ["2020-01-01/2099-12-31"]
"""
    project.manifest(GOOD + policy, head=HEAD)
    ran = project.run("plan")
    assert ran.code == 2
    assert "never" in ran.err


def test_every_problem_is_told_at_once(project: Project) -> None:
    project.manifest(GOOD.replace('"web"', '"Web"') + "colour = 1\n", head=HEAD)
    ran = project.run("plan")
    assert len(ran.err.strip().splitlines()) == 2


def test_a_missing_manifest_is_told_with_what_to_do(project: Project) -> None:
    ran = project.run("plan")
    assert ran.code == 2
    assert "rotator init" in ran.err
