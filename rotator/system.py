"""The real clock, the real randomness, and who we are."""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import socket
from datetime import UTC, datetime

from ulid import ULID

from rotator.domain.rotation import Actor, ActorKind


class SystemClock:
    """The operating system's time."""

    def now(self) -> datetime:
        """The present, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(max(0.0, seconds))


class SystemEntropy:
    """The operating system's randomness (`secrets`)."""

    def token_bytes(self, count: int) -> bytes:
        """Random bytes, fit for keys."""
        return secrets.token_bytes(count)

    def below(self, bound: int) -> int:
        """A uniform number in [0, bound)."""
        return secrets.randbelow(bound)

    def ulid(self, now: datetime) -> str:
        """A new ULID."""
        milliseconds = int(now.timestamp() * 1000)
        return str(ULID.from_bytes(milliseconds.to_bytes(6, "big") + secrets.token_bytes(10)))


def user_actor() -> Actor:
    """The person at the command line."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    host = socket.gethostname()
    return Actor(ActorKind.USER.value, f"{name}@{host}"[:255], host=host, uid=os.getuid())


def worker_actor(name: str) -> Actor:
    """This process as a worker: on Fly with its machine and region."""
    return Actor(
        ActorKind.WORKER.value,
        name,
        host=socket.gethostname(),
        machine=os.environ.get("FLY_MACHINE_ID"),
        region=os.environ.get("FLY_REGION"),
    )


def worker_name() -> str:
    """This process: on Fly the machine and region, elsewhere the host."""
    machine, region = os.environ.get("FLY_MACHINE_ID"), os.environ.get("FLY_REGION")
    place = f"{machine}.{region}" if machine and region else socket.gethostname()
    return f"{place[:48]}:{os.getpid()}"
