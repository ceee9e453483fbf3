"""Keep a time-limited right alive while some work runs under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from rotator.domain.errors import ClaimLost, RotatorError
from rotator.domain.ports import Clock

Renew = Callable[[], Awaitable[None]]


class TimeLeft:
    """How long a right lasts, as its holder may know without asking.

    A process that stood still (SIGSTOP, a suspended machine) goes on in the middle of a line, when
    another worker may long have taken over: what it was about to do outside must not happen. Time
    is measured by two clocks, because the one stands still while a machine is suspended and the
    other may be set back.
    """

    def __init__(self, ttl: timedelta, clock: Clock) -> None:
        self._ttl, self._clock = ttl, clock
        self.begin()

    def begin(self) -> None:
        """It lasts from now on."""
        self._steady, self._wall = self._present()

    async def prolonged(self, renew: Renew) -> None:
        """Renew the right: it lasts from the moment at which that was asked for."""
        asked = self._present()
        await renew()
        self._steady, self._wall = asked

    def _present(self) -> tuple[float, datetime]:
        return asyncio.get_running_loop().time(), self._clock.now()

    def check(self) -> None:
        """Raises `ClaimLost` when the right may have passed on."""
        passed = asyncio.get_running_loop().time() - self._steady
        wall = (self._clock.now() - self._wall).total_seconds()
        if max(passed, wall) >= self._ttl.total_seconds():
            raise ClaimLost("the claim ran out while this worker stood still")


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
