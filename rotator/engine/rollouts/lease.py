"""Hold a machine's lease: taken without a fight, refreshed in the background, and given back.

Work that is cancelled (the claim is lost, the step's time is over) may have a call on the wire, and
nobody else may change the machine before that has arrived: then the lease runs out by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from rotator.domain.errors import Busy, NotYet, RotatorError
from rotator.domain.machines import Lease
from rotator.engine.keepalive import kept
from rotator.engine.rollouts.run import RolloutRun

_RELEASE_SECONDS = 15
_LONGEST_PAUSE = 15.0
_WAITED = timedelta(seconds=2)
"""A lease that took so long was somebody else's: a deploy goes from machine to machine."""


async def _nothing_to_ask() -> None:
    """The lease was waited for, and nothing depends on what has happened meanwhile."""


@asynccontextmanager
async def leased(
    run: RolloutRun,
    machine_id: str,
    *,
    to_destroy: bool = False,
    waited: Callable[[], Awaitable[None]] = _nothing_to_ask,
) -> AsyncIterator[Lease]:
    """Hold the machine's lease while the body runs. It ends with the machine where the body is
    `to_destroy` it. `waited` is asked, under the lease, where somebody else held it first."""
    parts, app = run.parts, run.rollout.app
    ttl = parts.limits.lease_ttl_seconds
    began = parts.clock.now()
    held = [await _acquire(run, machine_id)]

    async def refresh() -> None:
        held[0] = await parts.fleet.refresh_lease(app, machine_id, held[0], ttl_seconds=ttl)

    try:
        async with kept(refresh, every_seconds=ttl / 3, clock=parts.clock):
            if parts.clock.now() - began >= _WAITED:
                await waited()
            yield held[0]
    except Exception:
        await _release(run, machine_id, held[0])
        raise
    if not to_destroy:
        await _release(run, machine_id, held[0])


async def _acquire(run: RolloutRun, machine_id: str) -> Lease:
    """Take the lease; while a deploy holds it, wait, never fight (P8). Past the limit the rollout
    ends for now, and plans again over the machines as they are then."""
    parts = run.parts
    patience = run.rollout.policy.start_timeout
    deadline = parts.clock.now() + patience
    pause = 2.0
    while True:
        try:
            return await parts.fleet.acquire_lease(
                run.rollout.app,
                machine_id,
                ttl_seconds=parts.limits.lease_ttl_seconds,
                description=f"rotator rollout {run.rollout.id}",
            )
        except Busy as error:
            if parts.clock.now() >= deadline:
                raise NotYet(
                    f"somebody else has held the lease of {machine_id} for {patience}: {error}",
                    after_seconds=60,
                    next_step="see who with `fly machine leases view`",
                ) from error
            await parts.clock.sleep(min(max(error.after_seconds or 0.0, pause), _LONGEST_PAUSE))
            pause *= 1.5


async def _release(run: RolloutRun, machine_id: str, lease: Lease) -> None:
    """Give the lease back; if that fails it runs out by itself within its short time to live."""
    try:
        async with asyncio.timeout(_RELEASE_SECONDS):
            await run.parts.fleet.release_lease(run.rollout.app, machine_id, lease)
    except (RotatorError, TimeoutError):
        return
