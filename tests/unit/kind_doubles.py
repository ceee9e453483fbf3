"""Doubles and builders that the tests of kinds and targets share."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from rotator.domain.credential import CredentialSpec, TargetSpec
from rotator.domain.fields import Params
from rotator.domain.policy import Policy
from rotator.domain.ports import Kind, MintRequest

ROTATION = "01JD9ZQ4T0000000000000000A"
START = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)


class VirtualClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class SeededEntropy:
    """Repeatable randomness."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)

    def ulid(self, now: datetime) -> str:
        return ROTATION


def a_credential(
    kind: str, params: Params, *, name: str = "ci", org: str = "acme"
) -> CredentialSpec:
    """A credential of this kind, without targets."""
    return CredentialSpec(
        name=name,
        kind=kind,
        organization=org,
        place=f"{kind}:{name}",
        params=params,
        targets=(),
        policy=Policy(),
    )


def a_request(
    kind: Kind, spec: CredentialSpec, *, rotation_id: str = ROTATION, days: int | None = 30
) -> MintRequest:
    """What the engine asks of a kind; the value is to live for `days` from START."""
    return MintRequest(
        spec=spec,
        rotation_id=rotation_id,
        issue_name=kind.issue_name(spec, rotation_id),
        expires_at=None if days is None else START + timedelta(days=days),
    )


def a_target(type_: str, params: Params) -> TargetSpec:
    """A target of this type."""
    return TargetSpec(type=type_, key=f"{type_}:test", params=params)
