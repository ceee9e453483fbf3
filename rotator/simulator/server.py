"""The simulated Fly as a server on loopback, in real time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGINT, SIGTERM
from types import FrameType

import uvicorn

from rotator.simulator.app import build_world, create_app

SHUTDOWN_SECONDS = 2
NO_HANDSHAKES = "ROTATOR_CERTIFICATE_HANDSHAKE=off"
QUIET_FLYCTL = "FLY_NO_UPDATE_CHECK=1 FLY_SEND_METRICS=0"
"""Keeps flyctl from calling home beside its commands."""


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    *,
    speed: float = 1.0,
    token_file: Path | None = None,
    port_file: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 takes a free one; the token file is made 0600.

    Blocks. Prints where it listens and how to point rotator and flyctl at it. Raises OSError
    when it can't listen or can't write a file.
    """
    with _quiet_signals():
        asyncio.run(_serve(host, port, seed, speed, (token_file, port_file)))


async def _serve(
    host: str, port: int, seed: int, speed: float, files: tuple[Path | None, Path | None]
) -> None:
    world, operator_token = build_world(seed, lambda: datetime.now(UTC), asyncio.sleep, speed)
    # flyctl makes more than three calls on one app within a second, and gives up at a 429.
    world.switches.app_actions_share_bucket = False
    listener = _listen(host, port)
    with listener:
        bound = int(listener.getsockname()[1])
        token_file, port_file = files
        if token_file is not None:
            _write_private(token_file, operator_token)
        if port_file is not None:
            port_file.write_text(f"{bound}\n", "utf-8")
        print(announcement(host, bound, token_file, operator_token), flush=True)  # noqa: T201
        config = uvicorn.Config(
            create_app(world, served=True),
            log_level="critical",
            lifespan="off",
            date_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        await uvicorn.Server(config).serve(sockets=[listener])


def announcement(host: str, port: int, token_file: Path | None, token: str) -> str:
    """Where the simulator is and how rotator and flyctl get there: three lines."""
    shown = f"[{host}]" if ":" in host else host
    base = f"http://{shown}:{port}"
    value = f'"$(cat {token_file})"' if token_file is not None else f'"{token}"'
    # The hostnames of its certificates are nobody's to shake hands with.
    rotator = f"ROTATOR_MACHINES_API_URL={base} ROTATOR_GRAPHQL_API_URL={base} {NO_HANDSHAKES}"
    flyctl = f"FLY_API_BASE_URL={base} FLY_FLAPS_BASE_URL={base} FLY_UIEX_BASE_URL={base}"
    return (
        f"a simulated Fly, organisation acme, at {base}\n"
        f"for rotator:  export {rotator} FLY_API_TOKEN={value}\n"
        f"for flyctl:   export {flyctl} FLY_API_TOKEN={value} {QUIET_FLYCTL}"
    )


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the server and not, when it raises them again, the process."""
    before = {number: signal.signal(number, _ignore) for number in (SIGTERM, SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: uvicorn has ended already."""


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from the first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text + "\n")
