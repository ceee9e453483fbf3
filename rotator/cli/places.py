"""`rotator audit places`: where checkpoints and events go, and how far each place has come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rotator.cli.session import opened
from rotator.cli.text import from_now, print_json, say, show
from rotator.domain.ports import LogCursor, Unit
from rotator.engine.audit.stream import cursor_name
from rotator.wiring import Rotator


@dataclass(frozen=True)
class Place:
    """A place that something of the log is sent to. `waiting` counts what it has not had yet."""

    name: str
    position: int
    waiting: int
    failures: int
    next_try_at: datetime | None


async def show_places(*, as_json: bool) -> int:
    """`rotator audit places`."""
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        places = await places_of(rotator)
    if as_json:
        print_json({"places": places})
        return 0
    if not places:
        say(
            "checkpoints go to the daemon's log alone, events nowhere; see ROTATOR_CHECKPOINT_FILE,"
        )
        say("_WEBHOOK and _TARGET, and ROTATOR_EVENTS_FILE and _WEBHOOK")
        return 0
    _table(places, now)
    return 0


async def places_of(rotator: Rotator) -> list[Place]:
    """How far each place has come that the settings name.

    Raises:
        InputError: a setting that names one can't be taken.
    """
    async with rotator.store.view() as unit:
        return [await _place(unit, name) for name in _names(rotator)]


def _names(rotator: Rotator) -> Iterator[str]:
    """The cursors of the places that the settings name."""
    yield from (f"checkpoints:{sink.name}" for sink in rotator.sinks())
    yield from (cursor_name(sink) for sink in rotator.event_sinks())


async def _place(unit: Unit, name: str) -> Place:
    cursor = await unit.log_cursor(name) or LogCursor(name, 0)
    if name.startswith("checkpoints:"):
        waiting = len(await unit.checkpoints(after=cursor.position))
    else:
        waiting = (await unit.log_head()).size - cursor.position
    failing = cursor.resume_at if cursor.failures else None
    return Place(name, cursor.position, waiting, cursor.failures, failing)


def _table(places: list[Place], now: datetime) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("place", "has up to event", "waiting", "state"):
        table.add_column(column)
    for place in places:
        state = "fine"
        if place.failures:
            tries = "try" if place.failures == 1 else "tries"
            state = f"failing, {place.failures} {tries}; next {from_now(place.next_try_at, now)}"
        table.add_row(place.name, str(place.position), str(place.waiting), state)
    show(table)
