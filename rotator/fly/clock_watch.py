"""How far Fly's clock is ahead of ours, from the Date header of answers that came anyway.

A Date has whole seconds (RFC 9110, 5.6.7) and was set at some time between sending and receiving,
so an answer bounds the difference from both sides, as wide as its round trip and a second.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from rotator.domain.posture.rotator_facts import ClockOffset

GRAIN: Final = timedelta(seconds=1)
FRESH: Final = timedelta(minutes=10)
"""How long an answer tells of the clock: one that is set meanwhile is found at the next look."""
PAUSE: Final = timedelta(seconds=10)
"""How long nothing newer is looked at: reading a date with every answer would cost more than it
tells."""


class ClockWatch:
    """Keeps the sharpest bounds of the last answers."""

    def __init__(self) -> None:
        self._noted: tuple[datetime, ClockOffset] | None = None

    def note(self, sent_at: datetime, received_at: datetime, date: str | None) -> None:
        """An answer came. One without a date that can be read tells nothing."""
        if self._noted is not None and received_at - self._noted[0] < PAUSE:
            return
        try:
            told = parsedate_to_datetime(date or "")
        except (ValueError, TypeError):
            return
        told = told.replace(tzinfo=UTC) if told.tzinfo is None else told
        if received_at < sent_at:
            return  # our clock was set back meanwhile
        found = ClockOffset(told - received_at, told + GRAIN - sent_at)
        known = self.offset(received_at)
        if known is None or _width(found) <= _width(known):
            self._noted = (received_at, found)

    def offset(self, now: datetime) -> ClockOffset | None:
        """The bounds; None where no answer came for a while."""
        if self._noted is None:
            return None
        at, found = self._noted
        return found if abs(now - at) <= FRESH else None


def _width(offset: ClockOffset) -> timedelta:
    return offset.most - offset.least
