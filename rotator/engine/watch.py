"""Watch ages and ends of the values in use, and tell each alarm once a stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.alarms import Alarm, AlarmKind, alarms
from rotator.domain.credential import Credential, CredentialStatus, VersionState
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery, Unit
from rotator.engine.inventory import credential_event
from rotator.engine.parts import Parts

_ACTIONS: Mapping[AlarmKind, Action] = {
    AlarmKind.EXPIRED: Action.VERSION_EXPIRED,
    AlarmKind.EXPIRING: Action.VERSION_EXPIRING,
    AlarmKind.TOO_OLD: Action.VERSION_TOO_OLD,
}


@dataclass(frozen=True)
class Watched:
    """How many alarms stand, by kind, and how many were told for the first time."""

    standing: Mapping[AlarmKind, int]
    told: int


async def watch_expiries(parts: Parts) -> Watched:
    """Look at every managed credential. Makes no outside call."""
    now = parts.clock.now()
    async with parts.store.view() as unit:
        managed = {c.id: c for c in await unit.credentials(status=CredentialStatus.MANAGED)}
        current = await unit.versions_in(frozenset({VersionState.CURRENT}))
    raised = [
        (managed[version.credential_id], alarm)
        for version in current
        if version.credential_id in managed
        for alarm in alarms(managed[version.credential_id], version, now)
    ]
    async with parts.store.view() as unit:
        new = [each for each in raised if not await _was_told(unit, *each)]
    told = 0
    for credential, alarm in new:
        async with parts.store.unit() as unit:
            told += await _tell_once(parts, unit, credential, alarm, now)
    return Watched(Counter(alarm.kind for _, alarm in raised), told)


async def _was_told(unit: Unit, credential: Credential, alarm: Alarm) -> bool:
    action = _ACTIONS[alarm.kind].value
    latest = await unit.events(EventQuery(credential=credential.name, action=action, limit=1))
    return bool(latest) and latest[0].event.detail.get("stage") == alarm.stage


async def _tell_once(
    parts: Parts, unit: Unit, credential: Credential, alarm: Alarm, now: datetime
) -> bool:
    """False where another worker was quicker."""
    if await _was_told(unit, credential, alarm):
        return False
    event = credential_event(
        parts,
        credential,
        _ACTIONS[alarm.kind],
        now,
        stage=alarm.stage,
        why=alarm.sentence,
        next=alarm.command,
    )
    await unit.append(replace(event, reason=alarm.sentence))
    return True
