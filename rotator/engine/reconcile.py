"""Hold the inventory against the issuers' truth: adopt, notice what is gone, find leftovers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rotator.domain.credential import Credential, Issued, Version, VersionState
from rotator.domain.events import Action
from rotator.domain.rotation import ACTIVE, RotationState
from rotator.engine.begin import adoption_event, find_adoptable
from rotator.engine.inventory import credential_event, first_due
from rotator.engine.parts import Parts

_LIVE = (VersionState.PENDING, VersionState.CURRENT, VersionState.RETIRING)


@dataclass(frozen=True)
class Reconciliation:
    """What a look at one credential's issuer showed. Names as the issuer has them."""

    adopted: str | None = None
    gone: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


async def reconcile(parts: Parts, credential: Credential) -> Reconciliation:
    """Compare one credential with its issuer. Reads outside, writes only the inventory.

    Leftovers of our own ended rotations are revoked (P2); values of unknown origin are told and
    left alone. A credential with a rotation under way is left to it.
    """
    async with parts.store.view() as unit:
        busy = await unit.rotations(
            credential_id=credential.id, states=ACTIVE | {RotationState.PARKED}, limit=1
        )
        versions = await unit.versions(credential.id)
    if busy:
        return Reconciliation()
    if not versions:
        return await _adopt(parts, credential)
    held = await parts.kinds[credential.spec.kind].holdings(credential.spec)
    gone = await _note_gone(parts, credential, versions, held)
    if credential.spec.observed:
        return Reconciliation(gone=gone)
    leftovers = await _revoke_leftovers(parts, credential, versions, held)
    return Reconciliation(gone=gone, leftovers=leftovers)


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


async def _note_gone(
    parts: Parts, credential: Credential, versions: Sequence[Version], held: Sequence[Issued]
) -> tuple[str, ...]:
    """A current value that the issuer no longer holds: somebody revoked it. Rotate at once."""
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
    names = tuple(v.issued.name for v in gone if v.issued)
    async with parts.store.unit() as unit:
        if credential.due_at is None or credential.due_at > now:
            await unit.save_credential(replace(credential, due_at=now, updated_at=now))
            event = credential_event(
                parts, credential, Action.VERSION_GONE, now, issued_as=", ".join(names)
            )
            await unit.append(event)
    return names


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
    """Those whose name carries the id of a rotation of this credential that has ended."""
    if not strangers:
        return []
    async with parts.store.view() as unit:
        rotations = await unit.rotations(credential_id=credential.id, limit=200)
    kind = parts.kinds[credential.spec.kind]
    names = {kind.issue_name(credential.spec, rotation.id) for rotation in rotations}
    return [issued for issued in strangers if issued.name in names]


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
