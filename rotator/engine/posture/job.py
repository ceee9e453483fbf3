"""The daily look at the posture: what is new is told once, whoever of several daemons looks.

Who looks holds the organisation's row for a while. The records of a batch and the events that tell
of them are one transaction, so a crash in the middle repeats nothing and forgets nothing: the next
look finds the rest new, or still there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from rotator.domain.errors import ClaimLost, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Unit
from rotator.domain.posture.finding import Finding, Inspected, Missing
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope, Inspector
from rotator.domain.posture.record import (
    FindingChange,
    FindingState,
    PostureLook,
    Turn,
    found_again,
    is_unknown,
    not_found,
    worst,
)
from rotator.domain.posture.suppression import Suppression, suppression_of
from rotator.domain.risk import Risk
from rotator.engine.parts import Parts
from rotator.engine.posture.look import inspect_all, topics_of
from rotator.engine.posture.wishes import begin_wishes

_log = logging.getLogger(__name__)
FIRST_LOOK: Final = timedelta(minutes=5)
"""A new database is first looked at between this and three times as long after its first start."""
SPREAD: Final = 12
"""Looks are spread over a twelfth of the time between them, so that not all come at once."""
LOOK_SECONDS: Final = 7200
HELD_FOR: Final = timedelta(hours=3)
"""Longer than a look can take; after a crash another one begins then."""
AFTER_FAILURE: Final = timedelta(hours=1)
MOST_FINDINGS: Final = 5000
BATCH: Final = 100
"""So many records, and as many events, are one transaction."""
MOST_LINES: Final = 50
"""So many new findings of a look are lines in the log; of the others only the number is."""
MOST_TOLD_UNREAD: Final = 5
KEPT_FOR: Final = timedelta(days=90)
MOST_FORGOTTEN: Final = 5000
_OPEN: Final = frozenset({FindingState.OPEN, FindingState.SUPPRESSED})
_ACTIONS: Final = {
    Turn.OPENED: Action.POSTURE_OPENED,
    Turn.REOPENED: Action.POSTURE_REOPENED,
    Turn.CHANGED: Action.POSTURE_CHANGED,
    Turn.SUPPRESSED: Action.POSTURE_SUPPRESSED,
    Turn.RESOLVED: Action.POSTURE_RESOLVED,
}


@dataclass(frozen=True)
class Watch:
    """Who looks at an organisation, against what, and what is not to be told."""

    organization: str
    inspectors: Sequence[Inspector]
    policy: PosturePolicy
    suppressions: Sequence[Suppression] = ()


@dataclass
class Told:
    """What a look has changed."""

    turns: Counter[Turn] = field(default_factory=Counter)
    lines: int = 0
    missing: list[str] = field(default_factory=list)

    @property
    def opened(self) -> int:
        """Those that are open since this look."""
        return self.turns[Turn.OPENED] + self.turns[Turn.REOPENED]


async def look_if_due(
    parts: Parts, organization: str, every: timedelta, prepare: Callable[[], Watch]
) -> Told | None:
    """Look, keep and tell what has changed, and begin the rotations that the policy asks for; None
    where it is not due or somebody else looks.

    `prepare` is asked once it is due. Whatever fails is tried again after `AFTER_FAILURE`.
    """
    if not await _begin(parts, organization, every):
        return None
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            watch = prepare()
            inspected = await _inspected(parts, watch)
            if inspected is None:
                await _give_up(parts, organization, timedelta(0))
                return None
            told = await _keep(parts, watch, inspected)
            await begin_wishes(parts, inspected.wishes)
            await _end(parts, watch, every, told)
            return told
    except BaseException:
        with suppress(RotatorError):
            await _give_up(parts, organization, AFTER_FAILURE)
        raise


async def _begin(parts: Parts, organization: str, every: timedelta) -> bool:
    """Take the row, if a look is due. Costs no write where it is not."""
    async with parts.store.view() as unit:
        now = await unit.database_now()
        look = await unit.posture_look(organization)
    if look is not None and not _is_due(look, now, every):
        return False
    async with parts.store.unit() as unit:
        now = await unit.database_now()
        soon = min(FIRST_LOOK, every / SPREAD)
        first = PostureLook(organization, now + soon + _share(parts, 2 * soon))
        look = await unit.begin_posture_look(first)
        if not _is_due(look, now, every):
            return False
        held = replace(look, holder=parts.worker_id, held_until=now + HELD_FOR)
        await unit.save_posture_look(held)
    return True


def _is_due(look: PostureLook, now: datetime, every: timedelta) -> bool:
    """A shorter time between looks holds at once, not only after the next one."""
    due = look.due_at
    if look.looked_at is not None:
        due = min(due, look.looked_at + every + every / SPREAD)
    return due <= now and (look.held_until is None or look.held_until <= now)


def _share(parts: Parts, span: timedelta) -> timedelta:
    """A random part of it."""
    return span * parts.entropy.below(1000) / 1000


async def _held(unit: Unit, parts: Parts, organization: str) -> PostureLook:
    """The row, locked until the commit.

    Raises:
        ClaimLost: somebody else looks by now.
    """
    look = await unit.posture_look(organization)
    if look is None or look.holder != parts.worker_id:
        raise ClaimLost(f"another worker looks at the posture of {organization} by now")
    return look


async def _inspected(parts: Parts, watch: Watch) -> Inspected | None:
    """What is found; None where this worker stops before: a look is not worth waiting for."""
    scope, now = InspectionScope((watch.organization,)), parts.clock.now()
    looking = asyncio.create_task(
        inspect_all(watch.inspectors, scope, watch.policy, now, bad_input_is_missing=True)
    )
    stopping = asyncio.create_task(parts.stopping.wait())
    try:
        await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return looking.result() if looking.done() else None
    finally:
        for task in (looking, stopping):
            task.cancel()
        await asyncio.gather(looking, stopping, return_exceptions=True)


async def _give_up(parts: Parts, organization: str, pause: timedelta) -> None:
    """Let somebody try again in a while."""
    async with parts.store.unit() as unit:
        look = await _held(unit, parts, organization)
        due = await unit.database_now() + pause
        await unit.save_posture_look(replace(look, due_at=due, holder=None, held_until=None))


async def _keep(parts: Parts, watch: Watch, inspected: Inspected) -> Told:
    """Bring the records in line with what was found, a batch at a time."""
    told = Told()
    found = {finding.fingerprint: finding for finding in inspected.findings}
    kept = worst(found, MOST_FINDINGS)
    for first in range(0, len(kept), BATCH):
        await _keep_batch(parts, watch, kept[first : first + BATCH], told)
    told.missing = [_line(each) for each in inspected.missing]
    if len(found) > len(kept):
        told.missing.append(f"the least bad of too many findings: {len(found) - len(kept)}")
    await _resolve(parts, watch, frozenset(found), inspected.missing, told)
    return told


async def _keep_batch(parts: Parts, watch: Watch, findings: Sequence[Finding], told: Told) -> None:
    now = parts.clock.now()
    today = now.astimezone(UTC).date()
    async with parts.store.unit() as unit:
        await _held(unit, parts, watch.organization)
        records = await unit.findings_by([finding.fingerprint for finding in findings])
        known = {record.fingerprint: record for record in records}
        changes = [
            found_again(
                known.get(finding.fingerprint),
                finding,
                suppression_of(finding, watch.suppressions, today),
                watch.organization,
                now,
            )
            for finding in findings
        ]
        await _save(unit, parts, changes, now)
    _note(changes, told)


async def _resolve(
    parts: Parts,
    watch: Watch,
    found: frozenset[str],
    missing: Sequence[Missing],
    told: Told,
) -> None:
    """What nobody finds any more is resolved, but for what could not be looked at."""
    topics, after = topics_of(watch.inspectors), ""
    while True:
        now = parts.clock.now()
        async with parts.store.unit() as unit:
            await _held(unit, parts, watch.organization)
            page = await unit.finding_records(
                watch.organization, states=_OPEN, after=after, limit=BATCH
            )
            changes = [
                not_found(record, now)
                for record in page
                if record.fingerprint not in found and not is_unknown(record, topics, missing)
            ]
            await _save(unit, parts, changes, now)
        _note(changes, told)
        if len(page) < BATCH:
            return
        after = page[-1].fingerprint


async def _save(unit: Unit, parts: Parts, changes: Sequence[FindingChange], now: datetime) -> None:
    for change in changes:
        await unit.save_finding(change.record)
        if change.turn in _ACTIONS:
            await unit.append(_event(parts, change, now))


def _event(parts: Parts, change: FindingChange, now: datetime) -> Event:
    record, before = change.record, change.before
    detail = {
        "finding": record.fingerprint,
        "rule": record.rule,
        "severity": record.severity.word,
        "subject": record.subject,
    }
    if change.turn is Turn.RESOLVED:
        detail["since"] = record.opened_at.isoformat()
    elif change.turn is Turn.SUPPRESSED:
        detail["why"] = record.note
    else:
        detail["mend"] = record.mend
    if change.turn is Turn.CHANGED and before is not None:
        detail["was"] = before.severity.word
    if change.turn is Turn.REOPENED and before is not None:
        was = before.state is FindingState.SUPPRESSED
        detail["why"] = "its suppression has ended" if was else "it was resolved, and is back"
    return Event(
        _ACTIONS[change.turn],
        Outcome.INFO,
        parts.actor,
        now,
        reason=record.message,
        organization=record.organization,
        app=record.app or None,
        detail=detail,
    )


def _note(changes: Sequence[FindingChange], told: Told) -> None:
    """Count what was committed, and tell the log of what is new."""
    for change in changes:
        told.turns[change.turn] += 1
        if change.turn in (Turn.OPENED, Turn.REOPENED) and told.lines < MOST_LINES:
            told.lines += 1
            record = change.record
            _log.log(
                logging.WARNING if record.severity >= Risk.MEDIUM else logging.INFO,
                "posture: %s %s at %s: %s (mend: %s)",
                record.severity.word,
                record.rule,
                record.subject,
                record.message,
                " ".join(record.mend.split()),
            )


async def _end(parts: Parts, watch: Watch, every: timedelta, told: Told) -> None:
    """Give the row back, and tell how things stand."""
    now, unread = parts.clock.now(), told.missing
    async with parts.store.unit() as unit:
        look = await _held(unit, parts, watch.organization)
        at = await unit.database_now()
        due = at + every - every / SPREAD / 2 + _share(parts, every / SPREAD)
        opened = await unit.count_findings(watch.organization)
        detail = {f"open_{risk.word}": str(opened.get(risk, 0)) for risk in Risk}
        detail |= {"opened": str(told.opened), "resolved": str(told.turns[Turn.RESOLVED])}
        detail["not_read"] = str(len(unread))
        if unread:
            detail["error"] = unread[0]
        outcome = Outcome.UNKNOWN if unread else Outcome.OK
        event = Event(
            Action.POSTURE_LOOKED,
            outcome,
            parts.actor,
            now,
            organization=watch.organization,
            detail=detail,
        )
        await unit.append(event)
        fresh = replace(look, due_at=due, holder=None, held_until=None, looked_at=at)
        await unit.save_posture_look(replace(fresh, missing=tuple(unread)))
        await unit.forget_findings(now - KEPT_FOR, MOST_FORGOTTEN)
    _tell_sum(watch, told, sum(opened.values()))


def _tell_sum(watch: Watch, told: Told, standing: int) -> None:
    _log.info(
        "posture of %s: %d opened, %d resolved, %d open, %d parts not read",
        watch.organization,
        told.opened,
        told.turns[Turn.RESOLVED],
        standing,
        len(told.missing),
    )
    if told.opened > told.lines:
        _log.warning(
            "posture: %d more findings are new; `rotator posture --history` lists them",
            told.opened - told.lines,
        )
    if told.missing:
        _log.warning("posture: not read: %s", "; ".join(told.missing[:MOST_TOLD_UNREAD]))


def _line(missing: Missing) -> str:
    where = f" of {missing.app}" if missing.app else ""
    return " ".join(f"{missing.topic.value}{where}: {missing.why}".split())
