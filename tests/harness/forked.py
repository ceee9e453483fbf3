"""Daemons as forks of a process that has everything imported: real processes that die real deaths,
without a second of imports for each."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from rotator.cli.starting import run_daemon
from tests.harness import killed_daemon
from tests.harness.project import Project

STOP_SECONDS = 30

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.harness.forked", "rotator.daemon", "rotator.wiring"])


def start(project: Project, *, kill_at: str | None = None) -> BaseProcess:
    """Start a daemon in the project's directory; with `kill_at`, one that dies there."""
    arguments = (str(project.folder), project.environment(), kill_at)
    process = _context.Process(target=_daemon, args=arguments)
    process.start()
    return process


@contextmanager
def daemon(project: Project) -> Iterator[BaseProcess]:
    """A daemon that is told to stop at the end of the block."""
    process = start(project)
    try:
        yield process
    finally:
        process.terminate()
        process.join(STOP_SECONDS)
        assert process.exitcode == 0, f"{process.exitcode}: {project.log()[-2000:]}"


def _daemon(folder: str, environment: Mapping[str, str], kill_at: str | None) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    log = os.open(Path(folder) / "daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if kill_at is not None:
        killed_daemon.arrange(*kill_at.split(":"))
    asyncio.run(run_daemon(migrate=False))
