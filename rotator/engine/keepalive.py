"""Keep a time-limited right alive while some work runs under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rotator.domain.errors import ClaimLost, RotatorError
from rotator.domain.ports import Clock

Renew = Callable[[], Awaitable[None]]


@asynccontextmanager
async def kept(renew: Renew, *, every_seconds: float, clock: Clock) -> AsyncIterator[None]:
    """Run the body while `renew` is called at each interval.

    A right that is lost (`ClaimLost`) cancels the body and is raised in its place. A renewal that
    fails for another reason is tried again at the next interval: the right still has time left,
    and every write under it is fenced.
    """
    body = asyncio.current_task()
    assert body is not None
    lost: list[ClaimLost] = []

    async def beat() -> None:
        while True:
            await clock.sleep(every_seconds)
            try:
                await renew()
            except ClaimLost as error:
                lost.append(error)
                body.cancel()
                return
            except RotatorError:
                continue

    beating = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if lost and body.uncancel() == 0:
            raise lost[0] from None
        raise
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
