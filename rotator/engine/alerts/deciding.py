"""What a person says of an alert that waits: yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rotator.domain.alert import ENDED_ALERTS, Alert, AlertState
from rotator.domain.credential import Credential
from rotator.domain.errors import Busy, InputError
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import Unit
from rotator.domain.rotation import Actor
from rotator.engine.alerts.begin import act
from rotator.engine.alerts.carry import carry_on, tracked
from rotator.engine.alerts.telling import GRACE, LOOK, Responder, alert_event, step_on
from rotator.engine.leak_finding import Known
from rotator.engine.parts import Parts

_WAITING: Final = frozenset({AlertState.WAITING})
_LISTED: Final = 1000


@dataclass(frozen=True)
class Waiting:
    """An alert that waits for a person, and the tracked credential that it is about."""

    alert: Alert
    credential: Credential | None


async def waiting(parts: Parts) -> Sequence[Waiting]:
    """All that wait, the newest first."""
    async with parts.store.view() as unit:
        found = await unit.alerts(_WAITING, _LISTED)
        return [Waiting(alert, await _credential(unit, alert)) for alert in found]


async def approve(responder: Responder, alert_id: str, actor: Actor, reason: str) -> Alert:
    """A person says yes: it is kept who, when and why, and what follows is begun.

    Raises:
        InputError: no such alert, or it does not wait any more.
    """
    parts = responder.parts
    approved = await _decided(parts, alert_id, actor, reason, AlertState.APPROVED)
    about = await tracked(responder, approved)
    if about is None:
        return approved
    try:
        return await act(responder, approved, Known(*about, approved.note))
    except Busy:
        # The daemon's job was quicker.
        return await _standing(parts, alert_id)


async def refuse(parts: Parts, alert_id: str, actor: Actor, reason: str) -> Alert:
    """A person says no: the value stays as it is, and what is held of it is erased.

    Raises:
        InputError: no such alert, or it does not wait any more.
    """
    return await _decided(parts, alert_id, actor, reason, AlertState.REFUSED)


async def _decided(
    parts: Parts, alert_id: str, actor: Actor, reason: str, state: AlertState
) -> Alert:
    now = parts.clock.now()
    approved = state is AlertState.APPROVED
    async with parts.store.unit() as unit:
        alert = await unit.alert(alert_id)
        if alert is None:
            raise InputError(
                f"there is no alert {alert_id!r}", next_step="`rotator rotate approve` lists them"
            )
        if alert.state is not AlertState.WAITING or (alert.expires_at or now) < now:
            lapsed = alert.state is AlertState.WAITING
            told = "nobody approved it in time" if lapsed else f"{alert.state}: {alert.note}"
            raise InputError(
                f"alert {alert.id} does not wait for anybody any more ({told})",
                next_step="`rotator rotate now --leaked` deals with a value at once",
            )
        after = replace(
            alert,
            state=state,
            # The command begins at once; where it dies first, the daemon's job does.
            resume_at=now + GRACE if approved and alert.version_id else now if approved else None,
            decided_by=actor,
            decided_at=now,
            reason=reason,
        )
        credential = await _credential(unit, alert)
        action = Action.LEAK_APPROVED if approved else Action.LEAK_REFUSED
        event = alert_event(parts, after, action, Outcome.INFO, credential=credential)
        await step_on(unit, alert, after, replace(event, actor=actor))
    return after


async def followed(responder: Responder, alert_id: str, *, carry: bool) -> Alert:
    """Wait until an alert has ended; `carry` it on where no daemon does."""
    parts = responder.parts
    while True:
        if carry:
            await carry_on(responder)
        alert = await _standing(parts, alert_id)
        if alert.state in ENDED_ALERTS or parts.stopping.is_set():
            return alert
        await parts.clock.sleep(LOOK.total_seconds())


async def _standing(parts: Parts, alert_id: str) -> Alert:
    async with parts.store.view() as unit:
        found = await unit.alert(alert_id)
    assert found is not None
    return found


async def _credential(unit: Unit, alert: Alert) -> Credential | None:
    if alert.credential_id is None:
        return None
    return await unit.credential_by_id(alert.credential_id)
