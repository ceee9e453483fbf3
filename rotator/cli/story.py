"""`rotator history NAME`: a credential's life, told from the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from rotator.cli.event_filters import instant
from rotator.cli.session import opened
from rotator.cli.text import elapsed, moment, print_json, say
from rotator.domain.errors import InputError
from rotator.domain.events import Action, Event, LoggedEvent, Outcome
from rotator.domain.ports import EventQuery, Store

PAGE: Final = 1000
MOST_EVENTS: Final = 50_000
_TOLD: Final = frozenset(
    {
        Action.CREDENTIAL_ADDED,
        Action.CREDENTIAL_CHANGED,
        Action.CREDENTIAL_UNMANAGED,
        Action.CREDENTIAL_OVERDUE,
        Action.CREDENTIAL_WOULD_ROTATE,
        Action.CREDENTIAL_TAINTED,
        Action.CREDENTIAL_CREATOR_LEFT,
        Action.VERSION_ADOPTED,
        Action.VERSION_EXPIRING,
        Action.VERSION_EXPIRED,
        Action.VERSION_TOO_OLD,
        Action.VERSION_GONE,
        Action.TARGET_CHANGED,
        Action.TARGET_CONTESTED,
        Action.TARGET_SETTLED,
        Action.LEFTOVER_FOUND,
        Action.LEFTOVER_REVOKED,
    }
)


@dataclass(frozen=True)
class Chapter:
    """One thing that happened, with what belongs to it below it."""

    at: datetime
    title: str
    lines: Sequence[str]
    rotation_id: str | None = None
    sequence: int = 0


async def tell_history(name: str, since: str | None, *, as_json: bool) -> int:
    """`rotator history`."""
    async with opened() as rotator:
        start = instant(since, rotator.parts.clock.now(), "--since")
        async with rotator.store.view() as unit:
            known = await unit.credential(name)
            archives = await unit.archives()
        events = await _events(rotator.store, EventQuery(credential=name, since=start))
    if not events and known is None:
        raise InputError(
            f"there is no credential {name!r}, and no event about one",
            next_step="`rotator list` shows what is tracked",
        )
    chapters = list(chapters_of(events))
    if as_json:
        print_json({"credential": name, "chapters": chapters})
        return 0
    for line in story(name, chapters):
        say(line)
    if archives:
        say(f"what came before event {archives[-1].last + 1} is in archives")
    return 0


async def _events(store: Store, query: EventQuery) -> Sequence[LoggedEvent]:
    """All events, oldest first, up to a bound."""
    found: list[LoggedEvent] = []
    while len(found) < MOST_EVENTS:
        async with store.view() as unit:
            page = await unit.events(replace(query, limit=PAGE))
        found += page
        if len(page) < PAGE:
            break
        query = replace(query, before=page[-1].sequence)
    return found[::-1]


def story(name: str, chapters: Sequence[Chapter]) -> Iterator[str]:
    """The text."""
    yield f"{name}"
    if not chapters:
        yield "  nothing has happened yet"
    for chapter in chapters:
        yield ""
        yield f"{moment(chapter.at)}  {chapter.title}"
        yield from (f"    {line}" for line in chapter.lines)


def chapters_of(events: Sequence[LoggedEvent]) -> Iterator[Chapter]:
    """What happened, in order of its beginning; a rotation is one chapter."""
    rotations: dict[str, list[LoggedEvent]] = {}
    for logged in events:
        if logged.event.rotation_id is not None:
            rotations.setdefault(logged.event.rotation_id, []).append(logged)
    seen: set[str] = set()
    for logged in events:
        event, rotation = logged.event, logged.event.rotation_id
        if rotation is None:
            if event.action in _TOLD:
                yield Chapter(event.at, _sentence(event), (), sequence=logged.sequence)
        elif rotation not in seen:
            seen.add(rotation)
            yield _rotation(rotation, rotations[rotation])


def _sentence(event: Event) -> str:
    """A thing that happened outside any rotation."""
    detail = event.detail
    told: Mapping[Action, str] = {
        Action.CREDENTIAL_ADDED: f"{event.actor} took it into the inventory",
        Action.CREDENTIAL_CHANGED: f"{event.actor} changed what the manifest says of it"
        f"{_told(detail, 'changes')}",
        Action.CREDENTIAL_UNMANAGED: f"{event.actor} took it out of the manifest",
        Action.CREDENTIAL_OVERDUE: f"it is overdue: {detail.get('why', 'it may not start')}",
        Action.CREDENTIAL_WOULD_ROTATE: (
            f"it would have been rotated: {event.reason} ({detail.get('would', '')})"
        ),
        Action.CREDENTIAL_TAINTED: (
            f"{event.actor} assumes that {detail.get('leaked', 'it')} has leaked: "
            f"{detail.get('why', '')}"
        ),
        Action.CREDENTIAL_CREATOR_LEFT: event.reason,
        Action.VERSION_ADOPTED: (
            f"a value that stood there already was adopted{_born(detail)}; its text is unknown to "
            "rotator, so its first rotation can't be undone"
        ),
        Action.VERSION_EXPIRING: detail.get(
            "why", f"its value expires at {detail.get('expires_at', 'some time')}"
        ),
        Action.VERSION_EXPIRED: detail.get("why", "its value expired"),
        Action.VERSION_TOO_OLD: detail.get("why", "its value is too old"),
        Action.VERSION_GONE: "its value was gone at the issuer",
        Action.TARGET_CHANGED: event.reason,
        Action.TARGET_CONTESTED: f"{event.reason}, and asks: {detail.get('next', '')}",
        Action.TARGET_SETTLED: f"{event.actor} let rotator write {event.target} again"
        + (f": {event.reason}" if event.reason else ""),
        Action.LEFTOVER_FOUND: f"a leftover value was found: {detail.get('issued_as', '')}",
        Action.LEFTOVER_REVOKED: f"a leftover value was revoked: {detail.get('issued_as', '')}",
    }
    return told[event.action]


def _told(detail: Mapping[str, str], key: str) -> str:
    return f": {detail[key]}" if detail.get(key) else ""


def _born(detail: Mapping[str, str]) -> str:
    return f", made {detail['created_at']}" if detail.get("created_at") else ""


def _rotation(rotation: str, events: Sequence[LoggedEvent]) -> Chapter:
    """A rotation: who wanted it and why, what was done, how it ended."""
    first = events[0].event
    asked = next((e.event for e in events if e.event.action is Action.ROTATION_REQUESTED), first)
    emergency = " in an emergency" if asked.detail.get("mode") == "emergency" else ""
    why = f": {asked.reason}" if asked.reason else ""
    return Chapter(
        first.at,
        f"{asked.actor} had it rotated{emergency}{why}",
        list(_course(rotation, events, first.at)),
        rotation,
        events[0].sequence,
    )


def _course(rotation: str, events: Sequence[LoggedEvent], began: datetime) -> Iterator[str]:
    restarted: dict[str, list[Event]] = {}
    for event in (logged.event for logged in events):
        if event.action is Action.MACHINE_RESTARTED:
            restarted.setdefault(event.app or "?", []).append(event)
            continue
        if restarted and event.action is Action.ROLLOUT_ENDED:
            yield from _restarts(restarted)
            restarted = {}
        teller = _TELLERS.get(event.action)
        line = teller(event, began) if teller is not None else None
        if line:
            yield line
    yield from _restarts(restarted)
    yield f"(rotation {rotation}, events {events[0].sequence} to {events[-1].sequence})"


def _restarts(restarted: Mapping[str, Sequence[Event]]) -> Iterator[str]:
    for app, events in restarted.items():
        bad = sum(event.outcome is not Outcome.OK for event in events)
        failed = f", {bad} of them failed" if bad else ", all well"
        waves = len({event.detail.get("wave") for event in events})
        machines = _count(len(events), "machine")
        yield f"{machines} of {app} restarted in {_count(waves, 'wave')}{failed}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _step(event: Event, _: datetime) -> str | None:
    step, told = event.detail.get("step", ""), event.detail.get("evidence")
    if event.action is Action.STEP_FAILED:
        return f"{step} failed: {event.detail.get('error', 'no cause is known')}"
    match step:
        case "mint":
            return "a new value was made"
        case "prove":
            return f"it was proven to work{f': {told}' if told else ''}"
        case "deliver" | "restore":
            verb = "delivered" if step == "deliver" else "put back"
            return f"{verb} to {event.target}" if event.target else None
        case _:
            return None


def _ended(how: str) -> Callable[[Event, datetime], str]:
    def tell(event: Event, began: datetime) -> str:
        cause = event.detail.get("cause") or event.detail.get("error") or ""
        why = f": {cause}" if cause else ""
        return f"{moment(event.at)} {how} after {elapsed(event.at - began)}{why}"

    return tell


def _by_somebody(what: str) -> Callable[[Event, datetime], str]:
    def tell(event: Event, _: datetime) -> str:
        return f"{moment(event.at)} {event.actor} {what}"

    return tell


def _promoted(event: Event, _: datetime) -> str:
    return f"{moment(event.at)} the new value became the current one"


def _revoked(event: Event, _: datetime) -> str:
    told = event.detail.get("evidence")
    return f"{moment(event.at)} the old value was revoked{f': {told}' if told else ''}"


def _discarded(event: Event, _: datetime) -> str:
    return f"{moment(event.at)} the new value was discarded"


_TELLERS: Final[Mapping[Action, Callable[[Event, datetime], str | None]]] = {
    Action.STEP_DONE: _step,
    Action.STEP_FAILED: _step,
    Action.VERSION_PROMOTED: _promoted,
    Action.VERSION_REVOKED: _revoked,
    Action.VERSION_DISCARDED: _discarded,
    Action.ROTATION_UNDOING: _ended("it turned back"),
    Action.ROTATION_SUCCEEDED: _ended("it succeeded"),
    Action.ROTATION_ROLLED_BACK: _ended("it was rolled back"),
    Action.ROTATION_PARKED: _ended("it was parked"),
    Action.ROTATION_RETRIED: _by_somebody("let it go on"),
    Action.ROTATION_ABORTED: _by_somebody("had it turn back"),
    Action.ROTATION_UNDO_REQUESTED: _by_somebody("asked to undo it"),
    Action.ROTATION_RECOVERED: _by_somebody("found it left by a worker that died"),
}
