"""The lives of workers: what a daemon does, with naps as long as nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from rotator.domain.errors import RotatorError
from rotator.engine import jobs
from rotator.engine.parts import Parts
from rotator.engine.watch import watch_expiries
from rotator.store.sealing import CheckpointSigner
from tests.simulation.moments import Moments
from tests.simulation.process import (
    Process,
)

LONGEST_NAP_SECONDS = 6 * 3600.0
TICK_SECONDS = 2.0
JOBS_SECONDS = 12 * 3600.0
FORGOTTEN = timedelta(hours=1)


class Lives(Moments):
    """Workers that live, die and come back, and somebody who looks after them."""

    async def _worker(self, who: int, stop: asyncio.Event) -> None:
        """A worker: one process after the other."""
        while not stop.is_set() and self.failure is None:
            self._incarnations += 1
            process = Process(f"worker-{who + 1}.{self._incarnations}", who, self._loop)
            self._processes[who] = process
            parts, client = self.parts(process)
            process.main = asyncio.create_task(self._life(parts))
            await asyncio.wait([process.main])
            process.dead = True
            if not process.main.cancelled() and process.main.exception() is not None:
                raise process.main.exception() or AssertionError
            if process.under_way:
                await asyncio.wait(process.under_way)
            await client.aclose()
            if not stop.is_set():
                kill = next((k for k in self.plan.kills if k.worker == who), None)
                await asyncio.sleep(kill.away_seconds if kill else 5.0)

    async def _life(self, parts: Parts) -> None:
        """What a daemon does, but with naps as long as nothing is due."""
        runner = jobs.Runner(parts)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(runner.run_ready, self.shadow.next_resume))
            group.create_task(self._again(lambda: jobs.find_due(parts), self.shadow.next_due))
            group.create_task(self._regularly(parts))

    async def _again(
        self, job: Callable[[], Coroutine[Any, Any, object]], wish: Callable[[], datetime | None]
    ) -> None:
        """Do a job whenever the database may want it: what can't be done now is tried less and
        less often, until something is committed."""
        stalled = 0
        while True:
            with suppress(RotatorError):
                await job()
            wanted = wish()
            left = (wanted - self.clock.now()).total_seconds() if wanted else LONGEST_NAP_SECONDS
            stalled = stalled + 1 if left <= 0 else 0
            # A claim may run out at any time; what else can't be done now waits for a commit.
            longest = 10.0 if self.shadow.claims else 900.0
            left = max(left, min(TICK_SECONDS * 2**stalled, longest) if stalled else 0.0)
            if await self._nap(min(left, LONGEST_NAP_SECONDS)):
                stalled = 0

    async def _nap(self, seconds: float) -> bool:
        """Whether something was committed meanwhile."""
        woken = asyncio.Event()
        self._naps += 1
        number = self._naps
        self._sleepers[number] = woken
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            return False
        finally:
            del self._sleepers[number]
        await asyncio.sleep(TICK_SECONDS)
        return True

    async def _regularly(self, parts: Parts) -> None:
        signer = CheckpointSigner(self.ring)
        while True:
            for job in (
                lambda: jobs.recover(parts),
                lambda: jobs.reconcile_all(parts),
                lambda: watch_expiries(parts),
                lambda: jobs.sign(parts, signer),
            ):
                with suppress(RotatorError):
                    await job()
            await asyncio.sleep(JOBS_SECONDS)

    async def _watch(self) -> None:
        """P5 and P6, from time to time."""
        longest_jump = max((abs(j.seconds) for j in self.plan.jumps), default=0.0)
        slack = FORGOTTEN + timedelta(seconds=longest_jump)
        while True:
            await asyncio.sleep(6 * 3600.0)
            if all(not p.dead and not p.frozen for p in self._processes.values()):
                self.held(self.promises.nobody_is_forgotten, self.clock.now(), slack)
