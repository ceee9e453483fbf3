"""Calendar arithmetic of policies: when a credential is due, and when it may start. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from rotator.domain.policy import Blackout, Policy, Window

HORIZON: Final = timedelta(days=800)
"""How far ahead an opening or a firing is looked for."""
EXPIRY_GRACE: Final = timedelta(days=1)
"""A minted token outlives its next rotation and the overlap by this much, or by a tenth."""
RETRY_ROOM: Final = timedelta(days=1)
"""Between the last moment to begin and the end of the overlap: for several tries that fail (a
rolled-back rotation is tried again after six hours). A token that we mint has as much to spare."""
UNSCHEDULED_LIFE: Final = timedelta(days=90)
"""Life of a token whose policy has neither a schedule nor a maximum age."""


def next_due(
    policy: Policy, *, anchor: datetime, seed: str, deadline: datetime | None = None
) -> datetime | None:
    """When the value that has been in use since `anchor` is to be replaced; None for never.

    The schedule, plus a jitter that `seed` decides, at most `max_age` after the anchor, moved to
    the first instant that a window is open and no blackout holds. Never before `anchor`. Where the
    value has a `deadline` (see below), then at the last opening before it, or else at it,
    whatever schedule, window and blackouts say.
    """
    scheduled = _by_policy(policy, anchor, seed)
    if deadline is None or (scheduled is not None and scheduled <= deadline):
        return scheduled
    return max(_last_opening(policy, anchor, deadline) or deadline, anchor)


def expiry_deadline(policy: Policy, *, since: datetime, expires_at: datetime) -> datetime | None:
    """When a value that is valid in [since, expires_at) has to be replaced at the latest, so that
    there is time for failed tries and for the overlap.

    Never in the first half of its life, so that a value which can't live longer (`narrow.until`)
    is not replaced again and again; None for one that lives no longer than the room for tries.
    """
    life = expires_at - since
    if life <= RETRY_ROOM:
        return None
    return max(expires_at - policy.overlap - RETRY_ROOM, since + life / 2)


def _by_policy(policy: Policy, anchor: datetime, seed: str) -> datetime | None:
    """When the schedule, the jitter, the maximum age and the windows would have it replaced."""
    scheduled = _scheduled(policy, anchor)
    limit = anchor + policy.max_age if policy.max_age is not None else None
    if scheduled is None:
        wanted = limit
    else:
        wanted = scheduled + policy.jitter * _fraction(seed)
        if limit is not None:
            wanted = min(wanted, limit)
    if wanted is None:
        return None
    opening = next_opening(policy, wanted)
    if opening is not None and limit is not None and opening > limit:
        return max(_last_opening(policy, anchor, limit) or opening, anchor)
    return opening


def _scheduled(policy: Policy, anchor: datetime) -> datetime | None:
    if policy.every is not None:
        return anchor + policy.every
    if policy.cron is not None:
        return next_firing(policy.cron, policy.zone, anchor)
    return None


def next_firing(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first time a five-field cron line fires after an instant, in UTC; None for never."""
    trigger = CronTrigger.from_crontab(cron, timezone=ZoneInfo(zone))
    fired = trigger.get_next_fire_time(None, after.astimezone(UTC) + timedelta(microseconds=1))
    if not isinstance(fired, datetime):
        return None
    return fired.astimezone(UTC)


def _fraction(seed: str) -> float:
    """A number in [0, 1) that is the same for the same seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def in_window(policy: Policy, at: datetime) -> bool:
    """Whether a rotation may start on schedule at this instant."""
    if any(b.start <= at < b.end for b in policy.blackouts):
        return False
    return policy.window is None or any(
        start <= at < end
        for start, end in _openings(policy.window, at - _longest(policy.window))
        if start <= at
    )


def next_opening(policy: Policy, after: datetime) -> datetime | None:
    """The first instant at or after `after` in which a rotation may start; None within HORIZON."""
    candidate = after
    while candidate <= after + HORIZON:
        opened = _window_opening(policy.window, candidate)
        if opened is None:
            return None
        blocked = _blackout_at(policy.blackouts, opened)
        if blocked is None:
            return opened
        candidate = blocked.end
    return None


def _window_opening(window: Window | None, after: datetime) -> datetime | None:
    if window is None:
        return after
    for start, end in _openings(window, after - _longest(window)):
        if end > after:
            return max(start, after)
    return None


def _last_opening(policy: Policy, first: datetime, last: datetime) -> datetime | None:
    """The latest start of an opening in [first, last]: where a maximum age forbids waiting."""
    if policy.window is None:
        return None
    found = None
    for start, _ in _openings(policy.window, first - _longest(policy.window)):
        if start > last:
            break
        if start >= first and _blackout_at(policy.blackouts, start) is None:
            found = start
    return found


def _blackout_at(blackouts: Iterable[Blackout], at: datetime) -> Blackout | None:
    return next((b for b in blackouts if b.start <= at < b.end), None)


def _longest(window: Window) -> timedelta:
    """How far back an opening that still lasts may have begun, with a day for zone changes."""
    return window.span + timedelta(days=1)


def _openings(window: Window, after: datetime) -> Iterable[tuple[datetime, datetime]]:
    """Openings as (start, end) in UTC, from the day of `after` on, up to the horizon."""
    zone = ZoneInfo(window.zone)
    day = after.astimezone(zone).date()
    for offset in range(HORIZON.days + 2):
        date = day + timedelta(days=offset)
        if date.weekday() in window.days:
            local = datetime.combine(date, window.start, tzinfo=zone)
            start = local.astimezone(UTC)
            end = (local + window.span).astimezone(UTC)
            yield start, max(end, start)


def expires_at(policy: Policy, now: datetime) -> datetime:
    """How long a token minted now should live: just past the next rotation plus the overlap.

    Fly's own default is 20 years. With this one, credentials of a rotator that has died fail
    closed. Windows and blackouts count, since they may push the next rotation back.
    """
    due = next_due(policy, anchor=now, seed="") if _has_schedule(policy) else None
    latest = due + policy.jitter if due is not None else now + (policy.max_age or UNSCHEDULED_LIFE)
    life = latest + policy.overlap - now
    return now + life + max(EXPIRY_GRACE, life / 10)


def _has_schedule(policy: Policy) -> bool:
    return policy.every is not None or policy.cron is not None or policy.max_age is not None


def never_fires(cron: str, zone: str, now: datetime) -> bool:
    """Whether a cron line has no firing at all ahead (`0 0 31 2 *`)."""
    return next_firing(cron, zone, now) is None


def never_opens(policy: Policy, now: datetime) -> bool:
    """Whether window and blackouts leave no instant open within the horizon."""
    return next_opening(policy, now) is None
