"""Hold the inventory against the truth outside: adopt, notice what is gone or was changed behind
our back, revoke leftovers of our own. What is foreign is never touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from rotator.domain.credential import Credential, Issued, Version, VersionState
from rotator.domain.events import Action
from rotator.domain.policy import Mend
from rotator.domain.ports import EventQuery, Unit
from rotator.domain.rotation import ACTIVE, RotationState
from rotator.engine.begin import adopted_version, adoption_event, find_adoptable, newest
from rotator.engine.drift import look_at_targets
from rotator.engine.inventory import credential_event, first_due
from rotator.engine.parts import Parts

_ULID_LENGTH: Final = 26
_LIVE = (VersionState.PENDING, VersionState.CURRENT, VersionState.RETIRING)


@dataclass(frozen=True)
class Reconciliation:
    """What a look at one credential's issuer and targets showed. Names as the issuer has them;
    `changed` are targets that somebody else has written."""

    adopted: str | None = None
    gone: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


async def reconcile(parts: Parts, credential: Credential) -> Reconciliation:
    """Compare one credential with its issuer and its targets.

    Leftovers of our own ended rotations are revoked (P2), which is all that is changed outside;
    values of unknown origin are left alone. A credential with a rotation under way is left to it.
    """
    versions = await _left_alone(parts, credential)
    if versions is None:
        return Reconciliation()
    if not versions:
        return await _adopt(parts, credential)
    held = await parts.kinds[credential.spec.kind].holdings(credential.spec)
    # Once more, after the issuer: what it lists is either known by now, or its rotation is under
    # way. The other way round, a value made meanwhile would look like a leftover.
    versions = await _left_alone(parts, credential)
    if versions is None:
        return Reconciliation()
    gone = await _note_gone(parts, credential, versions, held)
    leftovers: tuple[str, ...] = ()
    adopted = None
    if credential.spec.observed:
        adopted = await _follow(parts, credential, held) if gone else None
    else:
        leftovers = await _revoke_leftovers(parts, credential, versions, held)
    watches = await look_at_targets(parts, credential)
    changed = tuple(watch.target for watch in watches)
    return Reconciliation(adopted, gone, leftovers, changed)


async def _left_alone(parts: Parts, credential: Credential) -> Sequence[Version] | None:
    """The versions of a credential; None while a rotation is under way or parked."""
    states = ACTIVE | {RotationState.PARKED}
    async with parts.store.view() as unit:
        if await unit.rotations(credential_id=credential.id, states=states, limit=1):
            return None
        return await unit.versions(credential.id)


async def _adopt(parts: Parts, credential: Credential) -> Reconciliation:
    version = await find_adoptable(parts, credential)
    if version is None:
        return Reconciliation()
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        if await unit.versions(credential.id):
            return Reconciliation()
        await unit.save_version(version)
        due_at = first_due(credential, version, now)
        await unit.save_credential(replace(credential, due_at=due_at, updated_at=now))
        await unit.append(adoption_event(parts, credential, version))
    return Reconciliation(adopted=version.issued.name if version.issued else None)


async def _follow(parts: Parts, credential: Credential, held: Sequence[Issued]) -> str | None:
    """People have replaced a value that rotator only observes: the newest is the one in use now."""
    if not held:
        return None
    now, issued = parts.clock.now(), newest(held)
    version = adopted_version(parts, credential, issued)
    async with parts.store.unit() as unit:
        old = await unit.current_version(credential.id)
        if old is None or old.issued is None or old.issued.ref == issued.ref:
            return None
        await unit.save_version(replace(old, state=VersionState.REVOKED, ended_at=now))
        await unit.erase(old.id)
        await unit.save_version(version)
        due_at = first_due(credential, version, now)
        await unit.save_credential(replace(credential, due_at=due_at, updated_at=now))
        await unit.append(adoption_event(parts, credential, version))
    return issued.name


async def _note_gone(
    parts: Parts, credential: Credential, versions: Sequence[Version], held: Sequence[Issued]
) -> tuple[str, ...]:
    """A current value that the issuer no longer holds: somebody revoked it. Told once, and mended
    by a rotation at once where the policy says so."""
    refs = {issued.ref for issued in held}
    now = parts.clock.now()
    gone = [
        v
        for v in versions
        if v.state is VersionState.CURRENT
        and v.issued is not None
        and v.issued.ref
        and v.issued.ref not in refs
        and now - v.created_at > parts.limits.list_lag
    ]
    if not gone or not parts.kinds[credential.spec.kind].issuer_lists:
        return ()
    async with parts.store.unit() as unit:
        fresh = await unit.credential_by_id(credential.id)
        told = [v for v in gone if await _tell_gone(parts, unit, fresh, v, now)]
        mends = fresh.spec.policy.on_gone is Mend.ROTATE and not fresh.spec.observed
        if told and mends and (fresh.due_at is None or fresh.due_at > now):
            await unit.save_credential(replace(fresh, due_at=now, updated_at=now))
    return tuple(v.issued.name for v in gone if v.issued)


async def _tell_gone(
    parts: Parts, unit: Unit, credential: Credential, version: Version, now: datetime
) -> bool:
    """Once for each value; whether it was told now."""
    query = EventQuery(credential=credential.name, action=Action.VERSION_GONE.value, limit=1)
    latest = await unit.events(query)
    if latest and latest[0].event.detail.get("version") == version.id:
        return False
    name = version.issued.name if version.issued else ""
    event = credential_event(
        parts, credential, Action.VERSION_GONE, now, issued_as=name, version=version.id
    )
    await unit.append(event)
    return True


async def _revoke_leftovers(
    parts: Parts, credential: Credential, versions: Sequence[Version], held: Sequence[Issued]
) -> tuple[str, ...]:
    known = {v.issued.ref for v in versions if v.issued is not None and v.state in _LIVE}
    strangers = [issued for issued in held if issued.ref not in known]
    ours = await _made_by_us(parts, credential, strangers)
    for issued in ours:
        await _note(parts, credential, Action.LEFTOVER_FOUND, issued)
        await parts.kinds[credential.spec.kind].revoke(credential.spec, issued)
        await _note(parts, credential, Action.LEFTOVER_REVOKED, issued)
    return tuple(issued.name for issued in ours)


async def _made_by_us(
    parts: Parts, credential: Credential, strangers: Sequence[Issued]
) -> list[Issued]:
    """Those whose name is the one that a rotation of this credential gave, which its id shows."""
    kind = parts.kinds[credential.spec.kind]
    found = []
    async with parts.store.view() as unit:
        for issued in strangers:
            rotation = await unit.rotation(issued.name[-_ULID_LENGTH:].upper())
            if rotation is None or rotation.credential_id != credential.id:
                continue
            if issued.name == kind.issue_name(credential.spec, rotation.id):
                found.append(issued)
    return found


async def _note(parts: Parts, credential: Credential, action: Action, issued: Issued) -> None:
    event = credential_event(
        parts,
        credential,
        action,
        parts.clock.now(),
        issued_as=issued.name,
        issuer_ref=issued.ref,
    )
    async with parts.store.unit() as unit:
        await unit.append(event)
