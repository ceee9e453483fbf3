"""Answers of Fly's into types: unknown fields are let pass, missing ones are a named error."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from rotator.domain.errors import RotatorError
from rotator.fly.call import Answer, Call
from rotator.fly.failures import lost

M = TypeVar("M", bound=BaseModel)


class FlyModel(BaseModel):
    """Base of what is read from Fly. Its errors don't quote the input, which may hold values."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True
    )


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_utc)]
"""RFC 3339 text; without a zone it is taken for UTC."""


def parse(model: type[M], call: Call, answer: Answer, found: object = ...) -> M:
    """Read the answer (or `found`, a part of it) as `model`.

    Raises:
        Unavailable: a field that is needed is missing from the answer to a read.
        OutcomeUnknown: the same for a change, which has happened then.
    """
    try:
        return model.model_validate(answer.json if found is ... else found)
    except ValidationError as error:
        raise unexpected(call, answer, _first(error)) from None


def unexpected(call: Call, answer: Answer, what: str) -> RotatorError:
    """The error for an answer that is not what Fly's contract says."""
    message = f"could not {call.what}: Fly's answer is not as its API describes it: {what}"
    return lost(call, message, answer.request_id)


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the answer"
    return f"{where}: {first['msg'].lower()}"
