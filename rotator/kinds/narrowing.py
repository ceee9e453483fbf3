"""`narrow` and `bind`: what the manifest takes away from a token, and the caveats that do it.

`narrow` is a list of what is left. `mutations` and `commands` name what the token may do besides
`actions` (reading, where those aren't given); without them `actions` bounds everything. `bind`
names the one place on Fly from where the token works: a leaked copy is worth nothing elsewhere.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rotator.domain.durations import parse_duration
from rotator.domain.fields import Field, FieldType, Params, ParamValue, named, optional_text, texts
from rotator.domain.names import wrong_app, wrong_machine
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.fly.wire import MacaroonError

MAX_NAMES: Final = 100
"""Apps, mutations or commands in one list."""
_MUTATION: Final = re.compile(r"[a-z][A-Za-z0-9]{2,63}")

Command = tuple[tuple[str, ...], bool]
"""A command's arguments, and whether they are all of it or only its beginning."""


def _each(check: Callable[[str], str | None]) -> Callable[[ParamValue], str | None]:
    """A rule for a list: not empty, not long, nothing twice, and each item as `check` says."""

    def checked(value: ParamValue) -> str | None:
        items = value if isinstance(value, tuple) else ()
        if not items:
            return "is empty: name what is to be left, or leave the field out"
        if len(items) > MAX_NAMES:
            return f"has more than {MAX_NAMES} entries"
        twice = next((item for item in items if items.count(item) > 1), None)
        if twice is not None:
            return f"names {twice!r} twice"
        return next((problem for item in items if (problem := check(item))), None)

    return checked


def _wrong_mutation(name: str) -> str | None:
    if _MUTATION.fullmatch(name):
        return None
    return f"{name[:80]!r} is not the name of a GraphQL mutation, such as addWireGuardPeer"


def _wrong_command(text: str) -> str | None:
    try:
        parts = shlex.split(text)
    except ValueError:
        return f"{text[:80]!r} has a quote that does not end"
    return None if parts else "an empty command is none"


def _wrong_actions(value: ParamValue) -> str | None:
    letters = str(value)
    try:
        mask = c.action_mask(letters)
    except MacaroonError:
        mask = 0
    if mask and len(set(letters)) == len(letters):
        return None
    return (
        f"{letters[:20]!r} is not made of the letters r (read), w (write), c (create), d (delete) "
        "and C (control)"
    )


def _wrong_span(value: ParamValue) -> str | None:
    try:
        span = parse_duration(str(value))
    except ValueError as error:
        return str(error)
    return None if span > timedelta(0) else "is no time at all"


def _wrong_instant(value: ParamValue) -> str | None:
    try:
        _instant(str(value))
    except ValueError:
        return f"{str(value)[:40]!r} is not a date, or a date and time with its offset"
    return None


COMMANDS: Final = Field(
    "commands",
    FieldType.TEXTS,
    '["uptime", "ls -l /data"]',
    check=_each(_wrong_command),
    about="commands that may be run in the app's machines, exactly as they stand",
)
COMMAND_PREFIXES: Final = Field(
    "command_prefixes",
    FieldType.TEXTS,
    '["bin/rails runner"]',
    check=_each(_wrong_command),
    about="beginnings of commands that may be run",
)
_NARROW: Final = {
    "apps": Field("apps", FieldType.TEXTS, '["web"]', check=_each(wrong_app)),
    "actions": Field("actions", FieldType.TEXT, '"r"', check=_wrong_actions),
    "mutations": Field(
        "mutations", FieldType.TEXTS, '["addWireGuardPeer"]', check=_each(_wrong_mutation)
    ),
    "commands": COMMANDS,
    "command_prefixes": COMMAND_PREFIXES,
    "window": Field("window", FieldType.TEXT, '"45d"', check=_wrong_span),
    "until": Field("until", FieldType.TEXT, '"2027-01-01"', check=_wrong_instant),
}
ALL_NARROWS: Final = tuple(_NARROW)

BIND: Final = Field(
    "bind",
    FieldType.TABLE,
    '{ app = "web" }',
    about="where on Fly the token works, and nowhere else",
    fields=(
        Field("app", FieldType.TEXT, '"web"', required=True, check=named(wrong_app)),
        Field("machine", FieldType.TEXT, '"7811701f564258"', check=named(wrong_machine)),
    ),
)


def narrow_field(names: tuple[str, ...]) -> Field:
    """The table `narrow` of a kind that can be narrowed in these ways."""
    return Field(
        "narrow",
        FieldType.TABLE,
        "{ " + ", ".join(f"{n} = {_NARROW[n].example}" for n in names[:2]) + " }",
        about="what is left of the token's rights",
        fields=tuple(_NARROW[name] for name in names),
    )


def parse_commands(exact: tuple[str, ...], prefixes: tuple[str, ...]) -> tuple[Command, ...]:
    """Commands as people write them, split as a shell would."""
    whole = [(tuple(shlex.split(text)), True) for text in exact]
    return (*whole, *((tuple(shlex.split(text)), False) for text in prefixes))


def commands_caveat(commands: tuple[Command, ...]) -> c.Caveat:
    """Only these commands."""
    return c.caveat(c.COMMANDS, [[list(arguments), exact] for arguments, exact in commands])


def runs(commands: tuple[Command, ...], wanted: tuple[str, ...]) -> bool:
    """Whether a command is one of these, or begins as one of them says."""
    return any(
        wanted == arguments if exact else wanted[: len(arguments)] == arguments
        for arguments, exact in commands
    )


@dataclass(frozen=True)
class Narrow:
    """What is left of a token's rights. None and empty where nothing is taken away."""

    apps: tuple[str, ...] = ()
    actions: int | None = None
    mutations: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    window: timedelta | None = None
    until: datetime | None = None

    @property
    def besides(self) -> int:
        """What may be done besides the named mutations and commands."""
        if self.actions is not None:
            return self.actions
        return c.READ if self.mutations or self.commands else c.ALL_ACTIONS

    def ends_at(self, begin: datetime) -> datetime | None:
        """When a token that is made at `begin` has to end, by this alone."""
        ends = [begin + self.window] if self.window is not None else []
        return min([*ends, *([self.until] if self.until else [])], default=None)

    def caveats(
        self, numbers: Mapping[str, int], begin: datetime, end: datetime
    ) -> tuple[c.Caveat, ...]:
        """The caveats that leave just this. `numbers` has those of the apps."""
        found: list[c.Caveat] = []
        mutations = [c.caveat(c.MUTATIONS, list(self.mutations))] if self.mutations else []
        if self.apps:
            only = c.apps({numbers[name]: c.ALL_ACTIONS for name in self.apps})
            # A mutation names no app, so by itself a list of apps would forbid it.
            found.append(c.caveat(c.IF_PRESENT, [only, *mutations], 0) if mutations else only)
        commands = [commands_caveat(self.commands)] if self.commands else []
        if mutations or commands:
            found.append(c.caveat(c.IF_PRESENT, [*mutations, *commands], self.besides))
        elif self.actions is not None:
            found.append(c.caveat(c.ACTION, self.actions))
        if self.window is not None or self.until is not None:
            found.append(c.validity_window(begin, end))
        return tuple(found)

    def permits(self, numbers: Mapping[str, int], access: Access) -> bool:
        """The same in plain words, to hold tokens against."""
        if self.apps and not self._right_app(numbers, access):
            return False
        if self.mutations and access.mutation is not None:
            return access.mutation in self.mutations
        if self.commands and access.command is not None:
            return runs(self.commands, access.command)
        return access.action & ~self.besides == 0

    def _right_app(self, numbers: Mapping[str, int], access: Access) -> bool:
        if access.app is None:
            return access.mutation is not None and access.mutation in self.mutations
        return access.app in {numbers[name] for name in self.apps}


def narrow_of(params: Params) -> Narrow:
    """`narrow` as the manifest has checked it."""
    letters = optional_text(params, "narrow.actions")
    window, until = optional_text(params, "narrow.window"), optional_text(params, "narrow.until")
    return Narrow(
        apps=texts(params, "narrow.apps"),
        actions=c.action_mask(letters) if letters is not None else None,
        mutations=texts(params, "narrow.mutations"),
        commands=parse_commands(
            texts(params, "narrow.commands"), texts(params, "narrow.command_prefixes")
        ),
        window=parse_duration(window) if window is not None else None,
        until=_instant(until) if until is not None else None,
    )


@dataclass(frozen=True)
class Bind:
    """The one place on Fly from where a token works."""

    organization: str
    app: str
    machine: str = ""

    def caveat(self) -> c.Caveat:
        """Only from there."""
        return c.from_source(self.organization, self.app, self.machine)

    def __str__(self) -> str:
        """As it is kept with a version."""
        return "/".join(part for part in (self.organization, self.app, self.machine) if part)


def bind_of(organization: str, params: Params) -> Bind | None:
    """`bind` as the manifest has checked it."""
    app = optional_text(params, "bind.app")
    if app is None:
        return None
    return Bind(organization, app, optional_text(params, "bind.machine") or "")


def read_bind(kept: str) -> Bind:
    """What `str(bind)` gave."""
    return Bind(*kept.split("/"))


def _instant(text: str) -> datetime:
    """A date is its first second in UTC. Raises ValueError for a time without an offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        if len(text) > len("2027-01-01"):
            raise ValueError("a time needs an offset")
        return at.replace(tzinfo=UTC)
    return at.astimezone(UTC)
