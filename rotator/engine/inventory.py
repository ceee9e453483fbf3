"""Bring the inventory in line with the manifest: a diff, applied in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.credential import Credential, CredentialSpec, CredentialStatus, Version
from rotator.domain.due import deadline_of
from rotator.domain.errors import Busy, InputError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.ports import Unit
from rotator.domain.rotation import ACTIVE, Actor, RotationState
from rotator.domain.schedule import next_due
from rotator.domain.spec_changes import spec_changes
from rotator.engine.journal import main_app
from rotator.engine.parts import Parts


@dataclass(frozen=True)
class InventoryChange:
    """What applying a manifest does. Names, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether the inventory says what the manifest says."""
        return not (self.added or self.changed or self.removed)


def compare(specs: Sequence[CredentialSpec], tracked: Sequence[Credential]) -> InventoryChange:
    """The difference between a manifest and the inventory. Pure."""
    wanted = {spec.name: spec for spec in specs}
    managed = {c.name: c for c in tracked if c.status is CredentialStatus.MANAGED}
    return InventoryChange(
        added=tuple(sorted(wanted.keys() - managed.keys())),
        changed=tuple(sorted(n for n in wanted.keys() & managed if managed[n].spec != wanted[n])),
        removed=tuple(sorted(managed.keys() - wanted.keys())),
        unchanged=tuple(sorted(n for n in wanted.keys() & managed if managed[n].spec == wanted[n])),
    )


async def apply_manifest(
    parts: Parts, specs: Sequence[CredentialSpec], *, source: str
) -> InventoryChange:
    """Track what the manifest names. What it no longer names is kept as `unmanaged`: neither
    rotated nor revoked. Where another worker takes it up at the same moment, what that one has left
    is looked at once more.

    Raises:
        InputError: a credential changes its kind or place while a rotation of it is under way.
    """
    try:
        return await _apply(parts, specs, source=source)
    except Busy:
        return await _apply(parts, specs, source=source)


async def _apply(parts: Parts, specs: Sequence[CredentialSpec], *, source: str) -> InventoryChange:
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        tracked = {c.name: c for c in await unit.credentials()}
        change = compare(specs, tuple(tracked.values()))
        if change.empty:
            return change
        for spec in specs:
            known = tracked.get(spec.name)
            if spec.name in change.added:
                await _add(parts, unit, spec, known, now)
            elif spec.name in change.changed and known is not None:
                await _change(parts, unit, spec, known, now)
        for name in change.removed:
            await _release(parts, unit, tracked[name], now)
        await unit.append(_applied(parts.actor, change, source, now))
    return change


def _applied(actor: Actor, change: InventoryChange, source: str, at: datetime) -> Event:
    return Event(
        action=Action.MANIFEST_APPLIED,
        outcome=Outcome.OK,
        actor=actor,
        at=at,
        detail={
            "source": source,
            "added": ", ".join(change.added),
            "changed": ", ".join(change.changed),
            "removed": ", ".join(change.removed),
        },
    )


async def _add(
    parts: Parts, unit: Unit, spec: CredentialSpec, known: Credential | None, now: datetime
) -> None:
    credential = Credential(
        id=known.id if known else parts.new_id(),
        spec=spec,
        status=CredentialStatus.MANAGED,
        due_at=None,
        created_at=known.created_at if known else now,
        updated_at=now,
    )
    await unit.save_credential(credential)
    current = await unit.current_version(credential.id) if known else None
    await unit.save_credential(replace(credential, due_at=first_due(credential, current, now)))
    await unit.append(credential_event(parts, credential, Action.CREDENTIAL_ADDED, now))


async def _change(
    parts: Parts, unit: Unit, spec: CredentialSpec, known: Credential, now: datetime
) -> None:
    active = await unit.rotations(
        credential_id=known.id, states=ACTIVE | {RotationState.PARKED}, limit=1
    )
    moved = (spec.kind, spec.place) != (known.spec.kind, known.spec.place)
    if active and (moved or {t.key for t in known.spec.targets} - {t.key for t in spec.targets}):
        raise InputError(
            f"{spec.name} can't change its place or lose a target while rotation {active[0].id} "
            "of it has not ended",
            next_step="wait for it, or finish it with `rotator rotate retry` or `rotate abort`",
        )
    if spec.observed and active and active[0].state is RotationState.QUEUED:
        # Not begun yet, so nothing has to be finished.
        await unit.request_abort(active[0].id, now)
    current = await unit.current_version(known.id)
    changed = replace(known, spec=spec, updated_at=now)
    due_at = None if active else first_due(changed, current, now)
    await unit.save_credential(replace(changed, due_at=due_at))
    told = spec_changes(known.spec, spec)
    await unit.append(
        credential_event(parts, changed, Action.CREDENTIAL_CHANGED, now, changes=told)
    )


async def _release(parts: Parts, unit: Unit, known: Credential, now: datetime) -> None:
    released = replace(known, status=CredentialStatus.UNMANAGED, due_at=None, updated_at=now)
    await unit.save_credential(released)
    await unit.append(credential_event(parts, released, Action.CREDENTIAL_UNMANAGED, now))


def first_due(credential: Credential, current: Version | None, now: datetime) -> datetime | None:
    """When a credential is next due, given what is in use.

    A value whose age nobody knows counts as due: nothing shows that it is younger than its policy
    allows. The window and blackouts hold for it as for every scheduled rotation. What expires is
    due before it does, also without a schedule.
    """
    policy = credential.spec.policy
    deadline = deadline_of(policy, current)
    if policy.every is None and policy.cron is None and policy.max_age is None:
        return deadline
    if current is None:
        return now
    born = current.promoted_at or (current.issued.created_at if current.issued else None)
    if born is None:
        return now
    seed = credential.id + current.id
    return next_due(policy, anchor=born, seed=seed, deadline=deadline)


def credential_event(
    parts: Parts, credential: Credential, action: Action, at: datetime, **detail: str
) -> Event:
    """An event about a credential outside any rotation."""
    return Event(
        action=action,
        outcome=Outcome.INFO,
        actor=parts.actor,
        at=at,
        credential=credential.name,
        kind=credential.spec.kind,
        organization=credential.spec.organization,
        app=main_app(credential),
        detail=detail,
    )
