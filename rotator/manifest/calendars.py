"""Blackouts from an ICS file (RFC 5545): every event in it, recurring ones unrolled."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from rotator.domain.policy import Blackout

AHEAD = timedelta(days=730)
BEHIND = timedelta(days=31)
MAX_BYTES = 4 * 1024 * 1024
MAX_EVENTS = 10_000


def read_calendar(path: Path, now: datetime, zone: ZoneInfo) -> list[Blackout]:
    """The events of a calendar file from a month back to two years ahead.

    Whole days are days of `zone`.

    Raises:
        ValueError: the file is missing, too large, or not a calendar.
    """
    from icalendar import Calendar
    from recurring_ical_events import of

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} is larger than 4 MiB")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from None
    try:
        events = of(Calendar.from_ical(content)).between(now - BEHIND, now + AHEAD)
        spans = [_span(event, zone) for event in events[: MAX_EVENTS + 1]]
    except Exception as error:
        raise ValueError(f"{path} is not a calendar ({type(error).__name__})") from None
    if len(spans) > MAX_EVENTS:
        raise ValueError(f"{path} has more than {MAX_EVENTS} events in two years")
    return sorted(spans, key=lambda blackout: blackout.start)


def _span(event: object, zone: ZoneInfo) -> Blackout:
    start = getattr(event, "start")  # noqa: B009
    end = getattr(event, "end")  # noqa: B009
    label = str(getattr(event, "get")("SUMMARY", ""))[:80]  # noqa: B009
    return Blackout(_instant(start, zone), _instant(end, zone), label)


def _instant(value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(0), tzinfo=zone)
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    return value.astimezone(UTC)
