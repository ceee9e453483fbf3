"""A verified request becomes alerts: committed as intents first, then begun, then answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from rotator.domain.alert import PLANS, Alert, AlertState, Plan, plan_of
from rotator.domain.errors import RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.hook import Delivery, HookSpec, Report, RequestOutcome
from rotator.domain.secret import Secret
from rotator.engine.alerts.begin import begin_tracked, known_by_name
from rotator.engine.alerts.telling import GRACE, Responder, alert_event
from rotator.engine.leak_finding import known_by_nonce

_log = logging.getLogger(__name__)
ACCEPTED: Final = 202
CONFLICT: Final = 409


@dataclass(frozen=True)
class Answer:
    """What a sender is told: HTTP status and JSON. No value is in it."""

    outcome: RequestOutcome
    status: int
    body: bytes


async def accept(
    responder: Responder,
    spec: HookSpec,
    delivery: Delivery,
    digests: Sequence[str],
    reports: Sequence[Report],
) -> Answer:
    """Keep what was reported, begin what needs no call outside, and say what will happen.

    A request that was seen before does nothing, and is answered as it was then.
    """
    acting = responder.by_hook(spec.name)
    alerts = [_alert(acting, spec, report) for report in reports]
    first = replace(delivery, status=ACCEPTED, answer=_told(alerts).decode())
    parts = acting.parts
    async with parts.store.unit() as unit:
        seen = await unit.add_delivery(first, digests)
        for alert, report in zip(alerts, reports, strict=True) if not seen else ():
            await unit.save_alert(alert)
            if report.value is not None and not report.only_told:
                await unit.seal_leaked(alert.id, report.value)
            received = alert_event(
                parts, alert, Action.HOOK_RECEIVED, Outcome.INTENT, why=alert.note
            )
            await unit.append(received)
    if seen:
        return _again(seen, {delivery.digest, *digests})
    begun = [
        await _begun(acting, alert, report.value)
        for alert, report in zip(alerts, reports, strict=True)
    ]
    body = _told(begun)
    async with parts.store.unit() as unit:
        await unit.answer_delivery(delivery.hook, delivery.key, ACCEPTED, body.decode())
    return Answer(RequestOutcome.ACCEPTED, ACCEPTED, body)


def _again(seen: Sequence[Delivery], digests: set[str]) -> Answer:
    same = next((each for each in seen if each.digest in digests), None)
    if same is None:
        told = orjson.dumps({"error": "another request had this id before, with another body"})
        return Answer(RequestOutcome.CONFLICT, CONFLICT, told)
    return Answer(RequestOutcome.DUPLICATE, same.status, same.answer.encode())


def _alert(responder: Responder, spec: HookSpec, report: Report) -> Alert:
    now = responder.parts.clock.now()
    return Alert(
        id=responder.parts.new_id(),
        hook=spec.name,
        state=AlertState.TOLD if report.only_told else AlertState.ACCEPTED,
        respond=spec.respond,
        untracked=spec.untracked,
        approve_within=spec.approve_within,
        place=report.place,
        sort=report.sort,
        received_at=now,
        resume_at=None if report.only_told else now + GRACE,
        source=report.hint,
        note="somebody asks to push a secret; nothing has leaked yet" if report.only_told else "",
    )


async def _begun(responder: Responder, alert: Alert, value: Secret | None) -> Alert:
    """Act at once on a token that is tracked; leave the rest to the job, which takes the alert up
    as well where this fails."""
    try:
        if value is not None:
            found = await known_by_nonce(responder.parts, responder.tokens, value)
        else:
            found = await known_by_name(responder.parts, alert)
        if found is not None and alert.state is AlertState.ACCEPTED:
            return await begin_tracked(responder, alert, found)
        return await _left_to_the_job(responder, alert)
    except RotatorError as error:
        _log.warning("alert %s: %s; it is taken up again soon", alert.id, error)
        return alert


async def _left_to_the_job(responder: Responder, alert: Alert) -> Alert:
    if alert.resume_at is None:
        return alert
    now = responder.parts.clock.now()
    async with responder.parts.store.unit() as unit:
        standing = await unit.alert(alert.id)
        if standing is not None and standing.state is AlertState.ACCEPTED:
            await unit.save_alert(replace(standing, resume_at=now))
    return alert


def _told(alerts: Sequence[Alert]) -> bytes:
    return orjson.dumps({"alerts": [_plan(alert) for alert in alerts]})


def _plan(alert: Alert) -> dict[str, str]:
    plan = plan_of(alert)
    told = {"id": alert.id, "action": plan.value, "what": PLANS[plan]}
    if alert.rotation_id is not None and plan in (Plan.ROTATE, Plan.REVOKE):
        told["rotation"] = alert.rotation_id
        told["poll"] = f"rotator rotate show {alert.rotation_id}"
    elif plan is Plan.APPROVE:
        told["approve"] = f"rotator rotate approve {alert.id}"
    told.setdefault("poll", f"rotator audit --text {alert.id}")
    return told
