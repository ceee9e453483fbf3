"""What `rotator token inspect` shows to people: fits a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.text import from_now, moment, say, show
from rotator.domain.risk import Risk
from rotator.fly.bundle import Bundle, Form
from rotator.fly.caveats import ACTION_LETTERS
from rotator.fly.inspection import Reading, Rights, together
from rotator.fly.risk import RiskWarning

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

SHOWN: Final = 12
"""Apps, mutations or commands that are listed by name; of more only the number is told."""
_STYLES: Final = {
    Risk.CRITICAL: "bold white on red",
    Risk.HIGH: "bold red",
    Risk.MEDIUM: "yellow",
    Risk.LOW: "cyan",
    Risk.NOTE: "dim",
}
FORMS: Final = {
    Form.DISCHARGE: "a third party's word (discharge)",
    Form.FOREIGN: "a macaroon of another issuer",
    Form.PERSONAL: "personal token of a user",
    Form.LEGACY: "opaque; looks like an old personal token",
    Form.JWT: "a JWT, no token for Fly's API",
    Form.FUTURE: "a token of a form that this rotator does not know",
    Form.DAMAGED: "damaged",
    Form.UNKNOWN: "nothing that Fly is known for",
}


def show_inspection(
    bundle: Bundle, readings: Sequence[Reading], warnings: Sequence[RiskWarning], now: datetime
) -> None:
    """Each token, then the other members, then the warnings."""
    from rich.text import Text

    if len(readings) > 1:
        told = f"{together(readings)}: {len(readings)} tokens, any one is enough for a request"
        show(Text(told, style="bold"))
        say()
    for number, reading in enumerate(readings, start=1):
        count = f" ({number} of {len(readings)})" if len(readings) > 1 else ""
        show(Text(f"{reading.kind}{count}", style="bold"), Text(sentence(reading, now)))
        say()
        show(_facts(reading, now))
        say()
        show(_rights(reading.rights))
        say()
    others = [each for each in bundle.members if each.form is not Form.PERMISSION]
    if others:
        rows = [
            (f"member {each.place}", FORMS[each.form], each.fingerprint or "-") for each in others
        ]
        show(_grid(rows))
        say()
    show(_warnings(warnings))


def sentence(reading: Reading, now: datetime) -> str:
    """The token in one sentence."""
    place = f"in organisation {_numbers(reading.organizations)}"
    if not reading.organizations:
        place = "in no organisation that it names"
    ends = "for ever"
    if reading.usable_until is not None:
        ended = reading.usable_until <= now
        ends = f"until {moment(reading.usable_until)} ({from_now(reading.usable_until, now)})"
        ends = f"no more: it ended {from_now(reading.usable_until, now)}" if ended else ends
    return f"May {_deeds(reading)} {place}, {ends}."


def _deeds(reading: Reading) -> str:
    """The most telling of its rights in words."""
    rights = reading.rights
    found = []
    if rights.other_apps:
        found.append(f"{_verbs(rights.other_apps)} every app")
    elif named := {app: mask for app, mask in rights.apps.items() if mask}:
        masks = set(named.values())
        verbs = _verbs(max(masks, key=len))
        found.append(f"{verbs} app{'s' if len(named) > 1 else ''} {_numbers(named)}")
    if rights.commands:
        found.append("run the commands below")
    if rights.mutations:
        found.append("make the mutations below")
    if not rights.other_apps and rights.features.get("wg"):
        found.append(f"{_verbs(rights.features['wg'])} WireGuard peers")
    return ", and ".join(found) or "do nothing that rotator knows of"


def _verbs(mask: str) -> str:
    if mask == ACTION_LETTERS:
        return "do everything to"
    words = {"r": "read", "w": "write", "c": "create", "d": "delete", "C": "control"}
    named = [words[letter] for letter in mask]
    return " and ".join(
        part for part in (", ".join(named[:-1]), named[-1] if named else "") if part
    )


def _numbers(numbers: Iterable[int]) -> str:
    listed = [str(number) for number in numbers]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _facts(reading: Reading, now: datetime) -> Table:
    apps = "no limit by app" if reading.apps is None else _numbers(reading.apps) or "none"
    source = reading.source
    rows = [
        ("fingerprint", reading.fingerprint, "this very token"),
        ("lineage", reading.lineage, "narrowed copies too"),
        ("organisation", _numbers(reading.organizations) or "not limited", ""),
        ("apps", apps, ""),
        ("valid from", moment(reading.not_before), ""),
        ("until", moment(reading.expires_at), from_now(reading.expires_at, now)),
        ("works from", _place(source) if source else "anywhere", ""),
        ("narrowed", "yes" if reading.narrowed else "no sign of it", ", ".join(reading.narrowed)),
    ]
    if reading.not_before is None:
        rows = [row for row in rows if row[0] != "valid from"]
    for party in reading.third_parties:
        told = "its word is here" if party.discharged else "its word is missing"
        if party.discharged and party.expires_at is not None:
            told += f", until {moment(party.expires_at)}"
        rows.append(("third party", party.location, told))
    return _pairs(rows)


def _place(source: object) -> str:
    parts = [str(getattr(source, name)) for name in ("organization", "app", "machine")]
    return "/".join(part or "*" for part in parts)


def _rights(rights: Rights) -> Table:
    """One line for each thing, its actions as letters at fixed places."""
    rows = [("may", " ".join(ACTION_LETTERS), "read write create delete Control")]
    rows.append(("  the organisation", _letters(rights.organization), ""))
    shown = list(rights.apps.items())[:SHOWN]
    rows += [(f"  app {app}", _letters(mask), "") for app, mask in shown]
    if len(rights.apps) > len(shown):
        rows.append((f"  {len(rights.apps) - len(shown)} more apps", "", "--json lists them"))
    other = "every other app" if rights.apps else "every app"
    rows.append((f"  {other}", _letters(rights.other_apps), ""))
    rows += _features(rights.features)
    rows.append(("  mutations", "", _listed(rights.mutations, "all that these actions allow")))
    commands = "any" if rights.any_command else "none"
    rows.append(("  commands", "", _listed(rights.commands, commands)))
    return _grid(rows)


def _features(masks: dict[str, str]) -> list[tuple[str, str, str]]:
    """One line for each mask; the features that are out of reach, or all alike, by one word."""
    by_mask: dict[str, list[str]] = {}
    for feature, mask in masks.items():
        by_mask.setdefault(mask, []).append(feature)
    rows = []
    for mask, features in sorted(by_mask.items(), reverse=True):
        rest = "all of them" if len(by_mask) == 1 else "all others"
        words = ", ".join(features) if mask and len(by_mask) > 1 else rest
        rows.append(("  features", _letters(mask), words))
    return rows


def _letters(mask: str) -> str:
    return " ".join(letter if letter in mask else "·" for letter in ACTION_LETTERS)


def _listed(names: Sequence[str] | None, unlimited: str) -> str:
    if names is None:
        return unlimited
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "only " + ", ".join(names[:SHOWN]) + more if names else "none"


def _pairs(rows: Iterable[tuple[str, str, str]]) -> Table:
    """A name, and its value with a note behind it."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=18)
    table.add_column(overflow="fold")
    for name, value, note in rows:
        table.add_row(Text(name), Text.assemble(value, (f"  {note}" if note else "", "dim")))
    return table


def _grid(rows: Iterable[tuple[str, str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=18)
    table.add_column(no_wrap=True, overflow="fold")
    table.add_column(overflow="fold", style="dim")
    for first, second, third in rows:
        table.add_row(Text(first), Text(second), Text(third))
    return table


def _warnings(warnings: Sequence[RiskWarning]) -> Table | Text:
    from rich.table import Table
    from rich.text import Text

    if not warnings:
        return Text("no warnings", style="green")
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    for warning in warnings:
        text = Text(warning.text)
        if warning.advice:
            text.append(f"\n→ {warning.advice}", style="dim")
        table.add_row(Text(warning.risk.word.upper(), style=_STYLES[warning.risk]), text)
    return table
