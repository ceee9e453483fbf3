"""What most commands begin with: settings, an open rotator, and a loop to run in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from rotator.domain.ports import Store
from rotator.logs import configure_logs
from rotator.settings import load_settings
from rotator.system import user_actor, worker_name
from rotator.wiring import Rotator, open_rotator

LIVE_FOR: Final = timedelta(seconds=30)
"""A daemon that has shown itself within this time is running (it does so every 10 s)."""


def run_async(work: Coroutine[object, object, int]) -> int:
    """Run a command's work; gives its exit code."""
    from rotator.cli.crashes import tell_of_task

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(tell_of_task)
        return runner.run(work)


@asynccontextmanager
async def opened(*, online: bool = False) -> AsyncIterator[Rotator]:
    """Everything joined, for a person at the command line. Only errors are logged: commands show
    what happens themselves."""
    settings = load_settings()
    configure_logs(settings.log_format, "error")
    async with open_rotator(
        settings, actor=user_actor(), worker_id=f"cli-{worker_name()}", online=online
    ) as rotator:
        yield rotator


async def daemon_is_running(store: Store) -> bool:
    """Whether a daemon has shown itself lately."""
    async with store.view() as unit:
        now = await unit.database_now()
        workers = await unit.workers()
    return any(w.kind == "daemon" and now - w.seen_at <= LIVE_FOR for w in workers)
