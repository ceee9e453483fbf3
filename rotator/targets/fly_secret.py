"""App secrets on Fly, written by the Machines API."""

# ruff: noqa: ARG002 - the Target protocol passes more than this target needs
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import Drift, OutcomeUnknown
from rotator.domain.fields import Field, FieldType, Params, named, text
from rotator.domain.names import wrong_app, wrong_secret
from rotator.domain.ports import Evidence, Receipt, TargetState
from rotator.domain.secret import Secret
from rotator.fly.secrets import AppSecret, SecretsUpdate

ABSENT: Final = "absent"
"""Marker of a secret that was taken away. Digests are never this short."""


class SecretsClient(Protocol):
    """What this target needs of the Fly client."""

    async def secrets(self, app: str, *, min_version: int | None = None) -> Sequence[AppSecret]:
        """The app's secrets, without values, as of at least this version."""
        ...

    async def set_secrets(self, app: str, values: Mapping[str, Secret | None]) -> SecretsUpdate:
        """Set these and delete those that are None, in one change."""
        ...


class FlySecretTarget:
    """One secret of one app. Setting it restarts nothing: that is the rollout's part.

    The marker is the digest in Fly's answer. Digests are opaque: one is only ever compared with
    an earlier one of the same secret. Setting an equal value may keep digest and date.
    """

    type = "fly-secret"
    fields: tuple[Field, ...] = (
        Field(
            "app",
            FieldType.TEXT,
            '"web"',
            required=True,
            check=named(wrong_app),
            about="the app on Fly",
        ),
        Field(
            "name",
            FieldType.TEXT,
            '"SESSION_KEY"',
            required=True,
            check=named(wrong_secret),
            about="the secret's name: the environment variable that machines read",
        ),
    )

    def __init__(self, client: SecretsClient) -> None:
        self._client = client

    def check(self, params: Params) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def key(self, params: Params) -> str:
        """`fly-secret:{app}/{name}`."""
        return f"fly-secret:{text(params, 'app')}/{text(params, 'name')}"

    def app(self, params: Params) -> str | None:
        """The app that has the secret."""
        return text(params, "app")

    def secret_name(self, params: Params) -> str | None:
        """The environment variable."""
        return text(params, "name")

    async def inspect(self, spec: TargetSpec) -> TargetState | None:
        """Digest and date of the secret, from the list."""
        listed = await self._listed(spec, None)
        return None if listed is None else TargetState(listed.digest, listed.updated_at)

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        """Set the secret. `OutcomeUnknown` if the answer does not show it."""
        app, name = text(spec.params, "app"), text(spec.params, "name")
        update = await self._client.set_secrets(app, {name: value})
        for secret in update.secrets:
            if secret.name == name:
                return Receipt(secret.digest, update.version, update.request_id)
        raise OutcomeUnknown(
            f"Fly's answer to setting {name} of {app} does not show the secret; "
            "rotator sets it again",
            request_id=update.request_id,
        )

    async def confirm(self, spec: TargetSpec, receipt: Receipt) -> Evidence:
        """See that the list, as of the delivery's version or later, shows the delivered digest."""
        app, name = text(spec.params, "app"), text(spec.params, "name")
        listed = await self._listed(spec, receipt.secrets_version)
        shown = ABSENT if listed is None else listed.digest
        if shown == receipt.marker:
            return Evidence(
                f"{app} shows for {name} the digest of what rotator delivered",
                {"secrets_version": str(receipt.secrets_version or 0)},
            )
        if listed is None:
            raise Drift(
                f"the secret {name} of {app} was deleted after rotator had set it",
                next_step="find out who deleted it, then retry the rotation",
            )
        raise Drift(
            f"somebody else set the secret {name} of {app} after rotator had changed it; "
            "their value is left as it is",
            next_step="find out who sets it, then retry the rotation",
        )

    async def remove(self, spec: TargetSpec) -> Receipt:
        """Delete the secret. Fly takes the deletion of what is not there for success."""
        app, name = text(spec.params, "app"), text(spec.params, "name")
        update = await self._client.set_secrets(app, {name: None})
        return Receipt(ABSENT, update.version, update.request_id)

    def calls(self, spec: TargetSpec) -> Mapping[str, tuple[str, ...]]:
        """REST calls by step; a delivery looks first at what stands there."""
        path = f"/v1/apps/{text(spec.params, 'app')}/secrets"
        return {"deliver": (f"GET {path}", f"POST {path}"), "confirm": (f"GET {path}",)}

    async def _listed(self, spec: TargetSpec, min_version: int | None) -> AppSecret | None:
        name = text(spec.params, "name")
        for secret in await self._client.secrets(text(spec.params, "app"), min_version=min_version):
            if secret.name == name:
                return secret
        return None
