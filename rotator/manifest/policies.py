"""Read `policy` tables: when a credential is rotated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path as FilePath
from typing import Final
from zoneinfo import ZoneInfo

from rotator.domain.policy import (
    Blackout,
    Mend,
    Missed,
    Policy,
    Window,
)
from rotator.domain.schedule import never_fires, never_opens
from rotator.manifest.calendars import read_calendar
from rotator.manifest.reader import Table

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEK: Final = timedelta(days=7)
_WINDOW: Final = (
    'window = { days = "mon-thu", start = "09:00", span = "8h", zone = "Europe/Berlin" }'
)


def read_policy(table: Table, base: Policy, folder: FilePath, now: datetime) -> Policy:
    """A policy: what the table says over what `base` says."""
    before = len(table.problems.found)
    policy = _schedule(table, base)
    window = table.table("window")
    if window is not None:
        policy = replace(policy, window=_window(window) or policy.window)
    policy = _blackouts(table, policy, folder, now)
    spans: dict[str, timedelta] = {}
    for name, example in (("jitter", '"2h"'), ("overlap", '"24h"'), ("max_age", '"90d"')):
        span = table.span(name, f"{name} = {example}")
        if span is not None:
            spans[name] = span
    policy = replace(
        policy,
        jitter=spans.get("jitter", policy.jitter),
        overlap=spans.get("overlap", policy.overlap),
        max_age=spans.get("max_age", policy.max_age),
        missed=table.choice("missed", Missed, "catch-up, next-window, alert", 'missed = "catch-up"')
        or policy.missed,
        on_gone=table.choice("on_gone", Mend, "rotate, report", 'on_gone = "report"')
        or policy.on_gone,
        on_drift=table.choice("on_drift", Mend, "rotate, report", 'on_drift = "rotate"')
        or policy.on_drift,
    )
    table.finish()
    if len(table.problems.found) == before:
        _check(table, policy, now)
    return policy


def _schedule(table: Table, base: Policy) -> Policy:
    every = table.span("every", 'every = "30d"')
    cron = table.text("cron", 'cron = "0 3 * * 1"')
    zone = _zone(table, 'zone = "Europe/Berlin"')
    if every is not None and cron is not None:
        table.wrong("cron", "stands beside `every`; keep one of the two", 'every = "30d"')
    if cron is not None:
        table.parsed("cron", cron, _cron(zone or base.zone), 'cron = "0 3 * * 1"')
        return replace(base, every=None, cron=cron, zone=zone or base.zone)
    if every is not None:
        if every < timedelta(minutes=1):
            table.wrong("every", "is shorter than a minute", 'every = "30d"')
        return replace(base, every=every, cron=None, zone=zone or base.zone)
    return replace(base, zone=zone or base.zone)


def _cron(zone: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        from apscheduler.triggers.cron import CronTrigger

        try:
            CronTrigger.from_crontab(text, timezone=ZoneInfo(zone))
        except ValueError as error:
            raise ValueError(f"{text!r} is not a cron line of five fields ({error})") from None
        return text

    return parse


def _zone(table: Table, example: str) -> str | None:
    name = table.text("zone", example)
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        table.wrong("zone", f"{name!r} is not an IANA time zone", example)
        return None
    return name


def _window(table: Table) -> Window | None:
    days = table.parsed("days", table.text("days", 'days = "mon-thu"') or "daily", _days, _WINDOW)
    start = table.parsed(
        "start", table.text("start", 'start = "09:00"', required=True), _clock, _WINDOW
    )
    span = table.span("span", 'span = "8h"')
    if span is None and "span" not in table:
        table.wrong("span", "is missing", 'span = "8h"')
    if span is not None and not timedelta(0) < span <= _WEEK:
        table.wrong("span", "is not between one second and a week", 'span = "8h"')
        span = None
    zone = _zone(table, 'zone = "Europe/Berlin"') or "UTC"
    table.finish()
    if days is None or start is None or span is None:
        return None
    return Window(days=days, start=start, span=span, zone=zone)


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last and last not in _DAYS):
            raise ValueError(f'{text!r} names no days; write "mon-fri", "sat,sun" or "daily"')
        begin = _DAYS.index(first)
        length = (_DAYS.index(last) - begin) % 7 if last else 0
        found |= {(begin + offset) % 7 for offset in range(length + 1)}
    return frozenset(found)


def _clock(text: str) -> time:
    if re.fullmatch(r"\d{2}:\d{2}", text) is None:
        raise ValueError(f"{text!r} is not a time of day like 09:00")
    return time.fromisoformat(text)


def _blackouts(table: Table, policy: Policy, folder: FilePath, now: datetime) -> Policy:
    example = 'blackout = ["2026-12-20/2027-01-04"]'
    own = "blackout" in table or "blackout_ics" in table
    found: list[Blackout] = []
    zone = ZoneInfo(policy.zone)
    for index, item in enumerate(table.array("blackout", example)):
        try:
            found.append(_blackout(item, zone))
        except ValueError as error:
            table.problems.add((*table.at("blackout"), index), str(error), example)
    name = table.text("blackout_ics", 'blackout_ics = "freeze.ics"')
    if name is not None:
        try:
            found += read_calendar(folder / name, now, zone)
        except ValueError as error:
            table.wrong("blackout_ics", str(error), 'blackout_ics = "freeze.ics"')
    return replace(policy, blackouts=tuple(found)) if own else policy


def _blackout(item: object, zone: ZoneInfo) -> Blackout:
    """`2026-12-24`, or `2026-12-20/2027-01-04` with both days in it; days of the policy's zone."""
    if isinstance(item, date) and not isinstance(item, datetime):
        item = item.isoformat()
    if not isinstance(item, str):
        raise ValueError("a blackout is a day or two days with a slash between them")
    first, _, last = item.partition("/")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        raise ValueError(f"{item!r} is not a day or two days with a slash between them") from None
    if end < start:
        raise ValueError(f"{item!r} ends before it begins")
    begin = datetime.combine(start, time(0), tzinfo=zone)
    stop = datetime.combine(end + timedelta(days=1), time(0), tzinfo=zone)
    return Blackout(begin.astimezone(UTC), stop.astimezone(UTC), item)


def _check(table: Table, policy: Policy, now: datetime) -> None:
    """What can't be right about a policy as a whole."""
    if policy.cron is not None and never_fires(policy.cron, policy.zone, now):
        table.wrong("cron", f"{policy.cron!r} never fires", 'cron = "0 3 * * 1"')
        return
    if never_opens(policy, now):
        table.wrong("window", "never opens: the blackouts cover it for two years", _WINDOW)
    if policy.every is not None and policy.overlap >= policy.every:
        table.wrong("overlap", "is not shorter than `every`", 'overlap = "24h"')
    if policy.every is not None and policy.jitter >= policy.every:
        table.wrong("jitter", "is not shorter than `every`", 'jitter = "2h"')
    if policy.max_age is not None and policy.every is not None and policy.max_age < policy.every:
        table.wrong("max_age", "is shorter than `every`", 'max_age = "90d"')
