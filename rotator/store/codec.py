"""Domain documents as JSON text: credential specs, rollout policies, issued values, details.

pydantic's adapters read the frozen dataclasses strictly; what can't be read is a database that
another version wrote, and is said so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.errors import InputError
from rotator.domain.policy import RolloutPolicy
from rotator.domain.rotation import Parked

T = TypeVar("T")


class Document(Generic[T]):
    """Reads and writes one type."""

    def __init__(self, type_: type[T], what: str) -> None:
        self._adapter = TypeAdapter(type_)
        self._what = what

    def dump(self, value: T) -> str:
        """As JSON text."""
        return self._adapter.dump_json(value).decode()

    def load(self, text: str) -> T:
        """From JSON text."""
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise InputError(
                f"the database holds a {self._what} that this rotator can't read ({place})",
                next_step="run the rotator that wrote it, or `rotator db check`",
            ) from None


@cache
def spec_document() -> Document[CredentialSpec]:
    """Credential specs."""
    return Document(CredentialSpec, "credential")


@cache
def policy_document() -> Document[RolloutPolicy]:
    """Rollout policies."""
    return Document(RolloutPolicy, "rollout policy")


@cache
def issued_document() -> Document[Issued]:
    """What issuers hold."""
    return Document(Issued, "version")


@cache
def parked_document() -> Document[Parked]:
    """Why rotations are parked."""
    return Document(Parked, "parked rotation")


def dump_detail(detail: Mapping[str, str]) -> str:
    """A flat text-to-text map as JSON."""
    return json.dumps(dict(detail), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load_detail(text: str) -> dict[str, str]:
    """The map that `dump_detail` wrote."""
    return {str(key): str(value) for key, value in json.loads(text).items()}
