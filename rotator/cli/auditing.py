"""`rotator audit`: the log as a table, as JSON lines, as CSV; and its verification."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.failures import FAILED
from rotator.cli.session import opened
from rotator.cli.text import moment, plain, print_json, print_json_line, say, show
from rotator.domain.durations import parse_duration
from rotator.domain.errors import InputError
from rotator.domain.events import Action, LoggedEvent, Outcome
from rotator.domain.ports import EventQuery, Store
from rotator.engine.checkpoint import Verification, verify_log

if TYPE_CHECKING:
    from rich.table import Table

PAGE: Final = 1000
COLUMNS: Final = (
    "sequence",
    "at",
    "action",
    "outcome",
    "actor",
    "credential",
    "kind",
    "organization",
    "app",
    "target",
    "machine",
    "rotation_id",
    "rollout_id",
    "request_id",
    "reason",
    "detail",
    "previous",
    "hash",
)


@dataclass(frozen=True)
class Filters:
    """What the options say."""

    app: str | None = None
    kind: str | None = None
    credential: str | None = None
    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    rotation: str | None = None
    since: str | None = None
    until: str | None = None
    limit: int = 50


async def show_events(filters: Filters, output: str) -> int:
    """`rotator audit`."""
    async with opened() as rotator:
        query = to_query(filters, rotator.parts.clock.now())
        if output == "table":
            found = await _first(rotator.store, query)
            if not found:
                say("no event fits")
            else:
                show(events_table(found))
            return 0
        writer = _csv_writer() if output == "csv" else None
        left = query.limit
        while left > 0:
            async with rotator.store.view() as unit:
                page = await unit.events(replace(query, limit=min(PAGE, left)))
            for logged in page:
                row = as_row(logged)
                if writer is None:
                    print_json_line(row)
                else:
                    writer.writerow({key: _cell(value) for key, value in row.items()})
            if len(page) < min(PAGE, left):
                break
            left -= len(page)
            query = replace(query, before=page[-1].sequence)
    return 0


async def _first(store: Store, query: EventQuery) -> Sequence[LoggedEvent]:
    async with store.view() as unit:
        return await unit.events(query)


def to_query(filters: Filters, now: datetime) -> EventQuery:
    """The options as a query.

    Raises:
        InputError: a time, an action or an outcome is not one.
    """
    if filters.outcome is not None and filters.outcome not in set(Outcome):
        known = ", ".join(Outcome)
        raise InputError(f"{filters.outcome!r} is none of {known}", where="--outcome")
    if filters.action is not None and not _is_action(filters.action):
        raise InputError(
            f"there is no action {filters.action!r}",
            where="--action",
            next_step=f"for example {Action.VERSION_REVOKED}; all: {', '.join(Action)}",
        )
    return EventQuery(
        app=filters.app,
        kind=filters.kind,
        credential=filters.credential,
        actor=filters.actor,
        action=filters.action,
        outcome=filters.outcome,
        rotation_id=filters.rotation.upper() if filters.rotation else None,
        since=_instant(filters.since, now, "--since"),
        until=_instant(filters.until, now, "--until"),
        limit=filters.limit,
    )


def _is_action(text: str) -> bool:
    return any(action == text or action.startswith(f"{text}.") for action in Action)


def _instant(text: str | None, now: datetime, option: str) -> datetime | None:
    if text is None:
        return None
    if re.fullmatch(r"(\d+[wdhms])+", text):
        return now - parse_duration(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no time",
            where=option,
            next_step="for example 7d, 2026-11-01 or 2026-11-01T09:00Z",
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def as_row(logged: LoggedEvent) -> dict[str, object]:
    """An event as a flat record, for exports."""
    event = logged.event
    values = {
        "sequence": logged.sequence,
        "at": event.at,
        "action": event.action,
        "outcome": event.outcome,
        "actor": str(event.actor),
        "credential": event.credential,
        "kind": event.kind,
        "organization": event.organization,
        "app": event.app,
        "target": event.target,
        "machine": event.machine,
        "rotation_id": event.rotation_id,
        "rollout_id": event.rollout_id,
        "request_id": event.request_id,
        "reason": event.reason,
        "detail": event.detail,
        "previous": logged.previous,
        "hash": logged.hash,
    }
    return {key: plain(value) for key, value in values.items()}


def _csv_writer() -> csv.DictWriter[str]:
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    return writer


def _cell(value: object) -> str:
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
        about = " ".join(
            part for part in (event.credential, event.app, event.target, event.machine) if part
        )
        told = dict(event.detail)
        evidence = told.pop("evidence", None)
        detail = evidence or _detail({k: v for k, v in told.items() if v})
        if event.reason and event.action.value.startswith(("rotation.", "credential.")):
            detail = f"{event.reason}; {detail}" if detail else event.reason
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


async def verify_events(*, as_json: bool) -> int:
    """`rotator audit verify`."""
    async with opened() as rotator:
        verification = await verify_log(rotator.store, rotator.signer)
    if as_json:
        print_json(verification)
    else:
        for line in verification_lines(verification):
            say(line)
    return 0 if verification.fault is None else FAILED


def verification_lines(verification: Verification) -> Sequence[str]:
    """What a verification found, for people."""
    if verification.fault is not None:
        fault = verification.fault
        return [
            f"the audit log is damaged at event {fault.sequence}: {fault.message}",
            "keep the database as it is, and compare it with a backup or an export",
        ]
    return [
        (
            f"the audit log is whole: {verification.events} events, "
            f"{verification.checkpoints} signed checkpoints"
        ),
        f"head {verification.head or 'none'}",
    ]
