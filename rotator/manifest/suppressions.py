"""rotator-posture.toml: findings that are hidden for a while, each with a reason and a last day."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Final

from rotator.domain.errors import InputError
from rotator.domain.posture.finding import Rule
from rotator.domain.posture.suppression import Suppression
from rotator.manifest.locate import key_lines, line_of
from rotator.manifest.problems import ManifestError, Problem, Problems
from rotator.manifest.reader import Table

SUPPRESSIONS_FILE: Final = "rotator-posture.toml"
SUPPRESSIONS_BYTES: Final = 1024 * 1024
MOST_SUPPRESSIONS: Final = 1000
LONGEST_REASON: Final = 500
_RULE: Final = 'rule = "secret-in-env"'
_SUBJECT: Final = 'subject = "fly.toml#env.*"'
_REASON: Final = 'reason = "a public key, no secret"'
_UNTIL: Final = "until = 2027-03-31"


def load_suppressions(path: Path, rules: Mapping[str, Rule]) -> tuple[Suppression, ...]:
    """Read a file of suppressions.

    Raises:
        InputError: it is missing, unreadable or too large.
        ManifestError: what it says can't be taken; every problem with its line.
    """
    try:
        if path.stat().st_size > SUPPRESSIONS_BYTES:
            raise InputError("is larger than 1 MiB", where=str(path))
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("there is no such file of suppressions", where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"can't be read: {why}", where=str(path)) from None
    return parse_suppressions(text, str(path), rules)


def suppressions_beside(manifest: Path, rules: Mapping[str, Rule]) -> tuple[Suppression, ...]:
    """Those of the file beside a manifest; none where there is no such file."""
    path = manifest.parent / SUPPRESSIONS_FILE
    return load_suppressions(path, rules) if path.exists() else ()


def parse_suppressions(
    text: str, filename: str, rules: Mapping[str, Rule]
) -> tuple[Suppression, ...]:
    """Read the text of such a file. See `load_suppressions`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _, _, rest = str(error).rpartition("at line ")
        number = rest.split(",")[0]
        line = int(number) if number.isdigit() else max(1, text.count("\n"))
        raise ManifestError((Problem(filename, line, "syntax", str(error)),)) from None
    lines = key_lines(text)
    problems = Problems(filename, lines)
    root = Table(data, (), problems)
    items = root.array("suppress", "[[suppress]]")
    if len(items) > MOST_SUPPRESSIONS:
        root.wrong("suppress", f"has more than {MOST_SUPPRESSIONS} entries")
    found = []
    for index, item in enumerate(items[:MOST_SUPPRESSIONS]):
        path = (*root.at("suppress"), index)
        table = Table(item, path, problems)
        each = _suppression(table, rules, f"{filename}:{line_of(lines, path)}")
        if each is not None:
            found.append(each)
    root.finish()
    problems.raise_if_any()
    return tuple(found)


def _suppression(table: Table, rules: Mapping[str, Rule], where: str) -> Suppression | None:
    rule = table.text("rule", _RULE, required=True)
    if rule is not None and rule not in rules:
        table.wrong("rule", f"{rule!r} is no rule; `rotator posture --rules` lists them")
        rule = None
    subject = table.text("subject", _SUBJECT, required=True)
    reason = table.text("reason", _REASON, required=True)
    if reason is not None and not reason.strip():
        table.wrong("reason", "is empty: why is it hidden?", _REASON)
        reason = None
    until = _day(table)
    table.finish()
    if rule is None or not subject or reason is None or until is None:
        if subject == "":
            table.wrong("subject", "is empty; * stands for all", 'subject = "*"')
        return None
    return Suppression(rule, subject, " ".join(reason.split())[:LONGEST_REASON], until, where)


def _day(table: Table) -> date | None:
    """The last day: a date of TOML, or a text that is one."""
    value = table.raw("until")
    if value is None:
        table.wrong("until", "is missing: until which day is it hidden?", _UNTIL)
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        table.wrong("until", "is not a day", _UNTIL)
        return None
