"""The commands of `rotator keys`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rotator.cli.failures import INTERRUPTED
from rotator.cli.rotating import stop_on_interrupt
from rotator.cli.session import opened
from rotator.cli.text import print_json, say
from rotator.domain.errors import InputError
from rotator.keys import rewrap_all
from rotator.store.sealing import new_key
from rotator.system import SystemEntropy
from rotator.wiring import Rotator


async def show_keys(*, as_json: bool) -> int:
    """Which keys there are, and what is under them."""
    async with opened(online=True) as rotator:
        under = await rotator.store.sealed_under()
        ids = rotator.store.key_ids
    if as_json:
        print_json({"keys": [{"id": each, "values": under.get(each, 0)} for each in ids]})
        return 0
    for place, each in enumerate(ids):
        role = "seals" if place == 0 else "opens only"
        say(f"{each}  {role}  {_values(under.get(each, 0))}")
    for each in sorted(set(under) - set(ids)):
        say(f"{each}  MISSING  {_values(under[each])} can't be read without it")
    return 0


async def rotate_keys(*, as_json: bool) -> int:
    """Wrap anew, with what is left told."""
    async with opened(online=True) as rotator:

        def tell(done: int) -> None:
            if not as_json and sys.stdout.isatty():
                say(f"{_values(done)} wrapped anew")

        with stop_on_interrupt(rotator.parts, daemon=False):
            done = await rewrap_all(rotator, tell)
        under = await rotator.store.sealed_under()
        stopped = rotator.parts.stopping.is_set()
        if as_json:
            print_json({"rewrapped": done, "values": dict(under), "done": not stopped})
        else:
            _tell(rotator, done, under, stopped=stopped)
    return INTERRUPTED if stopped else 0


def _tell(rotator: Rotator, done: int, under: Mapping[str, int], *, stopped: bool) -> None:
    first, *others = rotator.store.key_ids
    left = sum(count for each, count in under.items() if each != first)
    if stopped:
        say(f"stopped: {_values(done)} wrapped anew, {left} left; run it again to go on")
        return
    say(f"{_values(done)} wrapped anew; all {under.get(first, 0)} are under {first}")
    if others:
        say(f"{', '.join(others)} may go from ROTATOR_KEYS once every worker has the new list;")
        say("checkpoints that it has signed need its public key, see `rotator audit key`")
    else:
        say("to replace that key: ROTATOR_KEYS=NEW,OLD, where `rotator keys new` prints NEW")


def print_new_key() -> int:
    """Print a key, unless somebody could look over a shoulder."""
    if sys.stdout.isatty():
        raise InputError(
            "a key is not shown on a terminal",
            next_step="redirect it into a file or pipe it where keys are kept",
        )
    say(new_key(SystemEntropy().token_bytes))
    return 0


def _values(count: int) -> str:
    return f"{count} value{'' if count == 1 else 's'}"
