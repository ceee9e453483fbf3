"""What follows the log keeps a cursor: backing off after failures, and telling of lasting ones."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.errors import RetryLater, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import LogCursor, Unit
from rotator.domain.rotation import Actor

_log = logging.getLogger(__name__)
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(hours=1)
LASTING: Final = 6
"""So many failures in a row (about five minutes) are told in the log, once."""


def later(cursor: LogCursor, now: datetime, wish_seconds: float | None = None) -> LogCursor:
    """The cursor after one more failure: the pause doubles, and is never shorter than what the
    other side has asked for."""
    pause = min(FIRST_PAUSE * 2 ** min(cursor.failures, 12), LONGEST_PAUSE)
    if wish_seconds is not None:
        pause = max(pause, min(timedelta(seconds=wish_seconds), LONGEST_PAUSE))
    return replace(cursor, failures=cursor.failures + 1, resume_at=now + pause)


async def note_failure(
    unit: Unit, cursor: LogCursor, problem: RotatorError, actor: Actor, now: datetime
) -> LogCursor:
    """Keep that a delivery failed and when it is tried again; gives the cursor as it is kept."""
    wish = problem.after_seconds if isinstance(problem, RetryLater) else None
    failed = later(cursor, now, wish)
    await unit.save_log_cursor(failed)
    if failed.failures == LASTING:
        detail = {**_about(failed), "error": str(problem)}
        await unit.append(Event(Action.DELIVERY_FAILING, Outcome.FAILED, actor, now, detail=detail))
    _log.warning("%s: %s; tried again at %s", cursor.name, problem, failed.resume_at)
    return failed


async def note_success(
    unit: Unit, before: LogCursor, position: int, actor: Actor, now: datetime
) -> LogCursor:
    """Move the cursor on; gives it as it is kept."""
    moved = LogCursor(before.name, position)
    await unit.save_log_cursor(moved)
    if before.failures >= LASTING:
        detail = _about(before)
        await unit.append(Event(Action.DELIVERY_RESUMED, Outcome.OK, actor, now, detail=detail))
    return moved


def _about(cursor: LogCursor) -> dict[str, str]:
    return {"sink": cursor.name, "failures": str(cursor.failures)}
