"""`rotator rotate retry`, `abort` and `undo`: move one rotation on, or turn it back."""

from __future__ import annotations

from rotator.cli.failures import FAILED, INTERRUPTED, PARTLY
from rotator.cli.rotating import full_id, see_through
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.snapshot import take
from rotator.cli.text import one_line, say
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Rotation, RotationState
from rotator.engine import request
from rotator.wiring import Rotator


async def retry_rotation(rotation_id: str, reason: str, *, wait: bool) -> int:
    """`rotator rotate retry`."""
    async with opened(online=True) as rotator:
        parts = rotator.parts
        rotation = await request.retry(
            parts, await _full_id(rotator, rotation_id), parts.actor, one_line(reason)
        )
        return await _go_on(rotator, rotation, wait=wait)


async def abort_rotation(rotation_id: str, reason: str, *, wait: bool) -> int:
    """`rotator rotate abort`. Being rolled back is what was asked for, so it is success."""
    async with opened(online=True) as rotator:
        parts = rotator.parts
        rotation = await request.abort(
            parts, await _full_id(rotator, rotation_id), parts.actor, one_line(reason)
        )
        if rotation.state is RotationState.ROLLED_BACK:
            say(f"{rotation.credential_name}: rolled back; nothing had to be undone")
            return 0
        return await _turn_back(rotator, rotation, wait=wait)


async def undo_rotation(rotation_id: str, reason: str, *, wait: bool) -> int:
    """`rotator rotate undo`. Being rolled back is what was asked for, so it is success."""
    async with opened(online=True) as rotator:
        parts = rotator.parts
        rotation = await request.undo(
            parts, await _full_id(rotator, rotation_id), parts.actor, one_line(reason)
        )
        say(f"{rotation.credential_name}: its consumers go back to the old value, still valid")
        say("  it is put back at every target, machines restart wave by wave as in a rollout,")
        say("  and then the new value is revoked")
        return await _turn_back(rotator, rotation, wait=wait)


async def _turn_back(rotator: Rotator, rotation: Rotation, *, wait: bool) -> int:
    code = await _go_on(rotator, rotation, wait=wait)
    if not wait or code == INTERRUPTED:
        return code
    async with rotator.store.view() as unit:
        rotation = await request.known_rotation(unit, rotation.id)
        refusals = await unit.events(
            EventQuery(rotation_id=rotation.id, action=Action.ROTATION_ABORTED.value, limit=1)
        )
    if rotation.state is RotationState.ROLLED_BACK:
        return 0
    cause = refusals[0].event.detail.get("cause") if refusals else None
    if cause:
        say(f"  it could not be turned back: {cause}")
    return PARTLY if code == PARTLY else FAILED


async def _go_on(rotator: Rotator, rotation: Rotation, *, wait: bool) -> int:
    daemon = await daemon_is_running(rotator.store)
    if not wait:
        say(
            f"{rotation.credential_name}: rotation {rotation.id} is taken up "
            + _when(daemon=daemon)
        )
        return 0
    before = await take(rotator.store, [rotation.id], rotator.parts.clock.now())
    return await see_through(rotator, [rotation], 0, daemon=daemon, as_json=False, before=before)


def _when(*, daemon: bool) -> str:
    if daemon:
        return "by the running daemon within seconds"
    return "when `rotator run` is started: no daemon is running"


async def _full_id(rotator: Rotator, given: str) -> str:
    """The id of a rotation from its beginning or its end, where that names just one."""
    async with rotator.store.view() as unit:
        return await full_id(unit, given)
