"""The APScheduler process: recurring jobs that call the engine, and a graceful stop.

The database is the only truth about what is due; a job that is missed or runs twice changes
nothing. `advance` is also the sweep (overlaps that have ended) and the recovery (rotations whose
worker died): both are rotations whose `resume_at` has passed and whose claim has run out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from rotator import __version__
from rotator.domain.errors import ClaimLost, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.hook import HookSpec
from rotator.domain.ports import WorkerRecord
from rotator.engine import jobs
from rotator.engine.alerts.carry import carry_on, forget
from rotator.engine.audit.publish import publish
from rotator.engine.audit.stream import Streamer
from rotator.engine.parts import Parts
from rotator.engine.posture.job import SPREAD, Watch, look_if_due
from rotator.engine.taint import advance_taints
from rotator.engine.watch import watch_expiries
from rotator.keys import rewrap_all
from rotator.manifest import Manifest
from rotator.manifest.suppressions import suppressions_beside
from rotator.metrics import Metrics, look
from rotator.store.store import DaemonLock
from rotator.wiring import Rotator

if TYPE_CHECKING:
    from rotator.web.service import HookService

log = structlog.get_logger(__name__)
HEARTBEAT_SECONDS = 10
RECOVER_SECONDS = 60
MANIFEST_SECONDS = 10
EXPIRY_SECONDS = 3600
PUBLISH_SECONDS = 15
STREAM_SECONDS = 3
REWRAP_SECONDS = 3600
POSTURE_SECONDS = 60
"""So often it is seen whether a look is due; how often that is, the settings say."""
CERTIFICATES_SECONDS = 60
HOOK_RECORDS_SECONDS = 60
GRACE_SECONDS = 30


class Daemon:
    """One worker that runs until it is told to stop."""

    def __init__(self, rotator: Rotator) -> None:
        self._rotator = rotator
        self._parts = rotator.parts
        self._runner = jobs.Runner(rotator.parts)
        self._lock = _daemon_lock(rotator)
        self._digest: str | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._worker = _record(rotator.parts)
        self._metrics = Metrics()
        self._sinks = rotator.sinks()
        self._event_sinks = rotator.event_sinks()
        self._responder = rotator.responder()
        self._hooks = self._make_hooks()
        self._streamer = Streamer(
            rotator.parts.store,
            rotator.parts.actor,
            __version__,
            rotator.parts.clock.now,
            rotator.parts.stopping.is_set,
        )

    async def run(self) -> None:
        """Start, work, and stop on SIGTERM or SIGINT.

        Raises:
            InputError: another daemon runs on this SQLite file, or the manifest can't be taken.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            if self._rotator.settings.metrics_port is not None:
                self._metrics.serve(self._rotator.settings.metrics_port)
            await self._load_manifest(first=True)
            if self._hooks is not None:
                await self._hooks.listen()
            await self._beat()
            await self._tell(Action.WORKER_STARTED)
            self._listen()
            log.info(
                "daemon started", worker=self._parts.worker_id, database=self._rotator.store.name
            )
            scheduler = self._scheduler()
            scheduler.start()
            await self._parts.stopping.wait()
            scheduler.pause()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._drain())
                if self._hooks is not None:
                    group.create_task(self._hooks.stop())
            scheduler.shutdown(wait=False)
            await self._leave()
            log.info("daemon stopped", worker=self._parts.worker_id)
        finally:
            if self._lock is not None:
                self._lock.release()

    def _scheduler(self) -> AsyncIOScheduler:
        settings = self._rotator.settings
        scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
        )
        table: tuple[tuple[str, Callable[[], Awaitable[object]], float], ...] = (
            ("advance", self._runner.run_ready, settings.tick_seconds),
            ("find-due", lambda: jobs.find_due(self._parts), settings.tick_seconds),
            ("taints", lambda: advance_taints(self._parts), settings.tick_seconds),
            ("alerts", lambda: carry_on(self._responder), settings.tick_seconds),
            ("hook-records", self._hook_records, HOOK_RECORDS_SECONDS),
            ("recover", lambda: jobs.recover(self._parts), RECOVER_SECONDS),
            ("reconcile", self._reconcile, settings.reconcile_seconds),
            ("watch-expiries", self._watch, EXPIRY_SECONDS),
            ("sign-checkpoints", self._sign, settings.checkpoint_seconds),
            ("publish-checkpoints", self._publish, PUBLISH_SECONDS),
            ("stream-events", self._stream, STREAM_SECONDS),
            ("heartbeat", self._beat, HEARTBEAT_SECONDS),
            ("manifest", self._load_manifest, MANIFEST_SECONDS),
            ("rewrap-keys", self._rewrap, REWRAP_SECONDS),
        )
        if settings.posture_seconds:
            seen = max(1.0, min(POSTURE_SECONDS, settings.posture_seconds / SPREAD))
            table = (*table, ("posture", self._posture, seen))
        for name, job, seconds in table:
            scheduler.add_job(
                self._job,
                "interval",
                args=(name, job),
                seconds=seconds,
                id=name,
                next_run_time=datetime.now(UTC),
            )
        # Not at once, when much else is to be done; whether a look is due the database says.
        seconds = min(CERTIFICATES_SECONDS, settings.certificate_seconds)
        scheduler.add_job(
            self._job,
            "interval",
            args=("certificates", self._certificates),
            seconds=seconds,
            id="certificates",
            next_run_time=datetime.now(UTC) + timedelta(seconds=seconds),
        )
        return scheduler

    async def _job(self, name: str, job: Callable[[], Awaitable[object]]) -> None:
        """Run a job; what goes wrong is told and tried again at the next run."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await job()
        except (RotatorError, BaseExceptionGroup) as error:
            log.warning("job failed; it runs again at its next time", job=name, error=_brief(error))
        except Exception as error:
            log.exception("job failed unexpectedly", job=name, error=type(error).__name__)
        finally:
            self._running.discard(task)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._parts.stopping.set)

    async def _drain(self) -> None:
        """Let the steps in hand end within the time that Fly gives; then cut them. What is cut
        stays journaled and goes on with the next worker."""
        log.info("stopping: finishing the steps in hand", tasks=len(self._running))
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=self._rotator.settings.stop_seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=GRACE_SECONDS)

    async def _leave(self) -> None:
        try:
            await self._tell(Action.WORKER_STOPPED)
            await self._sign()
            await self._publish()
            await self._stream()
            async with self._parts.store.unit() as unit:
                await unit.remove_worker(self._worker.id)
        except RotatorError as error:
            log.warning("could not sign off", error=str(error))

    async def _beat(self) -> None:
        if await self._rotator.take_up_own_token():
            log.info("rotator's own API token has changed; calls go on with the new one")
        self._worker = await jobs.heartbeat(self._parts, self._worker)
        now = self._parts.clock.now()
        self._metrics.update(await look(self._parts.store, now), now)

    async def _reconcile(self) -> None:
        await jobs.reconcile_all(self._parts)
        async with self._parts.store.view() as unit:
            watches = await unit.target_watches()
        self._metrics.reconciled(watches)
        await self._watch()

    async def _watch(self) -> None:
        watched = await watch_expiries(self._parts)
        self._metrics.watched(watched.standing)

    async def _certificates(self) -> None:
        """Look at certificates whose turn it is, tell ends, and ask about late renewals."""
        manifest = self._rotator.manifest()
        watched = await self._rotator.certificate_watch(manifest).run([manifest.organization])
        self._metrics.certificates_seen(watched.states)

    async def _sign(self) -> None:
        if self._rotator.signer is not None:
            await jobs.sign(self._parts, self._rotator.signer)

    async def _publish(self) -> None:
        """Send checkpoints out. What can't be sent is kept and told by the job itself."""
        if self._sinks:
            now = self._parts.clock.now()
            await publish(self._parts.store, self._sinks, self._parts.actor, now)

    async def _stream(self) -> None:
        """Send events out. What can't be sent is kept and told by the job itself."""
        if self._event_sinks:
            await self._streamer.run(self._event_sinks)

    async def _posture(self) -> None:
        """Look at the posture, once a day or so whoever of several daemons does it."""
        manifest = self._rotator.manifest()
        every = timedelta(seconds=self._rotator.settings.posture_seconds)
        try:
            await look_if_due(
                self._parts, manifest.organization, every, lambda: self._watch_of(manifest)
            )
        finally:
            async with self._parts.store.view() as unit:
                self._metrics.inspected(await unit.count_findings(manifest.organization))

    def _watch_of(self, manifest: Manifest) -> Watch:
        """What a look needs; suppressions are read afresh, and have to be right."""
        from rotator.domain.posture.catalogue import RULES

        suppressions = suppressions_beside(self._rotator.settings.manifest, RULES)
        inspectors = self._rotator.inspectors()
        return Watch(manifest.organization, inspectors, manifest.posture, suppressions)

    async def _rewrap(self) -> None:
        """Bring what an earlier key-encryption key wraps under the first one, a few at a time."""
        done = await rewrap_all(self._rotator)
        if done:
            log.info("values wrapped anew by the first of ROTATOR_KEYS", values=done)

    def _make_hooks(self) -> HookService | None:
        """What answers hooks, where a port is set. Without one nothing of it is even loaded."""
        if self._rotator.settings.hooks_port is None:
            return None
        from rotator.web.service import HookService

        count = self._metrics.hook_request
        return HookService(self._rotator.settings, self._responder, count)

    def _configure_hooks(self, specs: Sequence[HookSpec]) -> None:
        if self._hooks is not None:
            self._hooks.configure(specs)
        elif specs:
            log.warning("the manifest has [[hooks]], but ROTATOR_HOOKS_PORT is not set")

    async def _hook_records(self) -> None:
        if self._hooks is not None:
            await self._hooks.flush()
        await forget(self._responder)

    async def _load_manifest(self, *, first: bool = False) -> None:
        """Apply the manifest at the start and whenever it has changed. A change that can't be
        taken leaves the inventory as it is."""
        try:
            manifest = self._rotator.manifest()
            if manifest.digest == self._digest:
                return
            self._configure_hooks(manifest.hooks)
            change = await self._rotator.sync()
        except RotatorError as error:
            if first:
                raise
            log.error("manifest not applied; the inventory stays as it is", error=str(error))
            return
        self._digest = manifest.digest
        log.info(
            "manifest applied",
            path=manifest.path,
            added=len(change.added),
            changed=len(change.changed),
            removed=len(change.removed),
        )

    async def _tell(self, action: Action) -> None:
        event = Event(
            action=action,
            outcome=Outcome.INFO,
            actor=self._parts.actor,
            at=self._parts.clock.now(),
            detail={"worker": self._worker.id, "host": self._worker.host},
        )
        async with self._parts.store.unit() as unit:
            await unit.append(event)


def _daemon_lock(rotator: Rotator) -> DaemonLock | None:
    url = rotator.store.url
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return DaemonLock(Path(url.database))


def _record(parts: Parts) -> WorkerRecord:
    now = parts.clock.now()
    return WorkerRecord(
        id=parts.worker_id,
        kind="daemon",
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=now,
        seen_at=now,
    )


def _brief(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_brief(inner) for inner in error.exceptions)
    if isinstance(error, ClaimLost | RotatorError):
        return str(error)
    return type(error).__name__
