"""A running daemon is told of a leak: GitHub's alert, a scanner's, and somebody who guesses."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from rotator.domain.events import Action
from rotator.domain.rotation import RotationState
from tests.harness.hooking import OTHER_SECRET, TEXT_SECRET, github, github_alert, mac
from tests.harness.project import Project
from tests.harness.simulated import simulator

GOAL_SECONDS = 10.0
API_TOKEN = "github_pat_of_the_test"
MANIFEST = """
[credentials.robot]
kind = "deploy-token"
app = "web"
targets = [ { type = "file", path = "FOLDER/robot.token" } ]

[[hooks]]
name = "github"
format = "github"

[[hooks]]
name = "scanner"
format = "fly"
respond = "approve"
secrets_env = "SCANNER_SECRETS"
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@contextmanager
def github_api(value: Callable[[], str]) -> Iterator[str]:
    """GitHub's API, as far as it tells which value alert 42 is about."""

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/repos/acme/web/secret-scanning/alerts/42"
            known = known and self.headers["Authorization"] == f"Bearer {API_TOKEN}"
            body = json.dumps({"number": 42, "secret": value()} if known else {}).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def states(project: Project) -> list[str]:
    with closing(sqlite3.connect(project.database, timeout=10)) as connection:
        return [row[0] for row in connection.execute("SELECT state FROM leak_alerts ORDER BY id")]


def test_a_daemon_makes_a_leaked_token_worthless_within_ten_seconds(tmp_path: Path) -> None:
    port, scraped, token = free_port(), free_port(), tmp_path / "robot.token"
    with simulator(tmp_path) as fly, github_api(lambda: token.read_text().strip()) as api:
        more = {
            "ROTATOR_HOOKS_PORT": str(port),
            "ROTATOR_HOOKS_ADDRESS": "127.0.0.1",
            "ROTATOR_METRICS_PORT": str(scraped),
            "ROTATOR_HOOK_GITHUB_SECRETS": f"{OTHER_SECRET}, {TEXT_SECRET}",
            "SCANNER_SECRETS": TEXT_SECRET,
            "ROTATOR_GITHUB_TOKEN": API_TOKEN,
            "ROTATOR_GITHUB_API_URL": api,
        }
        project = Project(tmp_path, fly, more=more).migrated()
        project.manifest(MANIFEST.replace("FOLDER", str(tmp_path)))
        with project.daemon(), httpx.Client(base_url=f"http://127.0.0.1:{port}/hooks") as sender:
            project.until_ended()
            leaked = token.read_text().strip()
            (living,) = fly.live_tokens("robot")
            assert answers(port)

            body = github_alert()
            began = time.monotonic()
            reply = sender.post("/github", content=body, headers=github(body))
            assert reply.status_code == 202, reply.text
            project.until(lambda: living not in fly.live_tokens("robot"))
            assert time.monotonic() - began < GOAL_SECONDS
            repeat = sender.post("/github", content=body, headers=github(body))
            assert (repeat.status_code, repeat.content) == (202, reply.content)
            rotations = project.until_ended(2)
            assert [r.state for r in rotations] == [RotationState.SUCCEEDED] * 2
            assert rotations[0].actor.kind == "webhook" or rotations[0].reason_code == "leaked"
            project.until(lambda: states(project) == ["done"])

            second = token.read_text().strip()
            body = json.dumps({"leak": f"Authorization: FlyV1 {second.removeprefix('FlyV1 ')}"})
            signed = mac(TEXT_SECRET, body.encode()).hex()
            headers = {"Content-Type": "application/json", "X-Fly-Signature": signed}
            waits = sender.post("/scanner", content=body, headers=headers)
            (alert,) = waits.json()["alerts"]
            assert (waits.status_code, alert["action"]) == (202, "wait-for-approval")
            listed = json.loads(project.must("rotate", "approve", "--json"))["waiting"]
            assert [(w["id"], w["credential"]) for w in listed] == [(alert["id"], "robot")]
            said = project.must("rotate", "approve", alert["id"], "-r", "seen on a screen")
            assert "Fly was seen to refuse it" in said
            assert states(project) == ["done", "done"]

            wrong = [
                sender.post("/github", content=b"{}", headers=github(body.encode()))
                for _ in range(2)
            ]
            assert [each.status_code for each in wrong] == [401, 401]
            assert sender.post("/nobody", content=b"{}", headers=headers).status_code == 404
            metrics = httpx.get(f"http://127.0.0.1:{scraped}/metrics").text
        assert 'rotator_hook_requests_total{hook="github",outcome="duplicate"} 1.0' in metrics
        assert 'rotator_hook_requests_total{hook="unknown",outcome="unknown-hook"} 1.0' in metrics
        rejected = [e.event for e in project.events() if e.event.action is Action.HOOK_REJECTED]
        assert rejected
        assert rejected[0].detail["hook"] == "github"
        seen = project.log() + reply.text + waits.text + said
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("rotator.db*"))
        for value in (leaked, second):
            bare = value.removeprefix("FlyV1 ").split(",")[0]
            assert bare not in seen
            assert bare.encode() not in kept
        assert "daemon stopped" in project.log()
        assert "Traceback" not in project.log()
