"""A person's first week: find what is there, observe it, and see what a leak would take along."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness.project import Project
from tests.harness.simulated import simulator

MINE = '# our own\norganization = "acme"\n'


def test_what_is_found_is_tracked_without_touching_anything(tmp_path: Path) -> None:
    with simulator(tmp_path, speed=100) as simulated:
        project = Project(tmp_path, simulated).migrated()
        project.manifest("", head=MINE)
        before = simulated.last_request()
        picks = ("--pick", "token:*", "--pick", "secret:web/*", "--json")
        ran = project.run("discover", "--write", *picks)
        assert ran.code == 0, ran
        added = {each["name"] for each in json.loads(ran.out)["added"]}
        assert added == {"ci-web", "operator", "web-database-url", "web-session-key"}
        assert (tmp_path / "rotator.toml").read_text().startswith(MINE)
        lost = project.run("taint", "operator", "--dry-run")
        assert lost.code == 0, lost
        assert "whoever holds operator can read fly-secret:web/SESSION_KEY" in lost.out
        assert lost.out.count("not rotated: it is only observed") == 3
        looked = project.run("reconcile")
        assert looked.code == 0, looked
        assert "ci-web: adopted ci-web, which stands there already" in looked.out
        writes = [
            entry
            for entry in simulated.requests(before)
            if entry["method"] != "GET" and entry["path"] != "/graphql"
        ]
        assert writes == []
