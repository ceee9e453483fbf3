"""Hooks: who may tell rotator of leaks, how their requests are signed, and what follows. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from rotator.domain.secret import Secret

MOST_SECRETS: Final = 4
"""Of one hook. Every request is held against so many, whoever it is for."""
MOST_HOOKS: Final = 32
NAMED: Final = "credential:"
"""How a hint begins that names a tracked credential."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class HookFormat(StrEnum):
    """How a sender signs. All are HMAC-SHA256 over the raw body, or over an id, a time and it."""

    GITHUB = "github"
    HEX = "hex"
    BASE64 = "base64"
    FLY = "fly"
    STANDARD = "standard-webhooks"


SIGNATURE_HEADERS: Final[Mapping[HookFormat, str]] = {
    HookFormat.GITHUB: "x-hub-signature-256",
    HookFormat.FLY: "x-fly-signature",
    HookFormat.STANDARD: "webhook-signature",
}
"""Of the formats whose header is not the manifest's to choose."""


class Respond(StrEnum):
    """What is done about a leaked value that rotator tracks."""

    ROTATE = "rotate"
    APPROVE = "approve"
    TELL = "tell"


class Untracked(StrEnum):
    """What is done about a token that nothing would replace: whoever uses it stops."""

    REVOKE = "revoke"
    APPROVE = "approve"
    TELL = "tell"


@dataclass(frozen=True)
class HookSpec:
    """One hook as the manifest has it. Its secrets are in the environment, under `secrets_env`.

    `timestamp_header` names a header with Unix seconds that is signed as `TIME.BODY`.
    """

    name: str
    format: HookFormat
    header: str
    secrets_env: str
    timestamp_header: str | None = None
    respond: Respond = Respond.ROTATE
    untracked: Untracked = Untracked.TELL
    approve_within: timedelta = timedelta(days=3)
    tolerance: timedelta = timedelta(minutes=5)


@dataclass(frozen=True)
class Hook:
    """A hook with its secrets as the keys of HMACs, the newest first."""

    spec: HookSpec
    keys: tuple[bytes, ...] = field(repr=False)


def wrong_hook(name: str) -> str | None:
    """What is wrong with a hook's name: it is a part of a path and of a variable's name."""
    if _NAME.fullmatch(name):
        return None
    return "a hook's name has up to 40 lowercase letters, digits and dashes"


def secrets_variable(name: str) -> str:
    """Where a hook's secrets stand unless the manifest says otherwise."""
    return f"ROTATOR_HOOK_{name.upper().replace('-', '_')}_SECRETS"


@dataclass(frozen=True)
class GithubAlert:
    """A secret scanning alert of GitHub's: its webhook does not send the value, its API does."""

    repository: str
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"

    @classmethod
    def parse(cls, text: str) -> GithubAlert:
        """From `OWNER/NAME#NUMBER`."""
        repository, _, number = text.rpartition("#")
        return cls(repository, int(number))


@dataclass(frozen=True)
class Report:
    """One leaked thing of which a sender tells: a value, or whose value it is: an alert's at
    GitHub, or the credential's of that name.

    `place` is where it was found, for people; `sort` the sender's word for what it is. Neither
    holds a value. `only_told` is a warning that nothing has leaked yet.
    """

    value: Secret | None
    place: str = ""
    sort: str = ""
    source: GithubAlert | str | None = None
    only_told: bool = False

    @property
    def hint(self) -> str:
        """Where the value can be had from, as an alert keeps it."""
        if isinstance(self.source, GithubAlert):
            return str(self.source)
        return f"{NAMED}{self.source}" if self.source else ""


@dataclass(frozen=True)
class Delivery:
    """A verified request. `digest` names what was signed, under the secret that fits; `key` names
    the sender's own id of the request.

    `answer` is what was answered, once it was.
    """

    hook: str
    key: str
    digest: str
    seen_at: datetime
    status: int = 0
    answer: str = ""


class RequestOutcome(StrEnum):
    """How a request to a hook ended; counted in metrics."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    WRONG_SIGNATURE = "wrong-signature"
    STALE = "stale"
    UNKNOWN_HOOK = "unknown-hook"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    LIMITED = "limited"
    FAILED = "failed"


class AlertValues(Protocol):
    """Where senders keep the values that they do not send."""

    async def value(self, alert: GithubAlert) -> Secret:
        """The leaked value.

        `NotAllowed` without a token that may read it, `NotFound` where there is no such alert.
        """
        ...
