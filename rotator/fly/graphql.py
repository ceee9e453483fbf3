"""Fly's GraphQL API: typed documents, and errors that come with a status of 200.

The documents are the `.graphql` files beside this module; contract tests hold them against Fly's
schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar

from pydantic import BaseModel

from rotator.domain.errors import (
    NotAllowed,
    NotFound,
    Refused,
    RotatorError,
    TokenRefused,
    Unavailable,
)
from rotator.domain.secret import Secret
from rotator.fly.call import CHANGE_SECONDS, READ_SECONDS, Answer, Call, Effect
from rotator.fly.failures import lost
from rotator.fly.parsing import parse
from rotator.fly.redact import redacted
from rotator.fly.transport import Transport

M = TypeVar("M", bound=BaseModel)

PAGE_SIZE: Final = 200

_DENIED: Final = frozenset({"UNAUTHORIZED", "UNAUTHENTICATED", "FORBIDDEN"})
_INVALID: Final = frozenset({"UNPROCESSABLE", "INVALID", "INVALID_ARGUMENTS", "UNCHANGED"})
_LATER: Final = frozenset({"MAINTENANCE", "SERVICE_UNAVAILABLE", "TOO_MANY_REQUESTS"})


@cache
def document(name: str) -> str:
    """The text of an operation."""
    return (files("rotator.fly") / "documents" / f"{name}.graphql").read_text("utf-8")


class Graphql:
    """Runs documents."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def run(
        self,
        name: str,
        model: type[M],
        what: str,
        variables: Mapping[str, object],
        *,
        effect: Effect = Effect.READ,
        authorization: Secret | None = None,
    ) -> tuple[M, str | None]:
        """Run the document `name`; give its data as `model`, and Fly's request id. Authorised by
        rotator's own token where no other is given.

        Raises:
            RotatorError: any entry in `errors` decides, also beside partial data.
        """
        call = Call(
            what=what,
            method="POST",
            path="/graphql",
            action=f"graphql:{name}",
            of="",
            effect=effect,
            body={"query": document(name), "variables": dict(variables), "operationName": name},
            authorization=authorization,
            timeout_seconds=READ_SECONDS if effect is Effect.READ else CHANGE_SECONDS,
        )
        answer = await self._transport.send(call, check=lambda answer: _refusal(call, answer))
        data = answer.json.get("data") if isinstance(answer.json, dict) else None
        return parse(model, call, answer, data), answer.request_id


def _refusal(call: Call, answer: Answer) -> RotatorError | None:
    """The error that the answer holds, if any."""
    if not isinstance(answer.json, dict):
        return lost(call, f"could not {call.what}: Fly's answer is no GraphQL", answer.request_id)
    errors = answer.json.get("errors")
    if not errors:
        return None
    first = errors[0] if isinstance(errors, list) else errors
    first = first if isinstance(first, dict) else {}
    extensions = first.get("extensions")
    code = str(extensions.get("code", "")) if isinstance(extensions, dict) else ""
    told = redacted(str(first.get("message", "")))
    return _error(call, code, told, answer.request_id)


def _error(call: Call, code: str, told: str, ref: str | None) -> RotatorError:
    message = f"could not {call.what}: Fly says {told or code or 'nothing more'}"
    lowered = told.lower()
    if "must be authenticated" in lowered:
        return TokenRefused(
            message,
            next_step="`rotator check` shows what became of the API token",
            request_id=ref,
        )
    if code in _DENIED or "not authorized" in lowered:
        return NotAllowed(
            message,
            next_step="`rotator check` shows what the API token may do",
            request_id=ref,
        )
    if code == "NOT_FOUND" or lowered.startswith("could not find"):
        return NotFound(message, request_id=ref)
    if code in _LATER and call.effect is Effect.READ:
        return Unavailable(message, request_id=ref)
    if code in _INVALID or not code:
        return Refused(message, request_id=ref)
    # SERVER_ERROR and codes that nobody has heard of: of a change it may have happened.
    return lost(call, message, ref)
