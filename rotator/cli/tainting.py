"""`rotator taint`: what is lost with a credential, and its replacement wave by wave."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Final

from rotator.cli.failures import INTERRUPTED, PARTLY
from rotator.cli.rotating import see_through
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.text import console, moment, one_line, print_json, say
from rotator.domain.rotation import Rotation
from rotator.domain.taint import Suspect, TaintState
from rotator.engine.taint import Standing, advance_taints, standing_taints, suspects_of, taint
from rotator.wiring import Rotator

_LOOK_SECONDS: Final = 1.0


async def taint_credential(
    name: str, reason: str, *, dry_run: bool, wait: bool, as_json: bool
) -> int:
    """`rotator taint NAME`. 3 where something of it is not replaced yet, or can't be."""
    async with opened(online=not dry_run) as rotator:
        parts = rotator.parts
        daemon = await daemon_is_running(rotator.store)
        if not daemon and rotator.settings.manifest.exists():
            await rotator.sync()
        if dry_run:
            _tell(await suspects_of(parts, name), as_json=as_json)
            return 0
        found = await taint(parts, name, parts.actor, one_line(reason))
        code = PARTLY if any(each.obstacle for each in found) else 0
        # For scripts, what happens goes to standard error, and one document comes in the end.
        with redirect_stdout(sys.stderr if as_json else sys.stdout):
            _tell(found, as_json=False)
            if wait:
                code = max(code, await _see_through(rotator, daemon=daemon))
            else:
                await _leave_to_others(rotator, daemon=daemon)
        if as_json:
            _tell(found, as_json=True)
        return code


async def _leave_to_others(rotator: Rotator, *, daemon: bool) -> None:
    await advance_taints(rotator.parts)
    if not daemon:
        say("no daemon is running: it goes on when `rotator run` is started")


def _tell(found: Sequence[Suspect], *, as_json: bool) -> None:
    if as_json:
        print_json({"suspects": [_suspect_data(each) for each in found]})
        return
    for line in _lines(found):
        say(line)


def _lines(found: Sequence[Suspect]) -> Iterator[str]:
    width = max(40, console().width)
    wave = None
    for each in found:
        if each.wave != wave:
            wave = each.wave
            yield f"wave {wave}" if wave else "leaked"
        spec = each.credential.spec
        yield f"  {spec.name}  ({spec.kind})"
        why = each.because + (f"; not rotated: {each.obstacle}" if each.obstacle else "")
        yield from (f"    {part}" for part in textwrap.wrap(why, width - 4))
    rotated = sum(each.obstacle is None for each in found)
    waves = 1 + (wave or 0)
    yield (
        f"{rotated} of {len(found)} to replace, in {waves} {'wave' if waves == 1 else 'waves'}, "
        "without an overlap"
    )
    if any(each.credential.spec.kind == "org-token" for each in found):
        note = (
            "an organisation token may have made tokens that nobody here knows of, and those stay "
            "when it is revoked: look through `rotator discover --kind token --untracked`"
        )
        yield from textwrap.wrap(note, width)


def _suspect_data(each: Suspect) -> object:
    return {
        "credential": each.credential.name,
        "kind": each.credential.spec.kind,
        "wave": each.wave,
        "because": each.because,
        "not_rotated": each.obstacle,
    }


async def _see_through(rotator: Rotator, *, daemon: bool) -> int:
    """Follow wave after wave, done by a daemon or here, until none is left or one is stuck."""
    parts = rotator.parts
    seen: set[str] = set()
    worst = 0
    while not parts.stopping.is_set():
        await advance_taints(parts)
        asked = await _asked(rotator, seen)
        if asked:
            seen |= {rotation.id for rotation in asked}
            code = await see_through(rotator, asked, 0, daemon=daemon, as_json=False)
            worst = max(worst, code)
            continue
        rest = await standing_taints(parts)
        if not rest:
            return worst
        stuck = [each for each in rest if each.taint.state is TaintState.ASKED]
        if stuck or worst:
            _tell_stuck(rest)
            return PARTLY
        await _pause(rotator)
    return INTERRUPTED


async def _asked(rotator: Rotator, seen: set[str]) -> Sequence[Rotation]:
    """Rotations of open taints that have not been followed yet."""
    async with rotator.store.view() as unit:
        ids = [row.rotation_id for row in await unit.open_taints() if row.rotation_id]
        found = [await unit.rotation(each) for each in ids if each not in seen]
    return [rotation for rotation in found if rotation is not None]


async def _pause(rotator: Rotator) -> None:
    """A credential of the next wave is busy with a rotation of its own."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await rotator.parts.stopping.wait()
    except TimeoutError:
        return


def _tell_stuck(rest: Sequence[Standing]) -> None:
    for each in rest:
        if each.taint.state in (TaintState.ASKED, TaintState.WAITING):
            say(f"! {each.credential.name}: not replaced yet ({each.taint.state.value})")
    say("next: `rotator taint` lists them; what is held up goes on when the waves above are done")


async def show_taints(*, as_json: bool) -> int:
    """`rotator taint` without a name: what is under way."""
    async with opened() as rotator:
        found = await standing_taints(rotator.parts)
        states = {}
        async with rotator.store.view() as unit:
            for each in found:
                if each.taint.rotation_id:
                    rotation = await unit.rotation(each.taint.rotation_id)
                    states[each.taint.rotation_id] = rotation.state.value if rotation else "-"
    if as_json:
        print_json({"taints": [_standing_data(each, states) for each in found]})
        return 0
    if not found:
        say("nothing is tainted, or all of it is replaced")
    for each in found:
        if each.taint.position == 0:
            why = f": {each.taint.reason}" if each.taint.reason else ""
            say(
                f"taint {each.taint.id} of {each.credential.name}, {moment(each.taint.asked_at)} "
                f"by {each.taint.actor}{why}"
            )
        asked = each.taint.rotation_id
        told = f", rotation {asked} is {states[asked]}" if asked else ""
        say(f"  wave {each.taint.wave}  {each.credential.name}: {each.taint.state.value}{told}")
    return 0


def _standing_data(each: Standing, states: dict[str, str]) -> object:
    return {
        "taint": each.taint.id,
        "credential": each.credential.name,
        "wave": each.taint.wave,
        "because": each.taint.because,
        "state": each.taint.state,
        "rotation": each.taint.rotation_id,
        "rotation_state": states.get(each.taint.rotation_id or ""),
        "asked_at": each.taint.asked_at,
        "by": str(each.taint.actor),
        "reason": each.taint.reason,
    }
