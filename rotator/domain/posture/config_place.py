"""Where in a file a finding is, and how a line that mends it is written there. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rotator.domain.posture.config_file import ConfigFile, ConfigForm, Span, Table
from rotator.domain.posture.finding import Finding, Region, Rule
from rotator.domain.risk import Risk

Setting = str | bool | int | list[str]


@dataclass(frozen=True)
class Surroundings:
    """What the files that are looked at together say of each other."""

    now: datetime
    apps: frozenset[str] = frozenset()
    """The apps that one of the files is for."""
    flycast_apps: frozenset[str] = frozenset()
    """The apps that one of the files calls as APP.flycast: the proxy serves those privately."""
    private_ports: frozenset[tuple[str, int]] = frozenset()
    """The ports at which one of the files calls APP.internal or APP.flycast."""


@dataclass(frozen=True)
class Place:
    """A setting of a file: its lasting name, and where it stands."""

    path: str
    name: str
    span: Span
    app: str

    def finding(self, rule: Rule, message: str, mend: str, risk: Risk | None = None) -> Finding:
        """What a rule found here."""
        span = self.span
        region = Region(self.path, span.line, span.column, span.end_line, span.end_column)
        subject = printable(f"{self.path}#{self.name}")
        told, mended, app = printable(message), printable(mend), printable(self.app)
        return Finding(rule, subject, told, mended, app=app, region=region, risk=risk)


def printable(text: str) -> str:
    """A text in which nothing can steer a terminal or break a line."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def place_of(file: ConfigFile, name: str, span: Span) -> Place:
    """A place in a configuration file."""
    return Place(file.path, name, span, file.app)


def line_for(file: ConfigFile, key: str, value: Setting) -> str:
    """A setting as a line in the file's own form."""
    literal = json.dumps(value)
    if file.form is ConfigForm.TOML:
        return f"{key} = {literal}"
    return f'"{key}": {literal}' if file.form is ConfigForm.JSON else f"{key}: {literal}"


def section(file: ConfigFile, name: str, *, many: bool = False) -> str:
    """A section as the file's own form writes it."""
    if file.form is not ConfigForm.TOML:
        return name
    return f"[[{name}]]" if many else f"[{name}]"


def for_app(app: str) -> str:
    """The option that names the app of a fly command."""
    return f" --app {app}" if app else ""


@dataclass(frozen=True)
class Named:
    """A table of settings with the name that its subjects begin with."""

    name: str
    table: Table


def services(file: ConfigFile) -> Iterator[Named]:
    """Every [[services]], named by what does not move when another one is put before it."""
    seen: dict[str, int] = {}
    for _, table in file.root.tables("services"):
        port = table.integer("internal_port")
        name = f"services.{port if port is not None else 'unset'}"
        seen[name] = seen.get(name, 0) + 1
        yield Named(name if seen[name] == 1 else f"{name}.{seen[name]}", table)


def environments(file: ConfigFile) -> Iterator[Table]:
    """[env]; old files have a list of tables there."""
    for _, table in file.root.tables("env"):
        yield table


def entry_span(table: Table, key: str) -> Span:
    """Where a key and its value stand; the table itself where it has no such key."""
    entry = table.entry(key)
    return table.span if entry is None else entry.span
