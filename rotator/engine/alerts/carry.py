"""The job that carries alerts on: one short step of each, until its value is worth nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from rotator.domain.alert import Alert, AlertState
from rotator.domain.credential import Credential, Version
from rotator.domain.errors import Busy, InputError, NeedsHuman, RetryLater, RotatorError
from rotator.domain.events import Action, Outcome
from rotator.domain.hook import NAMED, GithubAlert
from rotator.domain.leak import Course
from rotator.domain.secret import Secret
from rotator.engine import leak
from rotator.engine.alerts.begin import (
    act,
    begin_stranger,
    begin_tracked,
    known_by_name,
    tell_unknown,
)
from rotator.engine.alerts.telling import LOOK, Responder, alert_event, commit, soon, why
from rotator.engine.leak_finding import Known, known, stranger

_log = logging.getLogger(__name__)
LEASE: Final = timedelta(seconds=60)
STEP_SECONDS: Final = 45
AT_ONCE: Final = 16
MOST_ATTEMPTS: Final = 100
"""Of one step; they are a minute apart by then."""
SITTING: Final = timedelta(seconds=2)
"""What wants a worker within this time is waited for by a run of the job."""
KEPT: Final = timedelta(days=90)
"""How long a request is remembered. A leaked value that is sent again later is dead by then, so
nothing follows from it."""
_PAGE: Final = 500


async def carry_on(responder: Responder) -> int:
    """Carry on what wants to be, until nothing does for a while. Gives how many steps it took.
    Costs one look at an index where nothing is open."""
    parts, done = responder.parts, 0
    while not parts.stopping.is_set():
        async with parts.store.view() as unit:
            next_at = await unit.next_alert_at()
        now = parts.clock.now()
        if next_at is None or next_at > now + SITTING:
            return done
        if next_at > now:
            await parts.clock.sleep((next_at - now).total_seconds())
        async with parts.store.unit() as unit:
            taken = await unit.take_alerts(parts.clock.now(), LEASE, AT_ONCE)
        if not taken:
            # Another worker is about to have them.
            return done
        async with asyncio.TaskGroup() as group:
            for alert in taken:
                group.create_task(_bounded_step(responder, alert))
        done += len(taken)
    return done


async def forget(responder: Responder) -> int:
    """Forget requests that are too old to matter; gives how many."""
    before = responder.parts.clock.now() - KEPT
    async with responder.parts.store.unit() as unit:
        return await unit.forget_deliveries(before, _PAGE)


async def _bounded_step(responder: Responder, alert: Alert) -> None:
    """One step; whatever goes wrong is kept with the alert, or its lease runs out."""
    try:
        await _tried(responder, alert)
    except RotatorError as error:
        _log.warning("alert %s: %s; it is taken up again", alert.id, error)
    except Exception as error:
        # The steps beside it go on; its text could hold a part of what was reported.
        _log.error("alert %s: an error inside rotator: %s", alert.id, type(error).__name__)


async def _tried(responder: Responder, alert: Alert) -> None:
    try:
        async with asyncio.timeout(STEP_SECONDS):
            await _step(responder, alert)
    except Busy as error:
        _log.info("%s", error)
    except (RetryLater, TimeoutError) as error:
        wish = error.after_seconds if isinstance(error, RetryLater) else None
        await _again(responder, alert, str(error) or "it took too long", wish)
    except (NeedsHuman, InputError) as error:
        await _failed(responder, alert, str(error))


async def _step(responder: Responder, alert: Alert) -> None:
    match alert.state:
        case AlertState.ACCEPTED:
            await _look(responder.by_hook(alert.hook), alert)
        case AlertState.WAITING:
            await _lapse(responder, alert)
        case AlertState.APPROVED:
            await _approved(responder.acting(alert.decided_by or responder.parts.actor), alert)
        case AlertState.REVOKING:
            await _revoke(responder, alert)
        case AlertState.PROVING:
            await _prove(responder, alert)
        case _:
            raise AssertionError(f"alert {alert.id} has ended, and wants a worker")


async def _look(responder: Responder, alert: Alert) -> None:
    """What it is, now with outside calls."""
    named = await known_by_name(responder.parts, alert)
    if named is not None:
        await begin_tracked(responder, alert, named)
        return
    value = await held(responder, alert.id)
    if value is None and alert.source.startswith(NAMED):
        name = alert.source.removeprefix(NAMED)
        await tell_unknown(responder, alert, f"no credential {name!r} with a value is tracked")
        return
    if value is None and alert.source:
        if responder.values is None:
            note = "GitHub does not send the value, and ROTATOR_GITHUB_TOKEN is not set"
            await tell_unknown(responder, alert, note)
            return
        try:
            value = await responder.values.value(GithubAlert.parse(alert.source))
        except NeedsHuman as error:
            await tell_unknown(responder, alert, f"the value can't be had: {error}")
            return
    if value is None:
        await tell_unknown(responder, alert, "the sender told of no value")
        return
    found = await known(responder.parts, responder.tokens, value)
    if found is not None:
        await begin_tracked(responder, alert, found, value)
    elif not responder.tokens.is_token(value):
        note = "it is no value that rotator holds, and no token that Fly is known for"
        await tell_unknown(responder, alert, note)
    else:
        other = await stranger(responder.parts, responder.tokens, value)
        await begin_stranger(responder, alert, other, value)


async def _lapse(responder: Responder, alert: Alert) -> None:
    """Nobody approved it in time."""
    parts = responder.parts
    note = f"nobody approved it within {alert.approve_within}; it was not revoked"
    after = replace(alert, state=AlertState.LAPSED, resume_at=None, note=note)
    about = await tracked(responder, alert)
    event = alert_event(
        parts, after, Action.LEAK_LAPSED, Outcome.FAILED, credential=about and about[0], why=note
    )
    await commit(parts, alert, after, event)


async def _approved(responder: Responder, alert: Alert) -> None:
    about = await tracked(responder, alert)
    if about is not None:
        await act(responder, alert, Known(*about, alert.note))
        return
    now = responder.parts.clock.now()
    after = replace(alert, state=AlertState.REVOKING, resume_at=now, began_at=now)
    await commit(responder.parts, alert, after)


async def _revoke(responder: Responder, alert: Alert) -> None:
    """Leave it to the rotation for a little while; then revoke it beside that."""
    parts = responder.parts
    value = await held(responder, alert.id)
    about = await tracked(responder, alert)
    if about is None:
        await _revoke_stranger(responder, alert, value)
        return
    credential, version = about
    if alert.course is not Course.GONE and await leak.revoked(parts, version):
        await _proving(responder, alert, "the rotation revoked it")
        return
    now = parts.clock.now()
    waits = alert.course in (Course.ROTATE, Course.HASTEN)
    if waits and alert.began_at is not None and now < alert.began_at + leak.PATIENCE:
        await commit(parts, alert, replace(alert, resume_at=now + LOOK))
        return
    if alert.course is Course.GONE and await _is_refused(responder, value):
        await _done(responder, alert, "it was revoked before", credential, value)
        return
    assert alert.course is not None
    async with parts.store.view() as unit:
        rotation = await unit.rotation(alert.rotation_id) if alert.rotation_id else None
    response = leak.Response(credential, version, alert.course, rotation)
    how = await leak.revoke_beside(parts, response, why(alert))
    await _proving(responder, alert, how)


async def _revoke_stranger(responder: Responder, alert: Alert, value: Secret | None) -> None:
    if value is None:
        await _failed(responder, alert, "its value is not held any more")
        return
    parts, tokens = responder.parts, responder.tokens
    found = await stranger(parts, tokens, value)
    if found.alive is None:
        await _done(responder, alert, "Fly refuses it already", None, value)
        return
    how = await leak.revoke_found(parts, tokens, value, found.one, why(alert))
    await _proving(responder, alert, how)


async def _proving(responder: Responder, alert: Alert, how: str) -> None:
    now = responder.parts.clock.now()
    after = replace(
        alert, state=AlertState.PROVING, resume_at=now, began_at=now, note=how, attempts=0
    )
    await commit(responder.parts, alert, after)


async def _prove(responder: Responder, alert: Alert) -> None:
    """See that Fly refuses it; lists and regions lag."""
    parts = responder.parts
    about = await tracked(responder, alert)
    credential = about[0] if about is not None else None
    value = await held(responder, alert.id)
    if await _is_refused(responder, value):
        await _done(responder, alert, alert.note, credential, value)
        return
    now = parts.clock.now()
    if alert.began_at is not None and now < alert.began_at + leak.REFUSAL_PATIENCE:
        await commit(parts, alert, replace(alert, resume_at=now + LOOK))
        return
    await _failed(responder, alert, f"{alert.note}, but Fly still accepts it")


async def _is_refused(responder: Responder, value: Secret | None) -> bool:
    """Whether Fly is seen to refuse the value; what is no token of Fly's is not shown to it."""
    if value is None or not responder.tokens.is_token(value):
        return True
    return await responder.tokens.accepted(value) is None


async def _done(
    responder: Responder,
    alert: Alert,
    how: str,
    credential: Credential | None,
    value: Secret | None,
) -> None:
    parts = responder.parts
    now = parts.clock.now()
    since = alert.decided_at or alert.received_at
    begun = "it was approved" if alert.decided_at else "the hook was told"
    seen = value is not None and responder.tokens.is_token(value)
    told = "Fly was seen to refuse it" if seen else "revoked"
    note = f"{how}; {told} {(now - since).total_seconds():.1f} s after {begun}"
    after = replace(alert, state=AlertState.DONE, resume_at=None, note=note)
    event = alert_event(
        parts, after, Action.LEAK_ENDED, Outcome.OK, credential=credential, evidence=note
    )
    await commit(parts, alert, after, event)


async def _failed(responder: Responder, alert: Alert, note: str) -> None:
    """No repeat can help: a person has to."""
    parts = responder.parts
    about = await tracked(responder, alert)
    told = f"NOT REVOKED: {note}; try `rotator rotate now --leaked`"
    after = replace(alert, state=AlertState.FAILED, resume_at=None, note=told)
    event = alert_event(
        parts, after, Action.LEAK_ENDED, Outcome.FAILED, credential=about and about[0], error=told
    )
    _log.error("alert %s of the hook %s: %s", alert.id, alert.hook, told)
    await commit(parts, alert, after, event)


async def _again(responder: Responder, alert: Alert, note: str, wish: float | None) -> None:
    parts = responder.parts
    if alert.attempts >= MOST_ATTEMPTS:
        await _failed(responder, alert, note)
        return
    now = parts.clock.now()
    again = replace(alert, attempts=alert.attempts + 1, resume_at=soon(now, alert, wish))
    _log.warning("alert %s: %s; tried again soon", alert.id, note)
    await commit(parts, alert, again)


async def held(responder: Responder, alert_id: str) -> Secret | None:
    """The leaked value, if it is held."""
    async with responder.parts.store.view() as unit:
        return await unit.unseal_leaked(alert_id)


async def tracked(responder: Responder, alert: Alert) -> tuple[Credential, Version] | None:
    """The credential and version that it is about, if they are tracked."""
    if alert.credential_id is None or alert.version_id is None:
        return None
    async with responder.parts.store.view() as unit:
        credential = await unit.credential_by_id(alert.credential_id)
        return credential, await unit.version(alert.version_id)
