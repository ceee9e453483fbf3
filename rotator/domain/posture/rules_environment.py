"""Secrets in plain text in what machines run with: environment variables and arguments. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.running import RunningApp, named
from rotator.domain.risk import Risk


class Suspected(Protocol):
    """What a value looks like. Holds no part of it."""

    @property
    def words(self) -> str:
        """What kind of secret, for people."""
        ...

    @property
    def risk(self) -> Risk:
        """How bad it would be."""
        ...


Detector = Callable[[str, str, datetime], Suspected | None]
"""What a value looks like, by its name, itself, and the time; None where it is no secret."""

SECRET_IN_LIVE_ENV: Final = Rule(
    "secret-in-live-env",
    Topic.CONFIG,
    Risk.HIGH,
    "A machine's config holds a secret in plain text",
    "Whoever may list machines reads it, with a read-only token too, and it stands in every "
    "version and release from then on. App secrets can be set but not read.",
    "Replace the value, set the new one as an app secret, and take it out of fly.toml.",
    "https://fly.io/docs/apps/secrets/",
)
RULES: Final = (SECRET_IN_LIVE_ENV,)

_TELLING: Final = re.compile(
    r"(^|[_.-])(password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|"
    r"auth[_-]?token|access[_-]?token|api[_-]?token|bearer)s?([_.-](key|base|value))*$",
    re.IGNORECASE,
)
_TOO_SHORT: Final = 8
"""A value as short as this is a flag or a placeholder rather than a secret."""


@dataclass(frozen=True)
class ByName:
    """A secret that its name alone tells of."""

    words: str = "a secret by its name"
    risk: Risk = Risk.HIGH


def by_name(name: str, value: str, _now: datetime) -> ByName | None:
    """The plainest detector, for want of a better one."""
    return ByName() if len(value) >= _TOO_SHORT and _TELLING.search(name) else None


def check_environment(app: RunningApp, suspicious: Detector, now: datetime) -> Iterator[Finding]:
    """Secrets in plain text, each name once for an app, whatever machines and groups have it."""
    found: dict[str, tuple[Suspected, set[str]]] = {}
    for machine in app.living:
        for variable in machine.variables:
            kind = suspicious(variable.name, variable.value.reveal(), now)
            if kind is not None:
                _, groups = found.setdefault(variable.name, (kind, set()))
                groups.add(machine.group)
    for name, (kind, groups) in sorted(found.items()):
        yield app.finding(
            SECRET_IN_LIVE_ENV,
            f"env:{app.name}/{name}",
            f"machines of {app.name} (group {named(sorted(groups))}) have {name} in plain text: "
            f"{kind.words}",
            f"fly secrets set {name}=NEW_VALUE --app {app.name} --stage; take {name} out of "
            f"fly.toml; then fly deploy --app {app.name}, and revoke the value that stood there",
            kind.risk,
        )
