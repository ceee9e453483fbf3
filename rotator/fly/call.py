"""One call to Fly, described: what the transport needs to send, bound, limit and repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from rotator.domain.secret import Secret
from rotator.fly.limits import NORMAL, Rate

READ_SECONDS: Final = 30.0
CHANGE_SECONDS: Final = 60.0


class Effect(Enum):
    """What a call does to the world, and so whether it may be repeated when its answer is lost."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    CHANGE = "change"


@dataclass(frozen=True)
class Call:
    """`what` completes "could not …" for people. `action` and `of` name the rate limit's bucket.

    `authorization` replaces rotator's own header: to try a credential. `body` is not shown in a
    repr, because it may hold values.
    """

    what: str
    method: str
    path: str
    action: str
    of: str
    effect: Effect = Effect.READ
    rate: Rate = NORMAL
    query: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: object | None = field(default=None, repr=False)
    authorization: Secret | None = None
    timeout_seconds: float = READ_SECONDS


@dataclass(frozen=True)
class Answer:
    """A success: its JSON, unparsed, and Fly's request id. May hold values, so no repr of it."""

    status: int
    json: object = field(repr=False)
    request_id: str | None = None
