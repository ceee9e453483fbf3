"""A simulator in a process of its own, and its control paths."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 30.0


@dataclass(frozen=True)
class Simulated:
    """A running simulator."""

    base: str
    token: str
    control: httpx.Client

    def state(self) -> dict[str, list[dict[str, object]]]:
        """Its whole world, without values."""
        answer: dict[str, list[dict[str, object]]] = self.control.get("/_simulator/state").json()
        return answer

    def app(self, name: str) -> dict[str, object]:
        """One app of its world."""
        return next(app for app in self.state()["apps"] if app["name"] == name)

    def machines(self, app: str) -> list[dict[str, object]]:
        """The machines of an app."""
        found = self.app(app)["machines"]
        assert isinstance(found, list)
        return found

    def consumers(self) -> list[dict[str, object]]:
        """What each running machine's program sees."""
        found: list[dict[str, object]] = self.control.get("/_simulator/consumers").json()[
            "consumers"
        ]
        return found

    def requests(self, after: int = 0) -> list[dict[str, object]]:
        """The log of requests."""
        found: list[dict[str, object]] = self.control.get(
            "/_simulator/log", params={"after": after}
        ).json()["requests"]
        return found

    def last_request(self) -> int:
        """The number of the newest request."""
        requests = self.requests()
        number = requests[-1]["seq"] if requests else 0
        assert isinstance(number, int)
        return number

    def fault(self, kind: str, match: Mapping[str, object], **more: object) -> None:
        """Order a fault."""
        answer = self.control.post(
            "/_simulator/faults", json={"kind": kind, "match": dict(match), **more}
        )
        answer.raise_for_status()

    def clear_faults(self) -> None:
        """Take all faults back."""
        self.control.delete("/_simulator/faults").raise_for_status()

    def turn(self, machine: object, **knobs: object) -> None:
        """Turn a machine's knobs (`never_healthy`, `host_status`, ...)."""
        self.control.post(f"/_simulator/machines/{machine}", json=knobs).raise_for_status()

    def live_tokens(self, prefix: str) -> list[str]:
        """Names of tokens that are not revoked."""
        tokens = self.state()["tokens"]
        return sorted(
            str(t["name"]) for t in tokens if not t["revoked"] and str(t["name"]).startswith(prefix)
        )

    def live_peers(self, prefix: str) -> list[str]:
        """Names of peers."""
        return sorted(
            str(p["name"]) for p in self.state()["peers"] if str(p["name"]).startswith(prefix)
        )


@contextmanager
def simulator(folder: Path, *, seed: int = 1, speed: float = 20.0) -> Iterator[Simulated]:
    """Start a simulator on a free port; it ends with the block."""
    port, token = folder / "simulator.port", folder / "simulator.token"
    arguments: Sequence[str] = (
        "simulate",
        f"--seed={seed}",
        f"--speed={speed}",
        "--port=0",
        f"--port-file={port}",
        f"--token-file={token}",
    )
    with (folder / "simulator.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rotator", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ.copy(),
        )
    try:
        base = f"http://127.0.0.1:{_wait_for(port, process)}"
        with httpx.Client(base_url=base, timeout=30) as control:
            _answers(control, process)
            yield Simulated(base, token.read_text().strip(), control)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and (text := path.read_text().strip()):
            return text
        time.sleep(0.02)
    raise AssertionError("the simulator did not start")


def _answers(control: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            control.get("/_simulator/state")
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the simulator does not answer")
