"""Keep a time-limited right alive while some work runs under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta

from rotator.domain.errors import ClaimLost, RotatorError
from rotator.domain.ports import Clock

Renew = Callable[[], Awaitable[None]]
MARGIN = 1 / 6
"""The last part of a right's time in which nothing new is begun, so that a call which has just gone
out arrives while the right still lasts."""


class Tenure:
    """How long a right that is renewed surely lasts, by this process's own clock.

    The database fences what is written under a lost right. Nobody fences a call to Fly: a process
    that was stopped for a while must find out by itself that its time is over, before it calls.
    """

    def __init__(self, clock: Clock, ttl: timedelta) -> None:
        self._clock, self._ttl = clock, ttl
        self._asked_at = self._present()

    def lasts(self) -> bool:
        """Whether a call may still be made. Two clocks are asked: a steady one may stand still with
        a machine that is suspended, and the wall clock may be set back."""
        steady, wall = self._present()
        passed = max(timedelta(seconds=steady - self._asked_at[0]), wall - self._asked_at[1])
        return passed < self._ttl * (1 - MARGIN)

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Around the renewal: it counts from before it was asked for, and only if it goes well."""
        asked_at = self._present()
        yield
        self._asked_at = asked_at

    def _present(self) -> tuple[float, datetime]:
        return asyncio.get_running_loop().time(), self._clock.now()


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
