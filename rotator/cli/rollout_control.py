"""`rotator rollout pause`, `resume` and `abort`: ask for it, and say what happens next."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.cli.rollout_view import RolloutView, read_rollout
from rotator.cli.rollouts import known_rollout
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.text import one_line, say
from rotator.domain.rotation import ENDED, Mode, RestartState, Rotation
from rotator.engine.rollouts import control
from rotator.wiring import Rotator


async def pause_rollout(given: str, reason: str) -> int:
    """`rotator rollout pause`."""
    async with opened() as rotator:
        rollout_id = await _id(rotator, given)
        await control.pause(rotator.parts, rollout_id, rotator.parts.actor, one_line(reason))
        view = await _view(rotator, rollout_id)
    name = view.rollout.id
    say(f"rollout {name} of {view.rollout.app} stops before its next wave")
    in_hand = [each.machine_id for each in view.in_hand]
    if in_hand:
        say(f"  finished first: {', '.join(in_hand)}, which it has in hand")
    say("  then nothing more is touched; if no wave is left, it just ends")
    if not any(each.mode is Mode.REVOKE_FIRST for each in view.served):
        say("  meanwhile the old and the new value are both valid")
    say(f"next: `rotator rollout resume {name}` or `rotator rollout abort {name}`")
    return 0


async def resume_rollout(given: str, reason: str) -> int:
    """`rotator rollout resume`."""
    async with opened() as rotator:
        rollout_id = await _id(rotator, given)
        failed = _failed(await _view(rotator, rollout_id))
        await control.resume(rotator.parts, rollout_id, rotator.parts.actor, one_line(reason))
        view = await _view(rotator, rollout_id)
        daemon = await daemon_is_running(rotator.store)
    say(f"rollout {view.rollout.id} of {view.rollout.app} goes on")
    if failed:
        say(f"  looked at again first: {', '.join(failed)}, which had failed")
    _say_who(_active(view), daemon=daemon)
    say(f"next: `rotator rollout watch {view.rollout.id}`")
    return 0


async def abort_rollout(given: str, reason: str) -> int:
    """`rotator rollout abort`."""
    async with opened() as rotator:
        rollout_id = await _id(rotator, given)
        turned = await control.abort_rollout(
            rotator.parts, rollout_id, rotator.parts.actor, one_line(reason)
        )
        view = await _view(rotator, rollout_id)
        daemon = await daemon_is_running(rotator.store)
    say(f"rollout {view.rollout.id} of {view.rollout.app} is turned back")
    in_hand = [each.machine_id for each in view.in_hand]
    if in_hand:
        say(f"  finished first: {', '.join(in_hand)}, which it has in hand")
    rotations = [each for each in view.served if each.id in set(turned)]
    for rotation in rotations:
        say(f"  {rotation.credential_name}: the old value is put back (rotation {rotation.id})")
    took = sum(each.updated_at is not None for each in view.restarts)
    machines = "1 machine has" if took == 1 else f"{took} machines have"
    say(f"  {machines} taken the new value so far, and restart wave by wave on the old one")
    say("  then the new value is revoked")
    _say_who(rotations, daemon=daemon)
    for rotation in rotations:
        say(f"next: `rotator rotate show {rotation.id}`")
    return 0


async def _id(rotator: Rotator, given: str) -> str:
    async with rotator.store.view() as unit:
        return (await known_rollout(unit, given)).id


async def _view(rotator: Rotator, rollout_id: str) -> RolloutView:
    async with rotator.store.view() as unit:
        rollout = await unit.rollout(rollout_id)
        assert rollout is not None
        return await read_rollout(unit, rollout, rotator.parts.clock.now())


def _failed(view: RolloutView) -> Sequence[str]:
    return [each.machine_id for each in view.restarts if each.state is RestartState.FAILED]


def _active(view: RolloutView) -> Sequence[Rotation]:
    return [each for each in view.served if each.state not in ENDED]


def _say_who(rotations: Sequence[Rotation], *, daemon: bool) -> None:
    """Who does the work, and when."""
    if daemon:
        say("  the running daemon takes it up within seconds")
        return
    say("  no daemon is running: it goes on where a terminal works on it, with `rotator run`, or")
    for rotation in rotations:
        say(f"  with `rotator rotate retry {rotation.id}`, which does the work here")
