"""Notice what somebody wrote behind rotator's back, tell who it was, and stop where two writers
undo each other. Only app secrets are watched: they look the same from every worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rotator.domain.credential import Credential, TargetSpec
from rotator.domain.drift import TargetWatch, Writer, changed_behind, overwritten, settled, written
from rotator.domain.errors import Drift, InputError, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.policy import Mend
from rotator.domain.ports import TargetState, Unit
from rotator.domain.protocol import ABSENT, MARKER
from rotator.domain.rotation import ACTIVE, Mode, RotationState, StepName
from rotator.engine.inventory import credential_event, first_due
from rotator.engine.parts import Parts


async def look_at_targets(parts: Parts, credential: Credential) -> Sequence[TargetWatch]:
    """Look at every app secret of a credential that no rotation is about to write. Gives those that
    hold somebody else's value instead of rotator's, or that have changed since the last look."""
    async with parts.store.view() as unit:
        before = {watch.target: watch for watch in await unit.target_watches(credential.id)}
    found = []
    for spec in credential.spec.targets:
        if spec.app is None:
            continue
        state = await parts.targets[spec.type].inspect(spec)
        watch = await noticed(parts, credential, spec, state)
        if watch is not None and (watch.drifted or watch != before.get(spec.key, watch)):
            found.append(watch)
    return found


async def noticed(
    parts: Parts,
    credential: Credential,
    spec: TargetSpec,
    state: TargetState | None,
    *,
    rotating: bool = False,
    lag: timedelta | None = None,
) -> TargetWatch | None:
    """Hold what a target shows against what is known of it; tell and keep a change.

    `rotating` is for the rotation that writes there itself; `lag` is how long after our write the
    state may not show it. None where a rotation has begun meanwhile, whose own write this may be.
    """
    now = parts.clock.now()
    lag = parts.limits.list_lag if lag is None else lag
    async with parts.store.view() as unit:
        known = await _watch(unit, credential, spec)
    if known is not None and not changed_behind(known, state, now, lag):
        return known
    who = await _author(parts, spec, state) if known is not None else ""
    async with parts.store.unit() as unit:
        fresh = await unit.credential_by_id(credential.id)
        if not rotating and await _is_busy(unit, credential):
            return None
        if await _watch(unit, credential, spec) != known:
            return None
        if known is None:
            watch = await _first_sight(unit, credential, spec, state, now)
        else:
            watch = overwritten(known, state, who, now)
            await _react(unit, fresh, watch, now)
            await unit.append(*_told(parts, fresh, known, watch, now))
        await unit.save_target_watch(watch)
    return watch


async def note_write(
    unit: Unit, credential: Credential, spec: TargetSpec, new: TargetWatch, *, restored: bool
) -> None:
    """Keep that rotator has written, with the outcome of the write."""
    known = await _watch(unit, credential, spec)
    await unit.save_target_watch(written(known, new, restored=restored))


async def refuse_contested(
    parts: Parts, credential: Credential, spec: TargetSpec, state: TargetState | None, mode: Mode
) -> None:
    """Before a write: `Drift` where somebody has undone rotator's last writes there.

    In an emergency rotator writes all the same.
    """
    watch = await noticed(parts, credential, spec, state, rotating=True)
    if watch is None or watch.contested_at is None or mode is not Mode.NORMAL:
        return
    raise Drift(contest(watch), next_step=f"rotator drift settle {credential.name}")


def contest(watch: TargetWatch) -> str:
    """The sentence that names both writers."""
    return (
        f"rotator and {watch.other} undo each other at {watch.target}; rotator has stopped writing "
        "there"
    )


async def contested_of(unit: Unit, credential: Credential) -> Sequence[TargetWatch]:
    """The targets of a credential at which rotator has stopped writing."""
    keys = {target.key for target in credential.spec.targets}
    watches = await unit.target_watches(credential.id)
    return [watch for watch in watches if watch.contested_at is not None and watch.target in keys]


async def settle(parts: Parts, name: str, reason: str) -> Sequence[TargetWatch]:
    """A person says that the other writer has stopped: rotator may write again, and does so at
    the next opening of its window.

    Raises:
        InputError: there is no such credential, or nothing of it is contested or changed.
    """
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        credential = await unit.credential(name)
        if credential is None:
            raise InputError(
                f"there is no credential {name!r}", next_step="`rotator list` shows them"
            )
        watches = await unit.target_watches(credential.id)
        drifted = [watch for watch in watches if watch.contested_at or watch.drifted]
        if not drifted:
            raise InputError(
                f"nobody disputes a target of {name}", next_step="`rotator drift` lists who does"
            )
        for watch in drifted:
            await unit.save_target_watch(settled(watch))
            event = _event(parts, credential, Action.TARGET_SETTLED, watch, now)
            await unit.append(replace(event, reason=reason))
        if not credential.spec.observed and not await _is_busy(unit, credential):
            await unit.save_credential(replace(credential, due_at=now, updated_at=now))
    return drifted


async def _watch(unit: Unit, credential: Credential, spec: TargetSpec) -> TargetWatch | None:
    watches = await unit.target_watches(credential.id)
    return next((watch for watch in watches if watch.target == spec.key), None)


async def _is_busy(unit: Unit, credential: Credential) -> bool:
    states = ACTIVE | {RotationState.PARKED}
    return bool(await unit.rotations(credential_id=credential.id, states=states, limit=1))


async def _author(parts: Parts, spec: TargetSpec, state: TargetState | None) -> str:
    """Who wrote it, where that can be asked. Not to know is no reason to stop."""
    if parts.witness is None or state is None:
        return ""
    try:
        return await parts.witness.author(spec, state)
    except RotatorError:
        return ""


async def _first_sight(
    unit: Unit,
    credential: Credential,
    spec: TargetSpec,
    state: TargetState | None,
    now: datetime,
) -> TargetWatch:
    """What stands there when it is first looked at: somebody's, unless the newest rotation left
    just this (a rotator that did not watch yet)."""
    marker = state.marker if state is not None else ABSENT
    at = (state.changed_at if state is not None else None) or now
    ended = frozenset({RotationState.RETIRING, RotationState.SUCCEEDED})
    newest = await unit.rotations(credential_id=credential.id, states=ended, limit=1)
    steps = await unit.steps(newest[0].id) if newest else ()
    ours = any(
        step.name is StepName.DELIVER
        and step.subject == spec.key
        and step.detail.get(MARKER) == marker
        for step in steps
    )
    writer = Writer.ROTATOR if ours else Writer.OTHER
    return TargetWatch(credential.id, spec.key, marker, writer, at)


async def _react(unit: Unit, credential: Credential, watch: TargetWatch, now: datetime) -> None:
    """Mend by a rotation where the policy says so. A value that rotator adopted and that somebody
    has replaced since is younger than was known."""
    current = await unit.current_version(credential.id)
    if current is not None and current.adopted and current.issued is not None:
        if not current.issued.ref and not watch.drifted:
            issued = replace(current.issued, created_at=watch.at)
            younger = replace(current, issued=issued, promoted_at=watch.at)
            await unit.save_version(younger)
            due_at = first_due(credential, younger, now)
            await unit.save_credential(replace(credential, due_at=due_at, updated_at=now))
        return
    policy = credential.spec.policy
    mend = policy.on_gone if watch.marker == ABSENT else policy.on_drift
    if mend is Mend.REPORT or credential.spec.observed or watch.contested_at is not None:
        return
    if credential.due_at is None or credential.due_at > now:
        await unit.save_credential(replace(credential, due_at=now, updated_at=now))


def _told(
    parts: Parts, credential: Credential, known: TargetWatch, watch: TargetWatch, now: datetime
) -> list[Event]:
    what = "taken away" if watch.marker == ABSENT else "changed"
    event = _event(parts, credential, Action.TARGET_CHANGED, watch, now)
    sentence = f"{watch.target} was {what} by {watch.other}"
    events = [replace(event, reason=sentence)]
    if watch.contested_at is not None and known.contested_at is None:
        asked = _event(parts, credential, Action.TARGET_CONTESTED, watch, now)
        detail = {**asked.detail, "next": f"rotator drift settle {credential.name}"}
        events.append(replace(asked, reason=contest(watch), outcome=Outcome.WAITING, detail=detail))
    return events


def _event(
    parts: Parts, credential: Credential, action: Action, watch: TargetWatch, now: datetime
) -> Event:
    event = credential_event(
        parts,
        credential,
        action,
        now,
        writer=watch.who or "unknown",
        written_at=watch.at.isoformat(),
        writes=str(watch.writes),
    )
    target = next((t for t in credential.spec.targets if t.key == watch.target), None)
    return replace(event, target=watch.target, app=target.app if target else event.app)
