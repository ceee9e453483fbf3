"""The first look at an alert: whose value it is, and what the hook's policy makes of that."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from rotator.domain.alert import Alert, AlertState
from rotator.domain.credential import Credential, CredentialStatus, VersionState
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.hook import NAMED, Respond, Untracked
from rotator.domain.leak import COURSES, Course
from rotator.domain.ports import Unit
from rotator.domain.rotation import Rotation
from rotator.domain.secret import Secret
from rotator.engine import leak
from rotator.engine.alerts.telling import LOOK, Responder, alert_event, commit, step_on, why
from rotator.engine.leak_finding import Known, Stranger
from rotator.engine.parts import Parts

_log = logging.getLogger(__name__)
_GONE: Final = frozenset({VersionState.REVOKED, VersionState.DISCARDED})
_WAITING: Final = frozenset({AlertState.WAITING})
_MOST: Final = 1000
_AS_TRACKED: Final = {
    Untracked.REVOKE: Respond.ROTATE,
    Untracked.APPROVE: Respond.APPROVE,
    Untracked.TELL: Respond.TELL,
}


def policy_of(alert: Alert, credential: Credential) -> Respond:
    """What the hook's policy says of a tracked credential. What the manifest no longer names is
    replaced by nothing, like a token that was never tracked; what is observed is left alone."""
    if credential.status is not CredentialStatus.MANAGED:
        return _AS_TRACKED[alert.untracked]
    return Respond.TELL if credential.spec.observed else alert.respond


async def known_by_name(parts: Parts, alert: Alert) -> Known | None:
    """The current version of the credential that the sender names, where it names one."""
    if not alert.source.startswith(NAMED):
        return None
    async with parts.store.view() as unit:
        credential = await unit.credential(alert.source.removeprefix(NAMED))
        version = await unit.current_version(credential.id) if credential else None
    if credential is None or version is None:
        return None
    return Known(credential, version, f"the sender names {credential.name}")


async def begin_tracked(
    responder: Responder, alert: Alert, found: Known, value: Secret | None = None
) -> Alert:
    """Act, wait or tell, as the policy says. Gives the alert as it stands then."""
    policy = policy_of(alert, found.credential)
    about = replace(alert, credential_id=found.credential.id, version_id=found.version.id)
    if policy is Respond.TELL:
        observed = found.credential.spec.observed
        note = "it is only observed" if observed else "the hook's policy is to tell"
        return await _told(responder, alert, replace(about, note=note), found)
    if policy is Respond.APPROVE and found.version.state not in _GONE:
        return await _waits(
            responder, alert, replace(about, note=found.how), found.credential, value
        )
    return await act(responder, alert, found, value)


async def act(
    responder: Responder, alert: Alert, found: Known, value: Secret | None = None
) -> Alert:
    """Begin what makes the value of a tracked credential worth nothing, in one transaction with
    the alert's step."""
    parts = responder.parts
    now = parts.clock.now()
    listed = parts.kinds[found.credential.spec.kind].issuer_lists
    after = replace(
        alert,
        credential_id=found.credential.id,
        version_id=found.version.id,
        state=AlertState.REVOKING if listed else AlertState.DONE,
        resume_at=now + LOOK if listed else None,
        began_at=now,
        attempts=0,
    )

    async def also(unit: Unit, course: Course, rotation: Rotation | None) -> None:
        nonlocal after
        note = COURSES[course] if listed else _no_issuer(rotation)
        rotation_id = rotation.id if rotation is not None else None
        after = replace(after, course=course, rotation_id=rotation_id, note=note)
        events = [] if listed else [_ended_without_issuer(responder, after, found.credential)]
        await step_on(unit, alert, after, *events, value=value)

    await leak.respond(parts, found.credential, found.version, why(alert), found.how, also=also)
    return after


def _no_issuer(rotation: Rotation | None) -> str:
    by = f"; rotation {rotation.id} replaces it" if rotation is not None else ""
    return f"no issuer could revoke it: it is worth nothing once nothing takes it any more{by}"


def _ended_without_issuer(responder: Responder, alert: Alert, credential: Credential) -> Event:
    return alert_event(
        responder.parts,
        alert,
        Action.LEAK_ENDED,
        Outcome.INFO,
        credential=credential,
        why=alert.note,
    )


async def begin_stranger(
    responder: Responder, alert: Alert, found: Stranger, value: Secret
) -> Alert:
    """Revoke, wait or tell, as the policy says, about a token that nobody tracks."""
    parts = responder.parts
    now = parts.clock.now()
    if found.alive is None:
        note = "rotator does not track it, and Fly refuses it already"
        after = replace(alert, state=AlertState.DONE, resume_at=None, note=note)
        event = alert_event(parts, after, Action.LEAK_ENDED, Outcome.OK, evidence=note)
        return await commit(parts, alert, after, event)
    listed = f", {found.one.name!r} at Fly ({found.one.ref})" if found.one else ""
    note = f"rotator does not track it{listed}; Fly accepts it"
    about = replace(alert, note=note)
    if responder.tokens.is_own(value):
        note = "it is rotator's own API token: give rotator another one, then revoke this one"
        return await _told(responder, alert, replace(about, note=note))
    match alert.untracked:
        case Untracked.TELL:
            return await _told(responder, alert, about)
        case Untracked.APPROVE:
            return await _waits(responder, alert, about, None, value)
        case Untracked.REVOKE:
            after = replace(about, state=AlertState.REVOKING, resume_at=now, began_at=now)
            event = alert_event(parts, after, Action.LEAK_REPORTED, Outcome.INFO, evidence=note)
            return await commit(parts, alert, after, event, value=value)


async def tell_unknown(responder: Responder, alert: Alert, note: str) -> Alert:
    """What can't be recognised, or is not leaked yet, is told and no more."""
    return await _told(responder, alert, replace(alert, note=note))


async def _told(
    responder: Responder, alert: Alert, about: Alert, found: Known | None = None
) -> Alert:
    after = replace(about, state=AlertState.TOLD, resume_at=None)
    detail = {"evidence": found.how} if found is not None else {}
    event = alert_event(
        responder.parts,
        after,
        Action.LEAK_REPORTED,
        Outcome.INFO,
        credential=found.credential if found is not None else None,
        why=after.note,
        **detail,
    )
    _log.warning("alert %s of the hook %s: %s", after.id, after.hook, after.note)
    return await commit(responder.parts, alert, after, event)


async def _waits(
    responder: Responder,
    alert: Alert,
    about: Alert,
    credential: Credential | None,
    value: Secret | None,
) -> Alert:
    """Ask for a person; once for each value."""
    parts = responder.parts
    until = parts.clock.now() + alert.approve_within
    after = replace(about, state=AlertState.WAITING, expires_at=until, resume_at=until, attempts=0)
    async with parts.store.unit() as unit:
        other = await _waiting_already(unit, after)
        if other is not None:
            note = f"the same value waits as {other.id} already"
            after = replace(about, state=AlertState.DONE, resume_at=None, note=note)
            event = alert_event(
                parts, after, Action.LEAK_ENDED, Outcome.INFO, credential=credential, why=note
            )
        else:
            event = alert_event(
                parts,
                after,
                Action.LEAK_WAITING,
                Outcome.WAITING,
                credential=credential,
                evidence=after.note,
                expires_at=until.isoformat(),
            )
        await step_on(unit, alert, after, event, value=value)
    if other is None:
        told = "alert %s of the hook %s waits for `rotator rotate approve`: %s"
        _log.warning(told, after.id, after.hook, after.note)
    return after


async def _waiting_already(unit: Unit, alert: Alert) -> Alert | None:
    if alert.version_id is None:
        return None
    waiting = await unit.alerts(_WAITING, _MOST)
    return next((each for each in waiting if each.version_id == alert.version_id), None)
