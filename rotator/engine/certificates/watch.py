"""The recurring look at an organisation's certificates: in turns, a few times a day.

A cursor in the database says when the next look is due, so that restarts and further daemons add
none; what the last one found stands in its note, for the metric of a daemon that has just begun.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import orjson

from rotator.domain.ports import LogCursor
from rotator.domain.posture.certificate import CertificateSnapshot, CertificateState, state_of
from rotator.domain.posture.policy import PosturePolicy
from rotator.engine.certificates.look import CertificateEyes, Looked
from rotator.engine.certificates.recheck import Rechecker
from rotator.engine.certificates.told import tell_ends
from rotator.engine.parts import Parts

_log = logging.getLogger(__name__)
LOOK_EVERY: Final = timedelta(hours=6)
SHORTEST: Final = timedelta(minutes=15)
"""Between two looks, whatever is due."""
A_LOOK_LASTS: Final = timedelta(hours=1)
"""When the next one may begin after a look that was cut off, or that could read nothing; after
more of these in a row, later and later."""
JITTER_PERCENT: Final = 10
_LONGEST_NAME: Final = 64

Counts = Mapping[CertificateState, int]


@dataclass(frozen=True)
class WatchedCertificates:
    """Hostnames by state, what was told for the first time, and what Fly was asked about."""

    states: Counts
    told: int = 0
    asked: int = 0
    looked: bool = False


@dataclass(frozen=True)
class CertificateWatch:
    """Watches. Without `recheck` Fly is never asked to look again."""

    parts: Parts
    eyes: CertificateEyes
    policy: PosturePolicy
    recheck: bool = True
    look_every: timedelta = LOOK_EVERY

    async def run(self, organizations: Sequence[str]) -> WatchedCertificates:
        """Look at the organisations whose turn it is."""
        found = [await self._organization(slug) for slug in organizations]
        states: Counter[CertificateState] = Counter()
        for each in found:
            states.update(each.states)
        return WatchedCertificates(
            states,
            sum(each.told for each in found),
            sum(each.asked for each in found),
            any(each.looked for each in found),
        )

    async def _organization(self, slug: str) -> WatchedCertificates:
        name, now = cursor_name(slug), self.parts.clock.now()
        async with self.parts.store.view() as unit:
            cursor = await unit.log_cursor(name)
        if cursor is not None and cursor.resume_at is not None and cursor.resume_at > now:
            return WatchedCertificates(_counts(cursor))
        taken = await self._take_turn(name, now)
        if taken is None:
            return WatchedCertificates({})
        looked = await self.eyes.look([slug])
        if not looked.snapshots and looked.unread:
            return await self._failed(taken, looked)
        told = await tell_ends(self.parts, name, looked.snapshots, now)
        asked, soonest = await self._ask(name, looked.snapshots)
        told += await tell_ends(self.parts, name, asked, self.parts.clock.now())
        states = self._states(looked.snapshots, asked, now)
        await self._leave(taken, soonest, states)
        for each in looked.unread:
            _log.warning("certificates of %s: %s", each.app or each.organization, each.why)
        return WatchedCertificates(states, told, len(asked), looked=True)

    async def _take_turn(self, name: str, now: datetime) -> LogCursor | None:
        """The cursor, moved on for as long as a look may take; None where another was quicker."""
        async with self.parts.store.unit() as unit:
            cursor = await unit.log_cursor(name) or LogCursor(name, 0)
            if cursor.resume_at is not None and cursor.resume_at > now:
                return None
            resume_at = now + A_LOOK_LASTS
            taken = replace(cursor, position=cursor.position + 1, resume_at=resume_at)
            await unit.save_log_cursor(taken)
        return taken

    async def _ask(
        self, name: str, snapshots: Sequence[CertificateSnapshot]
    ) -> tuple[list[CertificateSnapshot], datetime | None]:
        if not self.recheck:
            return [], None
        rechecker = Rechecker(self.parts, self.eyes.reader, name, self.policy.certificate_days)
        return await rechecker.ask_for_late(snapshots)

    def _states(
        self,
        snapshots: Sequence[CertificateSnapshot],
        asked: Sequence[CertificateSnapshot],
        now: datetime,
    ) -> Counts:
        newest = {(each.app, each.hostname): each for each in (*snapshots, *asked)}
        days = self.policy.certificate_days
        return Counter(state_of(each, now, days) for each in newest.values())

    async def _leave(self, taken: LogCursor, soonest: datetime | None, states: Counts) -> None:
        now = self.parts.clock.now()
        regular = now + self.look_every * self._jitter()
        resume_at = min(regular, max(soonest, now + SHORTEST)) if soonest else regular
        counted = {state.value: count for state, count in states.items()}
        note = orjson.dumps({"looked_at": now.isoformat(), "states": counted}).decode()
        async with self.parts.store.unit() as unit:
            await unit.save_log_cursor(replace(taken, failures=0, resume_at=resume_at, note=note))

    async def _failed(self, taken: LogCursor, looked: Looked) -> WatchedCertificates:
        """Nothing could be read; what was known stays, and a later look tries again."""
        pause = min(self.look_every, A_LOOK_LASTS * 2 ** min(taken.failures, 8))
        resume_at = self.parts.clock.now() + pause
        async with self.parts.store.unit() as unit:
            await unit.save_log_cursor(
                replace(taken, failures=taken.failures + 1, resume_at=resume_at)
            )
        why = "; ".join(each.why for each in looked.unread)
        _log.warning("certificates were not read: %s; tried again at %s", why, resume_at)
        return WatchedCertificates(_counts(taken))

    def _jitter(self) -> float:
        """Around 1, so that organisations, and rotators, don't look all at once."""
        spread = self.parts.entropy.below(2 * JITTER_PERCENT + 1) - JITTER_PERCENT
        return 1 + spread / 100


def cursor_name(slug: str) -> str:
    """The name of an organisation's cursor."""
    name = f"certificates:{slug}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"certificates:{hashlib.sha256(slug.encode()).hexdigest()[:40]}"


def _counts(cursor: LogCursor) -> Counts:
    if not cursor.note:
        return {}
    states = orjson.loads(cursor.note).get("states", {})
    return {CertificateState(name): int(count) for name, count in states.items()}
