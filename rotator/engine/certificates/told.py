"""Tell a certificate's end once a stage, and that it was renewed once it is.

What was told stands in the audit log, so that a restart and a second daemon know it too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.domain.certificate_alarms import CertificateAlarm, alarm_of, end_key
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import EventQuery, Unit
from rotator.domain.posture.certificate import (
    CertificateSnapshot,
    CertificateState,
    is_shaken,
)
from rotator.engine.parts import Parts

_log = logging.getLogger(__name__)
_ACTIONS: Final[Mapping[CertificateState, Action]] = {
    CertificateState.EXPIRED: Action.CERTIFICATE_EXPIRED,
    CertificateState.EXPIRING: Action.CERTIFICATE_EXPIRING,
}
_TOLD: Final = ",".join(each.value for each in (*_ACTIONS.values(), Action.CERTIFICATE_RENEWED))
_SERVED: Final = "served"
REMEMBERED: Final = 20
"""The newest events of a hostname that are looked through for a stage."""


@dataclass(frozen=True)
class News:
    """What there is to tell of a hostname."""

    snapshot: CertificateSnapshot
    action: Action
    stage: str
    sentence: str
    ends_at: datetime
    command: str = ""
    served: bool = False


async def tell_ends(
    parts: Parts, turn: str, snapshots: Sequence[CertificateSnapshot], now: datetime
) -> int:
    """Tell what is new; gives how much. `turn` is the cursor that writers take turns at."""
    async with parts.store.view() as unit:
        found = [await _news(unit, snapshot, now) for snapshot in snapshots]
    told = 0
    for news in found:
        if news is None:
            continue
        async with parts.store.unit() as unit:
            await unit.log_cursor(turn)
            if await _news(unit, news.snapshot, now) is None:
                continue  # another worker was quicker
            await unit.append(_event(parts, news, now))
        told += 1
        level = logging.INFO if news.action is Action.CERTIFICATE_RENEWED else logging.WARNING
        _log.log(level, "%s%s", news.sentence, f" ({news.command})" if news.command else "")
    return told


async def _news(unit: Unit, snapshot: CertificateSnapshot, now: datetime) -> News | None:
    query = EventQuery(app=snapshot.app, target=snapshot.subject, action=_TOLD, limit=REMEMBERED)
    before = [logged.event for logged in await unit.events(query)]
    alarm = alarm_of(snapshot, now)
    if alarm is not None:
        known = {event.detail.get("stage") for event in before}
        return None if alarm.stage in known else _of_alarm(snapshot, alarm)
    if not before or before[0].action is Action.CERTIFICATE_RENEWED:
        return None
    return _of_renewal(snapshot, before[0])


def _of_alarm(snapshot: CertificateSnapshot, alarm: CertificateAlarm) -> News:
    action = _ACTIONS[alarm.state]
    return News(
        snapshot, action, alarm.stage, alarm.sentence, alarm.ends_at, alarm.command, alarm.served
    )


def _of_renewal(snapshot: CertificateSnapshot, alarm: Event) -> News | None:
    """The good news behind an alarm, once it is known to be over."""
    if alarm.detail.get("source") == _SERVED and not is_shaken(snapshot):
        return None
    ends_at = snapshot.ends_at
    if ends_at is None or alarm.detail.get("expires_at", "") >= ends_at.isoformat():
        return None
    sentence = f"the certificate of {snapshot.hostname} was renewed, and ends {ends_at:%Y-%m-%d}"
    return News(snapshot, Action.CERTIFICATE_RENEWED, end_key(ends_at), sentence, ends_at)


def _event(parts: Parts, news: News, now: datetime) -> Event:
    detail = {
        "stage": news.stage,
        "next": news.command,
        "source": _SERVED if news.served else news.snapshot.source.value,
        "expires_at": news.ends_at.isoformat(),
    }
    return certificate_event(
        parts, news.snapshot, news.action, now, reason=news.sentence, detail=detail
    )


def certificate_event(
    parts: Parts,
    snapshot: CertificateSnapshot,
    action: Action,
    at: datetime,
    *,
    reason: str,
    detail: Mapping[str, str],
    outcome: Outcome = Outcome.INFO,
    request_id: str | None = None,
) -> Event:
    """An event about a hostname's certificate."""
    ends = {"expires_at": snapshot.ends_at.isoformat()} if snapshot.ends_at is not None else {}
    return Event(
        action=action,
        outcome=outcome,
        actor=parts.actor,
        at=at,
        reason=reason,
        organization=snapshot.organization,
        app=snapshot.app,
        target=snapshot.subject,
        request_id=request_id,
        detail={key: value for key, value in {**ends, **detail}.items() if value},
    )
