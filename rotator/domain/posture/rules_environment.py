"""Secrets in plain text in what machines run with: environment variables and arguments. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.running import RunningApp, named
from rotator.domain.risk import Risk

Detector = Callable[[str, str], str | None]
"""What kind of secret a value is, in words, by its name and itself; None where it is none."""

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


def by_name(name: str, value: str) -> str | None:
    """The plainest detector: by name alone. For want of a better one."""
    if len(value) < _TOO_SHORT or not _TELLING.search(name):
        return None
    return "a secret by its name"


def check_environment(app: RunningApp, suspicious: Detector) -> Iterator[Finding]:
    """Secrets in plain text, each name once for an app, whatever machines and groups have it."""
    found: dict[str, tuple[str, set[str]]] = {}
    for machine in app.living:
        for variable in machine.variables:
            kind = suspicious(variable.name, variable.value.reveal())
            if kind is not None:
                _, groups = found.setdefault(variable.name, (kind, set()))
                groups.add(machine.group)
    for name, (kind, groups) in sorted(found.items()):
        yield app.finding(
            SECRET_IN_LIVE_ENV,
            f"env:{app.name}/{name}",
            f"machines of {app.name} (group {named(sorted(groups))}) have {name} in plain text: "
            f"{kind}",
            f"fly secrets set {name}=NEW_VALUE --app {app.name} --stage; take {name} out of "
            f"fly.toml; then fly deploy --app {app.name}, and revoke the value that stood there",
        )
