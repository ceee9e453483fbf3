"""`rotator rotate approve`: what waits for a person since a hook was told of it, and their word."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rotator.cli.failures import FAILED, PARTLY
from rotator.cli.rotating import carried, told_code
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.text import from_now, one_line, print_json, say, show
from rotator.domain.alert import Alert, AlertState
from rotator.domain.errors import InputError
from rotator.domain.rotation import ENDED
from rotator.engine.alerts.deciding import Waiting, approve, followed, refuse, waiting

if TYPE_CHECKING:
    from rich.table import Table

    from rotator.wiring import Rotator


@dataclass(frozen=True)
class Word:
    """What a person says, beside yes or no."""

    reason: str
    wait: bool
    as_json: bool


async def show_waiting(*, as_json: bool) -> int:
    """`rotator rotate approve` without an id."""
    async with opened() as rotator:
        found = await waiting(rotator.parts)
        now = rotator.parts.clock.now()
    if as_json:
        print_json({"waiting": [_as_data(each.alert, each) for each in found]})
    elif not found:
        say("nothing waits for a person")
    else:
        show(_table(found, now))
        say(f"`rotator rotate approve {found[0].alert.id}` makes the value worthless;")
        say("with --refuse it stays as it is")
    return 0


async def decide(given: str, word: Word, *, no: bool) -> int:
    """`rotator rotate approve ID`, and with `--refuse`."""
    async with opened(online=not no) as rotator:
        parts, reason = rotator.parts, one_line(word.reason)
        alert_id = _full_id(given, await waiting(parts))
        if no:
            alert = await refuse(parts, alert_id, parts.actor, reason)
            if word.as_json:
                print_json(_as_data(alert))
            else:
                say(f"{alert.id}: refused; the value stays as it is")
            return 0
        alert = await approve(rotator.responder(), alert_id, parts.actor, reason)
        daemon = await daemon_is_running(rotator.store)
        if not word.as_json:
            say(f"{alert.id}: approved; {alert.note}")
        if not word.wait:
            return _left(alert, word, daemon=daemon)
        return await _carried_out(rotator, alert, word, daemon=daemon)


def _full_id(given: str, found: Sequence[Waiting]) -> str:
    """The id that begins or ends as it was given, where that is just one; else as it was given."""
    text = given.upper()
    fitting = [
        w.alert.id for w in found if w.alert.id.startswith(text) or w.alert.id.endswith(text)
    ]
    if len(fitting) > 1:
        raise InputError(f"{len(fitting)} alerts fit {given!r}", next_step="give more of the id")
    return fitting[0] if fitting else text


def _left(alert: Alert, word: Word, *, daemon: bool) -> int:
    if word.as_json:
        print_json(_as_data(alert))
    elif not daemon:
        say("no daemon is running: it goes on when `rotator run` is started; IT STILL WORKS")
    return 0 if daemon else PARTLY


async def _carried_out(rotator: Rotator, alert: Alert, word: Word, *, daemon: bool) -> int:
    """Look on, or do it here where no daemon does."""
    code, rotation = 0, None
    if alert.rotation_id is not None:
        async with rotator.store.view() as unit:
            rotation = await unit.rotation(alert.rotation_id)
    async with asyncio.TaskGroup() as group:
        end = group.create_task(followed(rotator.responder(), alert.id, carry=not daemon))
        if rotation is not None and rotation.state not in ENDED:
            last = await carried(rotator, [rotation], daemon=daemon, quiet=word.as_json)
            code = told_code(rotator.parts, last, 0, daemon=daemon, quiet=word.as_json)
    ended = end.result()
    if word.as_json:
        print_json(_as_data(ended))
    else:
        say(f"{ended.id}: {ended.state}; {ended.note}")
    return code if ended.state is AlertState.DONE else max(code, FAILED)


def _table(found: Sequence[Waiting], now: datetime) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("id", "credential", "hook", "told", "lapses", "place", "what it is"):
        table.add_column(name, overflow="fold")
    for each in found:
        alert = each.alert
        table.add_row(
            alert.id,
            each.credential.name if each.credential else "-",
            alert.hook,
            from_now(alert.received_at, now),
            from_now(alert.expires_at, now),
            alert.place or "-",
            alert.note,
        )
    return table


def _as_data(alert: Alert, found: Waiting | None = None) -> dict[str, object]:
    told: dict[str, object] = {
        "id": alert.id,
        "state": alert.state,
        "hook": alert.hook,
        "place": alert.place or None,
        "sort": alert.sort or None,
        "received_at": alert.received_at,
        "expires_at": alert.expires_at,
        "rotation": alert.rotation_id,
        "note": alert.note,
    }
    if found is not None:
        told["credential"] = found.credential.name if found.credential else None
    return told
