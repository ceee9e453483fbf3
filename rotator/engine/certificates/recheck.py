"""Ask Fly to look again at certificates whose renewal is late: journaled, with backoff and limits.

An intent is committed before each call and an outcome after it; an intent counts as a try whatever
became of it, so that neither a crash nor a second daemon makes more calls than are allowed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.certificate_alarms import (
    DAY,
    MOST_CHECKS_A_DAY_IN_ALL,
    Recheck,
    end_key,
    next_recheck,
)
from rotator.domain.durations import rough_duration
from rotator.domain.errors import OutcomeUnknown, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import EventQuery, Unit
from rotator.domain.posture.certificate import CertificateSnapshot, state_of
from rotator.domain.posture.certificate_port import Certificates
from rotator.engine.certificates.told import certificate_event
from rotator.engine.parts import Parts

_log = logging.getLogger(__name__)
_BOTH: Final = f"{Action.CERTIFICATE_CHECKING.value},{Action.CERTIFICATE_CHECKED.value}"
REMEMBERED: Final = 100
"""The newest events of a hostname's re-checks that are looked through."""
UNDER_WAY: Final = timedelta(minutes=10)
"""An intent that is older without an outcome was left by a worker that died."""


@dataclass(frozen=True)
class _Answered:
    """What became of a call. `after` is the hostname as it was read last."""

    after: CertificateSnapshot
    request_id: str | None = None
    error: RotatorError | None = None


@dataclass(frozen=True)
class Rechecker:
    """Asks for re-checks. `turn` is the cursor that writers take turns at; `days` before its end
    a certificate that was not renewed is late enough."""

    parts: Parts
    reader: Certificates
    turn: str
    days: int

    async def ask_for_late(
        self, snapshots: Sequence[CertificateSnapshot]
    ) -> tuple[list[CertificateSnapshot], datetime | None]:
        """Ask about those that are due, the nearest end first. Gives what was read after each,
        and when the next one may be asked."""
        asked: list[CertificateSnapshot] = []
        later: list[datetime] = []
        for snapshot in sorted(snapshots, key=_end):
            if self.parts.stopping.is_set():
                break
            plan, tries = await self._intend(snapshot)
            if plan.due:
                after, plan = await self._ask(snapshot, tries)
                asked.append(after)
            later += [plan.at] if plan.at is not None else []
        return asked, min(later, default=None)

    async def plan(self, unit: Unit, snapshot: CertificateSnapshot, now: datetime) -> Recheck:
        """What becomes of a hostname's re-check."""
        tries = _tries(await _history(unit, snapshot), snapshot)
        return next_recheck(snapshot, tries, now, self.days)

    async def _intend(self, snapshot: CertificateSnapshot) -> tuple[Recheck, list[datetime]]:
        """Commit the intent, if one is due and within every limit. Gives the tries, with it."""
        now = self.parts.clock.now()
        plan = next_recheck(snapshot, (), now, self.days)
        if not plan.due:
            return plan, []
        async with self.parts.store.unit() as unit:
            await unit.log_cursor(self.turn)
            history = await _history(unit, snapshot)
            open_since = _open_since(history)
            if open_since is not None and now - open_since < UNDER_WAY:
                at = open_since + UNDER_WAY
                return Recheck(due=False, at=at, why="a worker is asking"), []
            if open_since is not None:
                await unit.append(self._left_open(snapshot, now))
            tries = _tries(history, snapshot)
            plan = next_recheck(snapshot, tries, now, self.days)
            if plan.due and await self._is_full(unit, snapshot, now):
                why = f"the organisation has had {MOST_CHECKS_A_DAY_IN_ALL} re-checks in a day"
                plan = Recheck(due=False, at=now + timedelta(hours=1), why=why)
            if plan.due:
                tries.append(now)
                await unit.append(self._intent(snapshot, len(tries), now))
        return plan, tries

    async def _is_full(self, unit: Unit, snapshot: CertificateSnapshot, now: datetime) -> bool:
        query = EventQuery(
            organization=snapshot.organization,
            action=Action.CERTIFICATE_CHECKING.value,
            since=now - DAY,
            limit=MOST_CHECKS_A_DAY_IN_ALL,
        )
        return len(await unit.events(query)) >= MOST_CHECKS_A_DAY_IN_ALL

    async def _ask(
        self, snapshot: CertificateSnapshot, tries: Sequence[datetime]
    ) -> tuple[CertificateSnapshot, Recheck]:
        """Make the call, read the hostname again, and commit the outcome with what comes next."""
        answered = await self._answered(snapshot)
        now = self.parts.clock.now()
        same = end_key_of(answered.after) == end_key_of(snapshot)
        plan = next_recheck(answered.after, tries if same else (), now, self.days)
        event = self._outcome(snapshot, answered, len(tries), now)
        then = _then(plan) if same else ""
        if then:
            event = replace(event, detail={**event.detail, "next": then})
        async with self.parts.store.unit() as unit:
            await unit.append(event)
        level = logging.INFO if answered.error is None else logging.WARNING
        told = [event.reason, event.detail.get("error", ""), then]
        _log.log(level, "%s: %s", snapshot.hostname, "; ".join(each for each in told if each))
        return answered.after, plan

    async def _answered(self, snapshot: CertificateSnapshot) -> _Answered:
        try:
            answer = await self.reader.check(snapshot.app, snapshot.hostname)
        except RotatorError as error:
            return _Answered(snapshot, error.request_id, error)
        view = replace(answer.view, created_at=snapshot.created_at)
        after = replace(snapshot, machines=view)
        try:
            after = await self.reader.again(snapshot)
        except RotatorError:
            # What the check itself has answered has to do.
            _log.info("%s: could not be read again after its re-check", snapshot.hostname)
        return _Answered(after, answer.request_id)

    def _intent(self, snapshot: CertificateSnapshot, attempt: int, now: datetime) -> Event:
        assert snapshot.ends_at is not None
        left = snapshot.ends_at - now
        when = "has expired" if left <= timedelta(0) else f"ends in {rough_duration(left)}"
        return certificate_event(
            self.parts,
            snapshot,
            Action.CERTIFICATE_CHECKING,
            now,
            outcome=Outcome.INTENT,
            reason=f"the certificate {when}, and Fly has not renewed it",
            detail={"attempt": str(attempt)},
        )

    def _outcome(
        self, before: CertificateSnapshot, answered: _Answered, attempt: int, now: datetime
    ) -> Event:
        after, error = answered.after, answered.error
        detail = {"attempt": str(attempt), "state": state_of(after, now, self.days).value}
        if isinstance(error, OutcomeUnknown):
            outcome, reason = Outcome.UNKNOWN, "Fly's answer to the re-check was lost"
        elif error is not None:
            outcome, reason = Outcome.FAILED, "the re-check failed"
        else:
            renewed = end_key_of(after) != end_key_of(before)
            outcome = Outcome.OK
            reason = "Fly has renewed the certificate" if renewed else _still(after)
            detail["evidence"] = f"it ends {end_key_of(after)}"
        if error is not None:
            detail["error"] = str(error)
        return certificate_event(
            self.parts,
            before,
            Action.CERTIFICATE_CHECKED,
            now,
            outcome=outcome,
            reason=reason,
            detail=detail,
            request_id=answered.request_id,
        )

    def _left_open(self, snapshot: CertificateSnapshot, now: datetime) -> Event:
        return certificate_event(
            self.parts,
            snapshot,
            Action.CERTIFICATE_CHECKED,
            now,
            outcome=Outcome.UNKNOWN,
            reason="the worker that was about to ask did not tell the outcome",
            detail={},
        )


def _end(snapshot: CertificateSnapshot) -> float:
    return snapshot.ends_at.timestamp() if snapshot.ends_at is not None else float("inf")


def end_key_of(snapshot: CertificateSnapshot) -> str:
    """The end as events name it."""
    return end_key(snapshot.ends_at) if snapshot.ends_at is not None else "-"


def _still(after: CertificateSnapshot) -> str:
    told = "; ".join(f"{each.message} ({each.code})" for each in after.problems)
    return f"Fly was asked to look again, and has not renewed it yet{': ' + told if told else ''}"


def _then(plan: Recheck) -> str:
    """What rotator does next about a hostname that was not renewed."""
    if plan.at is None:
        return f"rotator asks no more: {plan.why}"
    return f"Fly is asked again at {plan.at:%Y-%m-%d %H:%M}Z"


async def _history(unit: Unit, snapshot: CertificateSnapshot) -> list[Event]:
    """Intents and outcomes of a hostname, newest first."""
    query = EventQuery(app=snapshot.app, target=snapshot.subject, action=_BOTH, limit=REMEMBERED)
    return [logged.event for logged in await unit.events(query)]


def _tries(history: Sequence[Event], snapshot: CertificateSnapshot) -> list[datetime]:
    """When Fly was asked about this very end."""
    wanted = end_key_of(snapshot)
    return [
        event.at
        for event in history
        if event.action is Action.CERTIFICATE_CHECKING
        and event.detail.get("expires_at", "").startswith(wanted)
    ]


def _open_since(history: Sequence[Event]) -> datetime | None:
    """When an intent was committed that has no outcome yet."""
    if history and history[0].action is Action.CERTIFICATE_CHECKING:
        return history[0].at
    return None
