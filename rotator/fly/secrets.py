"""App secrets by the Machines API: digests come back, values never do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import AliasChoices, Field

from rotator.domain.secret import Secret
from rotator.fly.call import CHANGE_SECONDS, Call, Effect
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.paths import app_path
from rotator.fly.transport import Transport


@dataclass(frozen=True)
class AppSecret:
    """One secret as Fly lists it. `digest` is opaque: compare it only with earlier ones of it."""

    name: str
    digest: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class SecretsUpdate:
    """What a change answered: all secrets, and the app's new secrets version."""

    secrets: tuple[AppSecret, ...]
    version: int
    request_id: str | None = None


class _Secret(FlyModel):
    name: str
    digest: str
    created_at: Instant | None = None
    updated_at: Instant | None = None

    def plain(self) -> AppSecret:
        return AppSecret(self.name, self.digest, self.created_at, self.updated_at)


class _List(FlyModel):
    secrets: tuple[_Secret, ...]


class _Update(FlyModel):
    secrets: tuple[_Secret, ...] = ()
    # Fly's description has the number twice; the capital one is the older name.
    version: int = Field(validation_alias=AliasChoices("version", "Version"))


class SecretsApi:
    """The secrets of apps."""

    def __init__(self, machines: Transport) -> None:
        self._machines = machines

    async def secrets(self, app: str, *, min_version: int | None = None) -> Sequence[AppSecret]:
        """The app's secrets, without values, as of at least this secrets version."""
        call = Call(
            what=f"list the secrets of {app}",
            method="GET",
            path=app_path(app, "secrets"),
            action=APP_ACTIONS,
            of=app,
            query={} if min_version is None else {"min_version": min_version},
        )
        answer = await self._machines.send(call)
        return [secret.plain() for secret in parse(_List, call, answer).secrets]

    async def set_secrets(self, app: str, values: Mapping[str, Secret | None]) -> SecretsUpdate:
        """Set these and delete those that are None, in one change. Restarts nothing."""
        call = Call(
            what=f"set {', '.join(sorted(values))} of {app}",
            method="POST",
            path=app_path(app, "secrets"),
            action=APP_ACTIONS,
            of=app,
            effect=Effect.CHANGE,
            body={
                "values": {
                    name: None if value is None else value.reveal()
                    for name, value in values.items()
                }
            },
            timeout_seconds=CHANGE_SECONDS,
        )
        answer = await self._machines.send(call)
        update = parse(_Update, call, answer)
        return SecretsUpdate(
            tuple(secret.plain() for secret in update.secrets), update.version, answer.request_id
        )
