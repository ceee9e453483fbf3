"""`rotator audit`: the log as a table, as JSON lines, as CSV."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from rotator import __version__
from rotator.cli.event_filters import Filters, to_query
from rotator.cli.guarding import values_shown
from rotator.cli.session import opened
from rotator.cli.text import moment, print_json, say, show
from rotator.domain.errors import InputError
from rotator.domain.event_fields import typed_detail
from rotator.domain.events import LEAF_COLUMNS, LoggedEvent
from rotator.domain.ports import EventQuery, Store
from rotator.engine.audit.stream import event_line
from rotator.engine.audit.verify import Verification

if TYPE_CHECKING:
    from rich.table import Table

PAGE: Final = 1000
FIRST_PAGE: Final = 50
LONGEST_TABLE: Final = 10_000
FOLLOW_SECONDS: Final = 1.0
ID_LENGTH: Final = 26
COLUMNS: Final = ("sequence", *LEAF_COLUMNS, "previous", "hash")


async def show_events(filters: Filters, output: str, *, follow: bool) -> int:
    """`rotator audit`."""
    async with opened() as rotator:
        filters = await _with_whole_ids(rotator.store, filters)
        query = to_query(filters, rotator.parts.clock.now())
        if output == "table" and not follow:
            await _show_table(rotator.store, query, filters.limit)
            return 0
        writer = _Lines(output, await _origin(rotator.store), at_once=follow)
        # Events were looked at before they were kept, and what is exported has to verify.
        with nullcontext() if output == "table" else values_shown():
            if follow:
                await _follow(rotator.store, query, filters.limit or FIRST_PAGE, writer)
            async for logged in _all(rotator.store, query, filters.limit):
                writer.write(logged)
            sys.stdout.flush()
    return 0


async def _show_table(store: Store, query: EventQuery, limit: int | None) -> None:
    wanted = limit or FIRST_PAGE
    if wanted > LONGEST_TABLE:
        raise InputError(
            f"a table has at most {LONGEST_TABLE} lines",
            where="--limit",
            next_step="use --format jsonl or csv for exports",
        )
    found = await _page(store, replace(query, limit=wanted))
    if not found:
        say("no event fits")
        return
    show(events_table(found))
    if len(found) == wanted and found[-1].sequence > 1:
        say(f"older ones: --before {found[-1].sequence}")


async def _with_whole_ids(store: Store, filters: Filters) -> Filters:
    """The beginning or end of an id will do here as elsewhere.

    Raises:
        InputError: nothing fits it, or several do.
    """
    from rotator.cli.rollouts import known_rollout
    from rotator.cli.rotating import full_id

    rotation, rollout = filters.rotation, filters.rollout
    async with store.view() as unit:
        if rotation is not None and len(rotation) < ID_LENGTH:
            rotation = await full_id(unit, rotation)
        if rollout is not None and len(rollout) < ID_LENGTH:
            rollout = (await known_rollout(unit, rollout)).id
    return replace(filters, rotation=rotation, rollout=rollout)


async def _origin(store: Store) -> str:
    async with store.view() as unit:
        return (await unit.log_head()).origin


async def _page(store: Store, query: EventQuery) -> Sequence[LoggedEvent]:
    async with store.view() as unit:
        return await unit.events(query)


async def _all(store: Store, query: EventQuery, limit: int | None) -> AsyncIterator[LoggedEvent]:
    """Page by page: memory stays flat, and what is written meanwhile moves no page."""
    left = limit
    while left is None or left > 0:
        wanted = PAGE if left is None else min(PAGE, left)
        page = await _page(store, replace(query, limit=wanted))
        for logged in page:
            yield logged
        if len(page) < wanted:
            return
        left = None if left is None else left - len(page)
        query = replace(query, before=page[-1].sequence)


async def _follow(store: Store, query: EventQuery, limit: int, writer: _Lines) -> None:
    """The newest events in order, and then new ones, until somebody stops it."""
    found = list(await _page(store, replace(query, limit=limit)))
    for logged in reversed(found):
        writer.write(logged)
    last = found[0].sequence if found else query.after or 0
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        async with store.view() as unit:
            end = (await unit.log_head()).size
        new: list[LoggedEvent] = []
        fresh = replace(query, after=last, before=end + 1)
        async for logged in _all(store, fresh, None):
            new.append(logged)
        for logged in reversed(new):
            writer.write(logged)
        last = max(last, end)


class _Lines:
    """Prints events one a line."""

    def __init__(self, output: str, origin: str, *, at_once: bool) -> None:
        self._at_once = at_once
        self._output = output
        self._origin = origin
        self._csv = _csv_writer() if output == "csv" else None

    def _print(self, line: str) -> None:
        print(line, flush=self._at_once)  # noqa: T201

    def write(self, logged: LoggedEvent) -> None:
        if self._output == "table":
            self._print(line_of(logged))
        elif self._output == "ocsf":
            self._print(event_line(logged, self._origin, __version__))
        elif self._csv is None:
            self._print(json_line(as_row(logged)))
        else:
            self._csv.writerow({key: csv_cell(value) for key, value in as_row(logged).items()})


def line_of(logged: LoggedEvent) -> str:
    """An event on one line."""
    event = logged.event
    about, detail = told_of(logged)
    what = f"{event.action.value} {event.outcome.value}"
    return f"{logged.sequence} {moment(event.at)}  {what:30} {about}  {event.actor}  {detail}"


async def show_event(sequence: int, *, as_json: bool) -> int:
    """`rotator audit show`."""
    async with opened() as rotator, rotator.store.view() as unit:
        logged = await unit.event_at(sequence)
        archives, size = await unit.archives(), (await unit.log_head()).size
    if logged is None:
        kept = next((a for a in archives if a.first <= sequence <= a.last), None)
        if kept is not None:
            raise InputError(f"event {sequence} was archived in {kept.file}")
        raise InputError(f"there is no event {sequence}: the log has {size}")
    row = as_row(logged)
    if as_json:
        print_json(row)
        return 0
    for key, value in row.items():
        if isinstance(value, dict):
            for name, each in value.items():
                say(f"  detail {name:13} {each}")
        elif value is not None and value != "":
            say(f"{key:15} {value}")
    return 0


def as_row(logged: LoggedEvent) -> dict[str, object]:
    """An event as a flat record of JSON's types, for exports."""
    event, actor = logged.event, logged.event.actor
    return {
        "sequence": logged.sequence,
        "version": logged.version,
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "action": event.action.value,
        "outcome": event.outcome.value,
        "actor_kind": actor.kind,
        "actor_name": actor.name,
        "actor_host": actor.host,
        "actor_uid": actor.uid,
        "actor_machine": actor.machine,
        "actor_region": actor.region,
        "reason": event.reason,
        "credential": event.credential,
        "kind": event.kind,
        "organization": event.organization,
        "app": event.app,
        "target": event.target,
        "machine": event.machine,
        "rotation_id": event.rotation_id,
        "rollout_id": event.rollout_id,
        "request_id": event.request_id,
        "detail": typed_detail(event.detail),
        "previous": logged.previous,
        "hash": logged.hash,
    }


def json_line(row: dict[str, object]) -> str:
    """A record as one line of JSON, by the encoder that is many times faster where it can."""
    try:
        return orjson.dumps(row).decode()
    except TypeError:  # a number of more than 64 bits
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _csv_writer() -> csv.DictWriter[str]:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    return writer


def csv_cell(value: object) -> str:
    """A cell that a spreadsheet takes for text, also where somebody's reason begins with `=`."""
    text = "" if value is None else _detail(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _detail(detail: dict[str, object]) -> str:
    return "; ".join(f"{key}={value}" for key, value in detail.items())


def events_table(events: Sequence[LoggedEvent]) -> Table:
    """Events for people, newest first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("#", "at", "action", "outcome", "about", "by", "detail"):
        table.add_column(column, no_wrap=column not in ("about", "by", "detail"), overflow="fold")
    for logged in events:
        event = logged.event
        about, detail = told_of(logged)
        table.add_row(
            str(logged.sequence),
            moment(event.at),
            event.action.value,
            event.outcome.value,
            Text(about),
            Text(str(event.actor)),
            Text(detail),
        )
    return table


def told_of(logged: LoggedEvent) -> tuple[str, str]:
    """What an event is about, and what is to be said of it."""
    event = logged.event
    subject = (event.credential, event.app, event.target, event.machine)
    about = " ".join(part for part in subject if part)
    told = {key: value for key, value in event.detail.items() if key != "checkpoint"}
    if "rule" in told:
        found = f"{told.get('severity', '')} {told['rule']}".strip()
        return told.get("subject", about), f"{found}: {event.reason}" if event.reason else found
    evidence = told.pop("evidence", None)
    detail = evidence or _detail({key: value for key, value in told.items() if value})
    if event.reason and event.action.value.startswith(("rotation.", "credential.")):
        detail = f"{event.reason}; {detail}" if detail else event.reason
    return about, detail


def verification_lines(verification: Verification) -> Sequence[str]:
    """What a verification found, for people."""
    fault = verification.fault
    if fault is not None:
        return [
            f"the audit log is damaged at event {fault.sequence} ({fault.damage}): {fault.message}",
            "keep the database as it is, and compare it with a backup, an archive or an export",
        ]
    whole = f"the audit log is whole: {verification.events} events"
    if verification.since:
        whole += f", those from {verification.since + 1} on verified now"
    signed = verification.checkpoints
    lines = [f"{whole}, {signed} signed checkpoint{'' if signed == 1 else 's'}"]
    if verification.archived:
        lines.append(f"events up to {verification.archived} are in archives: see --archive")
    if verification.outside:
        lines.append(f"checkpoints from elsewhere that hold: {verification.outside}")
    if verification.unknown_keys:
        names = ", ".join(verification.unknown_keys)
        lines.append(f"not checked: signatures of keys that are not known here ({names})")
    lines.append(f"head {verification.head or 'none'}")
    lines.append(f"root {verification.root}")
    return lines
