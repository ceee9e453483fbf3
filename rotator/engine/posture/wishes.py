"""Begins the rotations that the posture policy asks for, each once for its cause."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.errors import Busy, InputError
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery, Unit
from rotator.domain.posture.finding import RotationWish
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Actor, ActorKind, Rotation, RotationState
from rotator.engine.inventory import credential_event
from rotator.engine.observe import would_rotate
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, queue

_log = logging.getLogger(__name__)
POSTURE: Final = Actor(ActorKind.SCHEDULE.value, "posture")
MOST_AT_ONCE: Final = 100
"""Rotations that one run begins; the next run goes on with the others."""
LOOKED_BACK: Final = 200
"""Rotations, or events, of a credential that are looked through for the same cause."""
_EVENTS: Final = {ReasonCode.CREATOR_LEFT: Action.CREDENTIAL_CREATOR_LEFT}


async def begin_wishes(parts: Parts, wishes: Sequence[RotationWish]) -> Sequence[Rotation]:
    """Queue a rotation for each wish that was not answered yet; gives what was queued.

    A cause is answered by one rotation, however often it is found and by however many daemons: a
    value can be found to have the same maker again, where rotator's own token is theirs. One that
    was rolled back is tried again after a while, a few times. What can't start now (another
    rotation is under way or parked, two writers contend) is tried again at the next run. Windows
    and blackouts don't hold it up, as with all that is due for safety's sake.
    """
    begun: list[Rotation] = []
    for wish in wishes:
        if len(begun) >= MOST_AT_ONCE:
            _log.info("%s rotations begun, the others at the next run", len(begun))
            break
        try:
            rotation = await _begun(parts, wish)
        except (Busy, InputError) as error:
            _log.info("%s: not begun now: %s", wish.credential, error)
            continue
        begun += [rotation] if rotation is not None else []
    return begun


async def _begun(parts: Parts, wish: RotationWish) -> Rotation | None:
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        credential = await unit.credential(wish.credential)
        if credential is None or credential.status is not CredentialStatus.MANAGED:
            return None
        event = credential_event(parts, credential, _EVENTS[wish.code], now)
        event = replace(event, actor=POSTURE, reason=wish.reason)
        if credential.spec.observed:
            if not await _told(unit, wish):
                current = await unit.current_version(credential.id)
                await unit.append(event, would_rotate(parts, credential, current, wish.reason))
            return None
        if await _answered(parts, unit, credential, wish):
            return None
        await unit.append(event)
        return await queue(parts, unit, credential, Wish(POSTURE, wish.reason, wish.code.value))


async def _told(unit: Unit, wish: RotationWish) -> bool:
    query = EventQuery(
        credential=wish.credential, action=_EVENTS[wish.code].value, limit=LOOKED_BACK
    )
    return any(each.event.reason == wish.reason for each in await unit.events(query))


async def _answered(parts: Parts, unit: Unit, credential: Credential, wish: RotationWish) -> bool:
    """Whether a rotation for this cause stands, or enough of them failed, or one did just now."""
    past = await unit.rotations(credential_id=credential.id, limit=LOOKED_BACK)
    same = [r for r in past if r.reason_code == wish.code.value and r.reason == wish.reason]
    if any(r.state is not RotationState.ROLLED_BACK for r in same):
        return True
    if len(same) >= parts.limits.rollbacks_in_a_row:
        return True
    ended_at = same[0].ended_at if same else None
    wait = parts.limits.retry_after_rollback
    return ended_at is not None and parts.clock.now() < ended_at + wait
