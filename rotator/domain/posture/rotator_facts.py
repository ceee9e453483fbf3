"""What is known of rotator itself: its keys, files, token, clock and log, a frozen snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from rotator.domain.posture.finding import Missing


class OwnFile(StrEnum):
    """The files of rotator's that others could read."""

    MANIFEST = "manifest"
    DATABASE = "database"
    ENVIRONMENT = "environment"


@dataclass(frozen=True)
class FileMode:
    """A file and who may do what to it, as `chmod` counts."""

    file: OwnFile
    path: str
    mode: int


class TokenForm(StrEnum):
    """What rotator's own API token is."""

    LIMITED = "limited"
    PERSONAL = "personal"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class OwnTokenFacts:
    """What rotator's own API token says. `excess` is what it may do beyond what the manifest needs,
    in words; `credential` is the one that tracks it."""

    form: TokenForm
    made_at: datetime | None = None
    expires_at: datetime | None = None
    excess: tuple[str, ...] = ()
    credential: str | None = None


@dataclass(frozen=True)
class ClockOffset:
    """How far Fly's clock is ahead of ours: surely between these two."""

    least: timedelta
    most: timedelta


@dataclass(frozen=True)
class SendingPlace:
    """A place that checkpoints are sent to. `waiting_since` is when the oldest one was signed that
    it has not had yet; None where it has them all."""

    name: str
    waiting_since: datetime | None = None
    failures: int = 0


@dataclass(frozen=True)
class LogFacts:
    """The audit log: its events, how many of them were found whole, and the newest checkpoint."""

    size: int = 0
    verified: int = 0
    signed: int = 0
    signed_at: datetime | None = None
    places: tuple[SendingPlace, ...] = ()


@dataclass(frozen=True)
class RotatorFacts:
    """What the rules look at. `sealed` counts values by the id of the key that they are under."""

    key_ids: tuple[str, ...] = ()
    sealed: Mapping[str, int] = field(default_factory=dict)
    files: tuple[FileMode, ...] = ()
    token: OwnTokenFacts | None = None
    clock: ClockOffset | None = None
    log: LogFacts = field(default_factory=LogFacts)
    missing: tuple[Missing, ...] = ()


class RotatorReader(Protocol):
    """Looks at rotator itself. Changes nothing; what it can't look at is among `missing`."""

    async def read(self, now: datetime) -> RotatorFacts:
        """Look once. At most one call to Fly, where none was answered a short while ago."""
        ...
