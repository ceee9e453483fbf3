"""Who set an app secret: GraphQL tells, the Machines API does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from rotator.domain.credential import TargetSpec
from rotator.domain.fields import optional_text
from rotator.domain.ports import TargetState
from rotator.fly.graphql import Graphql
from rotator.fly.parsing import FlyModel
from rotator.fly.survey import SecretModel

SAME_WRITE: Final = timedelta(seconds=5)
"""Both APIs tell of one write; their dates may be rounded."""


class _App(FlyModel):
    secrets: tuple[SecretModel, ...]


class _AppData(FlyModel):
    app: _App | None


class FlyWitness:
    """Implements `domain.drift.Witness`."""

    def __init__(self, graphql: Graphql) -> None:
        self._graphql = graphql

    async def author(self, target: TargetSpec, state: TargetState) -> str:
        """The e-mail address of whoever set the secret as it stands, or ""."""
        name = optional_text(target.params, "name")
        if target.app is None or name is None:
            return ""
        data, _ = await self._graphql.run(
            "SecretAuthors",
            _AppData,
            f"see who set {name} of {target.app}",
            {"name": target.app},
        )
        for secret in data.app.secrets if data.app is not None else ():
            if secret.name == name and secret.user is not None and _same(secret, state):
                return secret.user.email
        return ""


def _same(secret: SecretModel, state: TargetState) -> bool:
    """Whether this is the write that was seen: digests of the two APIs need not be alike."""
    if secret.digest == state.marker:
        return True
    if secret.created_at is None or state.changed_at is None:
        return False
    return abs(secret.created_at - state.changed_at) <= SAME_WRITE
