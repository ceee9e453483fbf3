"""`rotator posture --history`: findings as the daemon keeps them, and since when they are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.cli.posturing.table import LEAST, STYLES, folded
from rotator.cli.posturing.words import by_severity, clean, counted
from rotator.cli.session import opened
from rotator.cli.text import canvas_of, console, from_now, moment, print_json, say, show_lines
from rotator.domain.errors import InputError
from rotator.domain.ports import Store
from rotator.domain.posture.record import FindingRecord, FindingState, PostureLook

if TYPE_CHECKING:
    from rich.text import Text

FORMAT: Final = "rotator-posture-history/1"
PAGE: Final = 1000
MOST: Final = 20_000
SHOWN_RESOLVED: Final = timedelta(days=30)
"""What was resolved longer ago than this is in JSON and in the audit log."""
INDENT: Final = 10


async def show_history(organization: str | None, app: str | None, form: str) -> int:
    """Findings of one organisation, of one app, or all; the worst first, then the oldest."""
    if form not in ("table", "json"):
        raise InputError(f"the history is told as table or json, not as {form}", where="--format")
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        records = await _records(rotator.store, organization, app)
        async with rotator.store.view() as unit:
            looks = [
                look
                for look in await unit.posture_looks()
                if organization in (None, look.organization)
            ]
    if form == "json":
        print_json(_data(records, looks))
        return 0
    canvas = canvas_of(console())
    recent = [r for r in records if r.resolved_at is None or now - r.resolved_at < SHOWN_RESOLVED]
    show_lines(_lines(recent, now, canvas.width, "->" if canvas.ascii_only else "→"))
    for line in _standing(records, looks, now):
        say(line)
    return 0


async def _records(
    store: Store, organization: str | None, app: str | None
) -> Sequence[FindingRecord]:
    found: list[FindingRecord] = []
    after = ""
    async with store.view() as unit:
        while len(found) < MOST:
            page = await unit.finding_records(organization, after=after, limit=PAGE)
            found += [record for record in page if app in (None, record.app)]
            if len(page) < PAGE:
                break
            after = page[-1].fingerprint
    order = list(FindingState)
    return sorted(
        found, key=lambda r: (order.index(r.state), -r.severity, r.opened_at, r.fingerprint)
    )


def _lines(
    records: Sequence[FindingRecord], now: datetime, width: int, arrow: str
) -> Iterator[Text]:
    """Three lines or more for each: how it stands, what is wrong, how to mend it."""
    from rich.text import Text

    room = max(width, LEAST) - INDENT
    pad = " " * INDENT
    for record in records:
        head, *more = folded(clean(f"{record.rule} at {record.subject}"), room)
        line = Text(f"{record.severity.name:<{INDENT - 1}} ", STYLES[record.severity])
        yield line.append(head, "bold")
        yield from (Text(pad + part, "bold") for part in more)
        yield from (Text(pad + part, "cyan") for part in folded(clean(_since(record, now)), room))
        yield from (Text(pad + part) for part in folded(clean(record.message), room))
        if record.state is FindingState.OPEN:
            lead = f"{arrow} "
            for part in folded(clean(record.mend), room - len(lead)):
                yield Text(pad + lead + part, "dim")
                lead = " " * len(lead)
        yield Text("")


def _since(record: FindingRecord, now: datetime) -> str:
    ago = from_now(record.opened_at, now)
    told = f"{record.state.value} since {moment(record.opened_at)} ({ago})"
    if record.state is FindingState.RESOLVED:
        told = f"resolved {from_now(record.resolved_at, now)}, was open since {ago}"
    if record.state is FindingState.SUPPRESSED:
        told = f"suppressed: {record.note}; there since {ago}"
    return f"{told}; it was opened {record.times} times" if record.times > 1 else told


def _standing(
    records: Sequence[FindingRecord], looks: Sequence[PostureLook], now: datetime
) -> Iterator[str]:
    """How many there are, and what the last looks could not read."""
    states = Counter(record.state for record in records)
    severities = Counter(r.severity for r in records if r.state is FindingState.OPEN)
    told = counted(states[FindingState.OPEN], "open finding")
    told += f": {by_severity(severities)}" if severities else ""
    for state in (FindingState.SUPPRESSED, FindingState.RESOLVED):
        told += f"; {states[state]} {state.value}" if states[state] else ""
    yield told
    if not any(look.looked_at for look in looks):
        yield "no daemon has looked yet; `rotator posture --org SLUG` looks now"
    for look in looks:
        seen = f"looked {from_now(look.looked_at, now)}, " if look.looked_at else ""
        due = f"next {from_now(look.due_at, now)}" if look.due_at > now else "a look is due"
        yield clean(f"{look.organization}: {seen}{due}")
        yield from (clean(f"not read: {line}") for line in look.missing)


def _data(records: Sequence[FindingRecord], looks: Sequence[PostureLook]) -> Mapping[str, object]:
    return {
        "format": FORMAT,
        "looks": [
            {
                "organization": look.organization,
                "looked_at": look.looked_at,
                "due_at": look.due_at,
                "not_read": look.missing,
            }
            for look in looks
        ],
        "findings": [
            {
                "rule": record.rule,
                "severity": record.severity.word,
                "state": record.state,
                "fingerprint": record.fingerprint,
                "topic": record.topic,
                "organization": record.organization or None,
                "app": record.app or None,
                "subject": record.subject,
                "message": record.message,
                "mend": record.mend,
                "opened_at": record.opened_at,
                "seen_at": record.seen_at,
                "resolved_at": record.resolved_at,
                "times": record.times,
                "note": record.note or None,
            }
            for record in records
        ],
    }
