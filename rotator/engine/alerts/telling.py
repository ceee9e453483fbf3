"""What the audit log is told of alerts, and how a step of one is committed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.alert import ENDED_ALERTS, TRANSITIONS, Alert
from rotator.domain.credential import Credential
from rotator.domain.errors import Busy
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.hook import AlertValues
from rotator.domain.leak import FoundTokens
from rotator.domain.ports import Unit
from rotator.domain.rotation import Actor, ActorKind
from rotator.domain.secret import Secret
from rotator.engine.inventory import credential_event
from rotator.engine.parts import Parts

LOOK: Final = timedelta(milliseconds=500)
"""How often a leaked value is looked at until it is worth nothing."""
LONGEST_WISH_SECONDS: Final = 600.0
GRACE: Final = timedelta(seconds=5)
"""How long the request itself may take to begin, before the job takes the alert up."""


@dataclass(frozen=True)
class Responder:
    """What acting on alerts needs: the engine's parts, Fly's tokens, and where senders keep the
    values that they do not send."""

    parts: Parts
    tokens: FoundTokens
    values: AlertValues | None = None

    def by_hook(self, hook: str) -> Responder:
        """The same, acting for a hook: its events name that as the actor."""
        own = self.parts.actor
        actor = Actor(ActorKind.WEBHOOK.value, hook, own.host, None, own.machine, own.region)
        return self.acting(actor)

    def acting(self, actor: Actor) -> Responder:
        """The same, acting for somebody: what it asks for and tells names them."""
        return replace(self, parts=replace(self.parts, actor=actor))


def alert_event(
    parts: Parts,
    alert: Alert,
    action: Action,
    outcome: Outcome,
    *,
    credential: Credential | None = None,
    **detail: str,
) -> Event:
    """An event about an alert; `credential` is the tracked one that it is about."""
    now = parts.clock.now()
    told = {"alert": alert.id, "hook": alert.hook, "place": alert.place, "sort": alert.sort}
    if alert.version_id is not None:
        told["version"] = alert.version_id
    told = {key: value for key, value in (told | detail).items() if value}
    if credential is not None:
        event = credential_event(parts, credential, action, now, **told)
    else:
        event = Event(action, Outcome.INFO, parts.actor, now, detail=told)
    return replace(event, outcome=outcome, reason=alert.reason, rotation_id=alert.rotation_id)


def why(alert: Alert) -> str:
    """The reason of what is done about it, for rotations and events."""
    found = f", found at {alert.place}" if alert.place else ""
    person = f": {alert.reason}" if alert.reason else ""
    return f"leaked as the hook {alert.hook} tells{found}{person}"


async def step_on(
    unit: Unit, before: Alert, after: Alert, *events: Event, value: Secret | None = None
) -> None:
    """Commit a step of an alert in a transaction that the caller has begun.

    A value that came to light meanwhile is sealed; an ended alert's is erased.

    Raises:
        Busy: a person or another worker has moved it on meanwhile.
    """
    standing = await unit.alert(before.id)
    if standing is None or standing.state is not before.state:
        raise Busy(f"alert {before.id} was moved on by somebody else")
    if after.state is not before.state and after.state not in TRANSITIONS[before.state]:
        raise AssertionError(f"no way leads from {before.state} to {after.state}")
    await unit.save_alert(after)
    if after.state in ENDED_ALERTS:
        await unit.erase_leaked(after.id)
    elif value is not None:
        await unit.seal_leaked(after.id, value)
    await unit.append(*events)


async def commit(
    parts: Parts, before: Alert, after: Alert, *events: Event, value: Secret | None = None
) -> Alert:
    """Commit a step of an alert. See `step_on`."""
    async with parts.store.unit() as unit:
        await step_on(unit, before, after, *events, value=value)
    return after


def soon(now: datetime, alert: Alert, wish_seconds: float | None = None) -> datetime:
    """When to try again what can't be done now: doubled each time, a minute at most unless the
    other side wishes otherwise."""
    own = min(60.0, 0.5 * 2 ** min(alert.attempts, 10))
    return now + timedelta(seconds=max(own, min(wish_seconds or 0.0, LONGEST_WISH_SECONDS)))
