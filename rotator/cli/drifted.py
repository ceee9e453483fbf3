"""What was changed behind rotator's back, and a person's word about it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.session import opened
from rotator.cli.text import from_now, moment, one_line, print_json, say, show
from rotator.domain.credential import Credential
from rotator.domain.drift import TargetWatch, Writer
from rotator.domain.events import Action, Event
from rotator.domain.ports import EventQuery
from rotator.domain.protocol import ABSENT
from rotator.engine.drift import settle

if TYPE_CHECKING:
    from rich.table import Table

MOST_CHANGES: Final = 500
"""The newest changes that are looked through for values that rotator never wrote."""


async def show_drift(*, as_json: bool) -> int:
    """`rotator drift`."""
    async with opened() as rotator:
        async with rotator.store.view() as unit:
            known = {c.id: c for c in await unit.credentials()}
            watches = await unit.target_watches()
            query = EventQuery(action=Action.TARGET_CHANGED.value, limit=MOST_CHANGES)
            changed = {_write(logged.event) for logged in await unit.events(query)}
        now = rotator.parts.clock.now()
    drifted = [
        (known[watch.credential_id], watch)
        for watch in watches
        if _is_target(known[watch.credential_id], watch)
        and (watch.drifted or _is_news(known[watch.credential_id], watch, changed))
    ]
    if as_json:
        print_json({"drift": [{"credential": c.name, **watch_data(w)} for c, w in drifted]})
    elif not drifted:
        say("nobody has changed anything behind rotator's back")
    else:
        show(_table(drifted, now))
        for credential, watch in drifted:
            if watch.contested_at is not None:
                say(
                    f"! {credential.name}: rotator and {watch.other} undo each other at "
                    f"{watch.target}; rotator has stopped writing there since "
                    f"{moment(watch.contested_at)}"
                )
                say(f"  once the other one has stopped: rotator drift settle {credential.name}")
    return 0


def _write(event: Event) -> tuple[str | None, str | None, str | None]:
    return event.credential, event.target, event.detail.get("written_at")


def _is_news(
    credential: Credential,
    watch: TargetWatch,
    changed: set[tuple[str | None, str | None, str | None]],
) -> bool:
    """Whether a value that rotator never wrote was changed while it looked on."""
    write = (credential.name, watch.target, watch.at.isoformat())
    return watch.writer is Writer.OTHER and write in changed


def _is_target(credential: Credential, watch: TargetWatch) -> bool:
    return any(target.key == watch.target for target in credential.spec.targets)


def _table(drifted: list[tuple[Credential, TargetWatch]], now: datetime) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("credential", "target", "what", "when", "by", "turns"):
        table.add_column(column, overflow="fold")
    for credential, watch in drifted:
        table.add_row(
            credential.name,
            watch.target,
            _what(watch),
            from_now(watch.at, now),
            watch.who or "unknown",
            str(watch.writes) if watch.writes else "-",
        )
    return table


def _what(watch: TargetWatch) -> str:
    return "taken away" if watch.marker == ABSENT else "changed"


def drift_sentence(watch: TargetWatch, now: datetime) -> str:
    """One line on one target."""
    told = f"{watch.target} was {_what(watch)} by {watch.other} {from_now(watch.at, now)}"
    return f"{told}, rotator has stopped writing" if watch.contested_at is not None else told


def watch_data(watch: TargetWatch) -> dict[str, object]:
    """For scripts. The marker may be a digest of a value, so it is left out."""
    return {
        "target": watch.target,
        "what": _what(watch),
        "at": watch.at,
        "by": watch.who or None,
        "turns": watch.writes,
        "contested_at": watch.contested_at,
    }


async def settle_drift(name: str, reason: str) -> int:
    """`rotator drift settle`."""
    async with opened() as rotator:
        for watch in await settle(rotator.parts, name, one_line(reason)):
            say(f"{watch.target}: rotator may write again")
    say(f"{name} is due now: `rotator rotate now {name}`, or the daemon does it")
    return 0
