"""A value was found where it should not be: which credential is it, and what is done at once."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final

from rotator.domain.credential import Credential, Version, VersionState
from rotator.domain.errors import Busy, InputError, RetryLater, RotatorError
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.leak import Course, Found, FoundTokens, course
from rotator.domain.ports import Unit
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Mode, Rotation, RotationState, StepName
from rotator.domain.secret import Secret
from rotator.engine.inventory import credential_event
from rotator.engine.parts import Parts
from rotator.engine.request import Wish, abort, queue

LOOK_SECONDS: Final = 0.5
"""How often a leaked value is tried until it is refused."""
PATIENCE: Final = timedelta(seconds=8)
"""How long a rotation may take to revoke a leaked value before it is revoked beside it."""
_OVER: Final = frozenset({RotationState.SUCCEEDED, RotationState.ROLLED_BACK})
REFUSAL_PATIENCE: Final = timedelta(seconds=60)
"""How long Fly may take to refuse a revoked token everywhere."""


@dataclass(frozen=True)
class Response:
    """What was decided and begun. `rotation` is the one that replaces the value, where one does."""

    credential: Credential
    version: Version
    course: Course
    rotation: Rotation | None


Alongside = Callable[[Unit, Course, Rotation | None], Awaitable[None]]


async def _nothing_beside(_unit: Unit, _course: Course, _rotation: Rotation | None) -> None:
    """The caller keeps nothing."""


async def same_value(parts: Parts, value: Secret) -> tuple[Credential, Version] | None:
    """The version whose sealed value this text is, for values that are no tokens. No call."""
    wanted = value.reveal().encode()
    async with parts.store.view() as unit:
        for credential in await unit.credentials():
            for version in await unit.versions(credential.id):
                held = await unit.unseal(version.id) if version.sealed else None
                if held is not None and hmac.compare_digest(held.reveal().encode(), wanted):
                    return credential, version
    return None


async def respond(
    parts: Parts,
    credential: Credential,
    version: Version,
    reason: str,
    how: str,
    *,
    replaced_with_others: bool = False,
    also: Alongside = _nothing_beside,
) -> Response:
    """Decide, and begin what the database alone can begin, in one transaction: a replacement, an
    end of the overlap. `how` says for the audit log in what way the version was recognised.

    A replacement is not begun where a sweep will do it, `replaced_with_others`. `also` writes what
    the caller keeps of it, in the same transaction.
    """
    now = parts.clock.now()
    async with parts.store.unit() as unit:
        version = await unit.version(version.id)
        newest = await unit.rotations(credential_id=credential.id, limit=1)
        decided = course(version, credential.status, newest[0] if newest else None)
        rotation = newest[0] if newest and newest[0].state not in _OVER else None
        event = credential_event(
            parts, credential, Action.LEAK_REPORTED, now, version=version.id, evidence=how
        )
        await unit.append(replace(event, reason=reason))
        if decided is Course.ROTATE and not replaced_with_others:
            lists = parts.kinds[credential.spec.kind].issuer_lists
            mode = Mode.REVOKE_FIRST if lists else Mode.EMERGENCY
            wish = Wish(parts.actor, reason, ReasonCode.LEAKED.value, mode)
            rotation = await queue(parts, unit, credential, wish)
        elif decided is Course.HASTEN and not await _hastened(parts, unit, version):
            decided = Course.REVOKE
        await also(unit, decided, rotation)
    if decided is Course.TURN_BACK:
        decided = await _turned_back(parts, version, reason)
    return Response(credential, version, decided, rotation)


async def _hastened(parts: Parts, unit: Unit, version: Version) -> bool:
    """Let the rotation that waits for the overlap of this version revoke it now."""
    now = parts.clock.now()
    waiting = await unit.rotations(
        credential_id=version.credential_id, states=frozenset({RotationState.RETIRING})
    )
    for rotation in waiting:
        if rotation.old_version_id != version.id:
            continue
        steps = [s for s in await unit.steps(rotation.id) if s.name is StepName.RETIRE]
        hastened = [replace(s, not_before=now) for s in steps if not s.ended]
        try:
            await unit.reopen_rotation(replace(rotation, resume_at=now), hastened)
        except Busy:
            return False
        await unit.save_version(replace(version, revoke_at=now))
        return True
    return False


async def _turned_back(parts: Parts, version: Version, reason: str) -> Course:
    if version.rotation_id is None:
        return Course.REVOKE
    try:
        await abort(parts, version.rotation_id, parts.actor, reason)
    except (InputError, Busy):
        return Course.REVOKE
    return Course.TURN_BACK


async def revoke_beside(parts: Parts, response: Response, reason: str) -> str:
    """Revoke a tracked version at its issuer, without waiting for a rotation of it.

    What the version is in the inventory is left to its rotations; where none will come (the
    manifest no longer names the credential), it becomes revoked here. A repeat is a success.
    """
    credential, version = response.credential, response.version
    if version.issued is None or not version.issued.ref:
        raise InputError(
            f"the issuer's id of that value of {credential.name} is not known",
            next_step="revoke it where it was made",
        )
    issued, kind = version.issued, parts.kinds[credential.spec.kind]
    detail = {"version": version.id, "issuer_ref": issued.ref}

    async def revoke() -> str:
        return (await kind.revoke(credential.spec, issued)).statement

    async def commit(unit: Unit) -> None:
        standing = await unit.version(version.id)
        if standing.state is VersionState.CURRENT and response.rotation is None:
            ended = replace(standing, state=VersionState.REVOKED, ended_at=parts.clock.now())
            await unit.save_version(ended)
            await unit.erase(standing.id)

    about = partial(_event, parts, credential, reason)
    return await _journaled(parts, about, detail, revoke, commit)


async def revoke_found(
    parts: Parts, tokens: FoundTokens, value: Secret, found: Found | None, reason: str
) -> str:
    """Revoke a token that rotator does not track, journaled like everything else."""
    detail = {"issuer_ref": found.ref, "issued_as": found.name} if found else {}
    about = partial(_event, parts, None, reason)
    return await _journaled(parts, about, detail, lambda: tokens.revoke(value, found))


async def _nothing_more(_: Unit) -> None:
    """Nothing of the inventory changes with it."""


async def _journaled(
    parts: Parts,
    about: Callable[[Outcome, dict[str, str]], Event],
    detail: dict[str, str],
    revoke: Callable[[], Awaitable[str]],
    commit: Callable[[Unit], Awaitable[None]] = _nothing_more,
) -> str:
    """A revocation between its intent and its outcome in the log (P7); gives what shows it."""
    async with parts.store.unit() as unit:
        await unit.append(about(Outcome.INTENT, detail))
    try:
        how = await revoke()
    except RotatorError as error:
        async with parts.store.unit() as unit:
            await unit.append(about(Outcome.FAILED, detail | {"error": type(error).__name__}))
        raise
    async with parts.store.unit() as unit:
        await commit(unit)
        await unit.append(about(Outcome.OK, detail | {"evidence": how}))
    return how


async def refused(parts: Parts, tokens: FoundTokens, value: Secret, within: timedelta) -> bool:
    """Try the value until Fly refuses it, or the time is over. What can't be asked now is asked
    again."""
    deadline = parts.clock.now() + within
    while True:
        try:
            if await tokens.accepted(value) is None:
                return True
        except RetryLater:
            pass
        if parts.clock.now() >= deadline or parts.stopping.is_set():
            return False
        await parts.clock.sleep(LOOK_SECONDS)


async def revoked(parts: Parts, version: Version) -> bool:
    """Whether the inventory says by now that it is."""
    async with parts.store.view() as unit:
        standing = await unit.version(version.id)
    return standing.state in (VersionState.REVOKED, VersionState.DISCARDED)


async def organizations_of(parts: Parts, more: Sequence[str] = ()) -> Sequence[str]:
    """The organisations of everything that is tracked, and these."""
    async with parts.store.view() as unit:
        known = [c.spec.organization for c in await unit.credentials()]
    return tuple(dict.fromkeys([*more, *known]))


def _event(
    parts: Parts,
    credential: Credential | None,
    reason: str,
    outcome: Outcome,
    detail: dict[str, str],
) -> Event:
    now, action = parts.clock.now(), Action.LEAK_REVOKED
    if credential is not None:
        event = credential_event(parts, credential, action, now, **detail)
        return replace(event, outcome=outcome, reason=reason)
    return Event(
        action=action, outcome=outcome, actor=parts.actor, at=now, reason=reason, detail=detail
    )
