"""Deploy tokens: limited access tokens of one app, old and new side by side for a while."""

# ruff: noqa: ARG002 - the Kind protocol passes more than this kind needs
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.durations import go_duration
from rotator.domain.errors import NeedsHuman, NotFound, NotYet, Refused
from rotator.domain.fields import Field, FieldType, Params, ParamValue, optional_text, text
from rotator.domain.names import wrong_app, wrong_token
from rotator.domain.ports import Clock, Entropy, Evidence, Minted, MintRequest
from rotator.domain.secret import Secret
from rotator.fly import macaroon
from rotator.fly.organizations import AppIdentity
from rotator.fly.tokens import CreatedToken, ListedToken, TokenHolder

PROFILE: Final = "deploy"
REVOCATION_LAG_SECONDS: Final = 2.0
"""How soon to try a revoked token again: Fly needs seconds to tell every place."""
EXPIRY_SLACK: Final = timedelta(minutes=10)
"""How much later than asked Fly's clock may let the token end."""
_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"


class IdentityClient(Protocol):
    """What this kind needs to know of apps."""

    async def app(self, name: str) -> AppIdentity:
        """One app by name."""
        ...


class TokenClient(Protocol):
    """What this kind needs of limited access tokens."""

    async def create(
        self,
        *,
        name: str,
        organization_id: str,
        profile: str,
        profile_params: Mapping[str, object],
        expiry: str,
    ) -> CreatedToken:
        """Make a token."""
        ...

    async def delete(self, token_id: str) -> None:
        """Revoke a token. `NotFound` for an unknown id."""
        ...

    async def of_app(self, app: str) -> Sequence[ListedToken]:
        """All tokens of an app."""
        ...

    async def current(self, token: Secret | None = None) -> Sequence[TokenHolder]:
        """Use a token once. `Refused` when Fly does not take it."""
        ...


def _check_app(value: ParamValue) -> str | None:
    return wrong_app(str(value))


def _check_name(value: ParamValue) -> str | None:
    return wrong_token(str(value))


class DeployTokenKind:
    """A token that may deploy one app; targets receive it as Fly shows it, scheme included.

    Its names at Fly are `{token_name}-{rotation id}`: names need not be unique there, ours are.
    """

    name = "deploy-token"
    issuer_lists = True
    fields: tuple[Field, ...] = (
        Field(
            "app",
            FieldType.TEXT,
            '"web"',
            required=True,
            check=_check_app,
            about="the app that the token may deploy",
        ),
        Field(
            "token_name",
            FieldType.TEXT,
            '"ci"',
            check=_check_name,
            about="start of the token's name at Fly; the credential's name where absent",
        ),
    )

    def __init__(self, tokens: TokenClient, identities: IdentityClient, clock: Clock) -> None:
        self._tokens, self._identities, self._clock = tokens, identities, clock

    def check(self, params: Params) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def place(self, name: str, organization: str, params: Params) -> str:
        """`deploy-token:{app}/{token_name}`."""
        return f"deploy-token:{text(params, 'app')}/{_token_name(name, params)}"

    def issue_name(self, spec: CredentialSpec, rotation_id: str) -> str:
        """`{token_name}-{rotation id}`."""
        return f"{_token_name(spec.name, spec.params)}-{rotation_id}"

    def prepare(self, request: MintRequest, entropy: Entropy) -> Secret | None:
        """Nothing: Fly makes the value."""
        return None

    async def mint(self, request: MintRequest, prepared: Secret | None) -> Minted:
        """Create the token, to end when the policy wants. (Fly: without an expiry, 20 years.)"""
        if request.expires_at is None:
            raise NeedsHuman(
                f"the policy of {request.spec.name} gives its token no end",
                next_step="set `every`, `cron` or `max_age` in the manifest",
            )
        app = await self._identities.app(text(request.spec.params, "app"))
        created = await self._tokens.create(
            name=request.issue_name,
            organization_id=app.organization.id,
            profile=PROFILE,
            profile_params={"app_id": app.id},
            expiry=go_duration(request.expires_at - self._clock.now()),
        )
        issued = Issued(
            ref=created.id,
            name=created.name,
            facts={
                "app_number": str(app.number),
                "organization_number": str(app.organization.number),
                "asked_expiry": request.expires_at.isoformat(),
            },
            created_at=created.created_at,
            expires_at=created.expires_at,
        )
        return Minted(issued, created.header, created.request_id)

    async def locate(self, request: MintRequest) -> Sequence[Issued]:
        """Tokens of this rotation's name that live. Their values are lost with their answers."""
        now = self._clock.now()
        return [
            _issued(token)
            for token in await self._tokens.of_app(text(request.spec.params, "app"))
            if token.name == request.issue_name and token.alive(now)
        ]

    async def prove(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Evidence:
        """Read the token's scope and expiry, then use it once to ask Fly what it is."""
        token = _permission(value)
        detail = _check_scope(token, issued)
        holders = await self._tokens.current(value)
        app = text(spec.params, "app")
        named = {name for holder in holders for name in holder.apps}
        # Fly may leave the apps out; where it names some, ours must be the only one.
        if named and named != {app}:
            raise Refused(f"Fly says that the new token is for {', '.join(sorted(named))}")
        return Evidence(
            f"Fly accepts the token {issued.name}; it is limited to {app} and ends as asked", detail
        )

    async def revoke(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        """Delete the token by its id. An id that Fly does not know is looked for in the list."""
        try:
            await self._tokens.delete(issued.ref)
        except NotFound:
            now = self._clock.now()
            listed = await self._tokens.of_app(text(spec.params, "app"))
            if any(token.id == issued.ref and token.alive(now) for token in listed):
                raise NotYet(
                    f"Fly says that the token {issued.name} does not exist, but still lists it",
                    after_seconds=REVOCATION_LAG_SECONDS,
                ) from None
            return Evidence(f"the token {issued.name} was gone already")
        return Evidence(f"Fly revoked the token {issued.name}")

    async def disprove(
        self, spec: CredentialSpec, issued: Issued, value: Secret | None
    ) -> Evidence:
        """Try the revoked token once more: it must be refused. Lists lag, so they prove less."""
        if value is None:
            return await self._seen_revoked(spec, issued)
        try:
            await self._tokens.current(value)
        except Refused as error:
            return Evidence(
                f"Fly refuses the revoked token {issued.name}", request_id=error.request_id
            )
        raise NotYet(
            f"Fly still accepts the revoked token {issued.name}",
            after_seconds=REVOCATION_LAG_SECONDS,
        )

    async def _seen_revoked(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        now = self._clock.now()
        for token in await self._tokens.of_app(text(spec.params, "app")):
            if token.id == issued.ref and token.alive(now):
                raise NotYet(
                    f"Fly still lists the revoked token {issued.name} as alive",
                    after_seconds=REVOCATION_LAG_SECONDS,
                )
        return Evidence(
            f"Fly no longer lists the token {issued.name} as alive; its value was never known, "
            "so it was not tried"
        )

    async def holdings(self, spec: CredentialSpec) -> Sequence[Issued]:
        """Living tokens of the app that are named like the credential's."""
        now = self._clock.now()
        pattern = re.compile(rf"{re.escape(_token_name(spec.name, spec.params))}(-{_ULID})?")
        return [
            _issued(token)
            for token in await self._tokens.of_app(text(spec.params, "app"))
            if pattern.fullmatch(token.name) and token.alive(now)
        ]

    def render(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Secret:
        """The value as it is."""
        return value

    def entropy_bits(self, params: Params) -> int | None:
        """None: Fly makes it."""
        return None

    def calls(self, spec: CredentialSpec) -> Mapping[str, tuple[str, ...]]:
        """Calls by step."""
        app = text(spec.params, "app")
        return {
            "mint": (f"query AppIdentity({app})", "mutation createLimitedAccessToken"),
            "prove": ("GET /v1/tokens/current (with the new token)",),
            "retire": (
                "mutation deleteLimitedAccessToken",
                "GET /v1/tokens/current (with the old token, if its value is known)",
            ),
        }


def _token_name(name: str, params: Params) -> str:
    return optional_text(params, "token_name") or name


def _issued(token: ListedToken) -> Issued:
    return Issued(
        ref=token.id, name=token.name, created_at=token.created_at, expires_at=token.expires_at
    )


def _permission(value: Secret) -> macaroon.Macaroon:
    try:
        tokens = macaroon.permission_tokens(value.reveal())
    except macaroon.MacaroonError as error:
        raise Refused(f"the new token can't be read: {error}") from None
    if len(tokens) != 1:
        raise Refused(f"Fly's answer holds {len(tokens)} permission tokens, not one")
    return tokens[0]


def _check_scope(token: macaroon.Macaroon, issued: Issued) -> dict[str, str]:
    """Compare the decoded scope and expiry with what was asked."""
    wanted_app = int(issued.facts["app_number"])
    wanted_organization = int(issued.facts["organization_number"])
    apps = macaroon.app_ids(token)
    if apps != frozenset({wanted_app}):
        raise Refused("the new token is not limited to the app that it was asked for")
    if macaroon.organization_ids(token) != frozenset({wanted_organization}):
        raise Refused("the new token is not limited to the organisation of its app")
    ends = macaroon.expires_at(token)
    asked = datetime.fromisoformat(issued.facts["asked_expiry"])
    if ends is None or ends > asked + EXPIRY_SLACK:
        raise Refused("the new token would live longer than was asked")
    return {
        "fingerprint": macaroon.fingerprint(token),
        "nonce": str(macaroon.nonce_uuid(token)),
        "expires_at": ends.isoformat(),
        "app_number": str(wanted_app),
    }
