"""Secrets in plain text in what machines run with: environment variables and arguments. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.running import RunningApp, named
from rotator.domain.posture.secrets_in_text import Suspicion, suspicion
from rotator.domain.risk import Risk

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


def check_environment(app: RunningApp, now: datetime) -> Iterator[Finding]:
    """Secrets in plain text, each name once for an app, whatever machines and groups have it."""
    found: dict[str, tuple[Suspicion, set[str]]] = {}
    for machine in app.living:
        for variable in machine.variables:
            kind = suspicion(variable.name, variable.value.reveal(), now)
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
