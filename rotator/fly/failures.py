"""What a failed HTTP exchange means to the caller: statuses and Fly's texts to domain errors.

Fly: `message` wins over `error`; statuses say little, so some texts have to be read.
"""

from __future__ import annotations

import json
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from rotator.domain.errors import (
    Busy,
    Drift,
    NotAllowed,
    NotFound,
    NotYet,
    OutcomeUnknown,
    Refused,
    RotatorError,
    TokenRefused,
    Unavailable,
)
from rotator.fly.call import Call, Effect
from rotator.fly.redact import redacted

REQUEST_ID_HEADER: Final = "fly-request-id"
MAX_WISH_SECONDS: Final = 300.0
"""The longest `Retry-After` that is honoured as it stands."""

_LEASED: Final = "lease currently held by"
_TRANSITION: Final = (
    "getting replaced",
    "still active",
    "still attempting",
    "min_secrets_version",
    "secrets version",
)
_CAPACITY: Final = ("insufficient", "could not reserve", "temporarily disabled")
LEASE_WAIT_SECONDS: Final = 10.0


class MachineReplaced(Drift):
    """The version of the machine that was asked about is not the present one any more."""


def request_id(response: httpx.Response) -> str | None:
    """Fly's id of the exchange, if it looks like one."""
    found = response.headers.get(REQUEST_ID_HEADER, "")
    return redacted(found) if found else None


def failure(call: Call, response: httpx.Response, now: datetime) -> RotatorError:
    """The error for an answer that is not a success."""
    told = fly_text(response)
    message = f"could not {call.what}: Fly answered {response.status_code}" + (
        f" ({told})" if told else ""
    )
    ref = request_id(response)
    special = _by_text(call, message, told.lower(), response.status_code, ref)
    if special is not None:
        return special
    match response.status_code:
        case 401:
            return TokenRefused(
                message,
                next_step="`rotator check` shows what became of the API token",
                request_id=ref,
            )
        case 403:
            return NotAllowed(
                message,
                next_step="`rotator check` shows what the API token may do",
                request_id=ref,
            )
        case 404:
            return NotFound(message, request_id=ref)
        case 409 | 423:
            return Busy(message, after_seconds=wish(response, now), request_id=ref)
        case 412:
            return Drift(message, request_id=ref)
        case 429:
            return Unavailable(message, after_seconds=wish(response, now), request_id=ref)
        case 408:
            return lost(call, message, ref)
        case status if status >= 500:
            return lost(call, message, ref, after_seconds=wish(response, now))
        case status if status >= 400:
            return Refused(message, request_id=ref)
        case _:
            return lost(call, message, ref)


def _by_text(
    call: Call, message: str, told: str, status: int, ref: str | None
) -> RotatorError | None:
    if status not in (400, 408, 409, 412, 422):
        return None
    if status == 408 and call.effect is Effect.READ and "desired state" in told:
        return (
            MachineReplaced(message, request_id=ref)
            if "currently replaced" in told
            else NotYet(message, request_id=ref)
        )
    if _LEASED in told:
        return Busy(message, after_seconds=LEASE_WAIT_SECONDS, request_id=ref)
    if "currently replaced" in told:
        return MachineReplaced(message, request_id=ref)
    if status == 412 and any(text in told for text in _TRANSITION):
        return NotYet(message, request_id=ref)
    if status != 408 and any(text in told for text in _CAPACITY):
        return Unavailable(message, request_id=ref)
    return None


def lost(
    call: Call, message: str, ref: str | None = None, *, after_seconds: float | None = None
) -> RotatorError:
    """The error for an exchange whose effect is not known: a change may have happened."""
    kind = Unavailable if call.effect is Effect.READ else OutcomeUnknown
    return kind(message, after_seconds=after_seconds, request_id=ref)


def wish(response: httpx.Response, now: datetime) -> float | None:
    """`Retry-After` in seconds: RFC 9110 allows a number or a date."""
    given = response.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit():
        return min(float(given), MAX_WISH_SECONDS)
    try:
        seconds = (parsedate_to_datetime(given) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(0.0, seconds), MAX_WISH_SECONDS)


def fly_text(response: httpx.Response) -> str:
    """Fly's own words, redacted; empty for an answer that is not Fly's JSON (a proxy's page)."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return "" if not response.content else "not JSON"
    if not isinstance(body, dict):
        return ""
    for key in ("message", "error"):
        if isinstance(body.get(key), str) and body[key]:
            return redacted(body[key])
    return ""
