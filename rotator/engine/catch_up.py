"""What was due while nobody was there: in order of danger, and not all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.credential import Credential, Version
from rotator.domain.due import LATE, deadline_of
from rotator.domain.ports import Unit
from rotator.domain.reasons import LATE_NOTE
from rotator.engine.parts import Parts

FEW: Final = 8
"""So many late ones may begin at once, like any others."""
_LOOK_BACK: Final = 50


async def paced(
    parts: Parts, unit: Unit, due: Sequence[Credential], now: datetime
) -> Sequence[Credential]:
    """Which of those that are due may begin now.

    Values that are about to expire always may. Where more than a few others are late, one of them
    may begin each `catch_up_gap`, together with those that share its apps (one restart serves
    them all): the most dangerous first, which is the one past its maximum age for longest, then
    the one that has been due for longest.
    """
    late = [credential for credential in due if is_late(credential, now)]
    current = {c.id: await unit.current_version(c.id) for c in late} if len(late) > FEW else {}
    waiting = [c for c in late if c.id in current and not _expires(c, current, now)]
    if len(waiting) <= FEW:
        return due
    held = {credential.id for credential in waiting}
    if await _gap_is_over(parts, unit, now):
        first = max(waiting, key=lambda c: _danger(c, current[c.id], now))
        held -= {c.id for c in waiting if c is first or _apps(c) & _apps(first)}
    return [credential for credential in due if credential.id not in held]


def is_late(credential: Credential, now: datetime) -> bool:
    """Whether its time passed while nobody was there."""
    due_at = credential.due_at
    return due_at is not None and now - due_at > LATE and not credential.spec.observed


def _expires(credential: Credential, current: Mapping[str, Version | None], now: datetime) -> bool:
    deadline = deadline_of(credential.spec.policy, current[credential.id])
    return deadline is not None and deadline <= now


def _danger(
    credential: Credential, version: Version | None, now: datetime
) -> tuple[timedelta, timedelta]:
    """How many days past its maximum age it is, then for how long it has been due."""
    limit = credential.spec.policy.max_age
    over = timedelta(0)
    if limit is not None and version is not None:
        over = timedelta(days=max((now - version.since - limit).days, 0))
    return over, now - (credential.due_at or now)


def _apps(credential: Credential) -> frozenset[str]:
    return frozenset(target.app for target in credential.spec.targets if target.app is not None)


async def _gap_is_over(parts: Parts, unit: Unit, now: datetime) -> bool:
    """Whether no late one has begun for a while. Those that were due in time don't count."""
    newest = await unit.rotations(limit=_LOOK_BACK)
    begun = [r.requested_at for r in newest if r.reason.endswith(LATE_NOTE)]
    return not begun or now - max(begun) >= parts.limits.catch_up_gap
