"""Limited access tokens: made, listed and deleted by GraphQL, tried out by the Machines API.

Lists never select a token's value. A value is shown once, when the token is made: when that answer
is lost, the value is lost, and the token has to be found by its name and deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import Field

from rotator.domain.errors import NotAllowed, NotFound, Refused
from rotator.domain.secret import Secret
from rotator.fly.auth import graphql_authorization, machines_authorization
from rotator.fly.call import Call, Effect
from rotator.fly.graphql import PAGE_SIZE, Graphql
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.paths import app_path
from rotator.fly.transport import Transport


@dataclass(frozen=True)
class CreatedToken:
    """A token fresh from Fly. `header` is its value, scheme word and discharges included."""

    id: str
    name: str
    created_at: datetime
    expires_at: datetime
    header: Secret
    request_id: str | None = None


@dataclass(frozen=True)
class ListedToken:
    """A token as lists show it: no value. Revoked ones stay listed."""

    id: str
    name: str
    profile: str
    profile_params: Mapping[str, object] = field(repr=False)
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    user_email: str
    user_id: str = ""

    def alive(self, now: datetime) -> bool:
        """Whether Fly would take it, as far as a list can tell."""
        return self.revoked_at is None and self.expires_at > now


@dataclass(frozen=True)
class TokenHolder:
    """What Fly says about a token that it accepts."""

    token_id: str
    organization: str
    apps: tuple[str, ...]


class _Created(FlyModel):
    id: str
    name: str
    created_at: Instant = Field(alias="createdAt")
    expires_at: Instant = Field(alias="expiresAt")
    header: str = Field(alias="tokenHeader", min_length=1, repr=False)


class _CreatePayload(FlyModel):
    token: _Created = Field(alias="limitedAccessToken")


class _CreateData(FlyModel):
    payload: _CreatePayload = Field(alias="createLimitedAccessToken")


class _DeleteData(FlyModel):
    payload: Mapping[str, object] | None = Field(alias="deleteLimitedAccessToken")


class _LogOutPayload(FlyModel):
    ok: bool


class _LogOutData(FlyModel):
    payload: _LogOutPayload = Field(alias="logOut")


class _User(FlyModel):
    id: str = ""
    email: str = ""


class _Node(FlyModel):
    id: str
    name: str
    profile: str
    profile_params: Mapping[str, object] | None = Field(default=None, alias="profileParams")
    created_at: Instant = Field(alias="createdAt")
    expires_at: Instant = Field(alias="expiresAt")
    revoked_at: Instant | None = Field(default=None, alias="revokedAt")
    user: _User | None = None

    def plain(self) -> ListedToken:
        return ListedToken(
            self.id,
            self.name,
            self.profile,
            self.profile_params or {},
            self.created_at,
            self.expires_at,
            self.revoked_at,
            self.user.email if self.user else "",
            self.user.id if self.user else "",
        )


class PageInfo(FlyModel):
    """Where a connection's next page begins."""

    has_next_page: bool = Field(alias="hasNextPage")
    end_cursor: str | None = Field(default=None, alias="endCursor")


class TokenConnection(FlyModel):
    """A page of tokens."""

    nodes: tuple[_Node | None, ...]
    page: PageInfo = Field(alias="pageInfo")

    def plain(self) -> list[ListedToken]:
        """As domain types."""
        return [node.plain() for node in self.nodes if node is not None]


class _Holder(FlyModel):
    tokens: TokenConnection = Field(alias="limitedAccessTokens")


class _AppTokensData(FlyModel):
    holder: _Holder | None = Field(alias="app")


class _OrganizationTokensData(FlyModel):
    holder: _Holder | None = Field(alias="organization")


class _TokenInfo(FlyModel):
    token_id: str = ""
    org_slug: str = ""
    organization: str = ""
    apps: tuple[str, ...] | None = None


class _CurrentToken(FlyModel):
    tokens: tuple[_TokenInfo, ...]


class TokensApi:
    """Limited access tokens."""

    def __init__(self, graphql: Graphql, machines: Transport) -> None:
        self._graphql, self._machines = graphql, machines

    async def create(
        self,
        *,
        name: str,
        organization_id: str,
        profile: str,
        profile_params: Mapping[str, object],
        expiry: str,
    ) -> CreatedToken:
        """Make a token. `expiry` is a Go duration (`720h0m0s`). Never repeated by itself."""
        data, ref = await self._graphql.run(
            "CreateLimitedAccessToken",
            _CreateData,
            f"create the token {name}",
            {
                "input": {
                    "name": name,
                    "organizationId": organization_id,
                    "profile": profile,
                    "profileParams": dict(profile_params),
                    "expiry": expiry,
                }
            },
            effect=Effect.CHANGE,
        )
        made = data.payload.token
        return CreatedToken(
            made.id, made.name, made.created_at, made.expires_at, Secret(made.header), ref
        )

    async def delete(self, token_id: str) -> None:
        """Revoke a token by its id. Fly: a repeat succeeds. `NotFound` for an unknown id."""
        await self._graphql.run(
            "DeleteLimitedAccessToken",
            _DeleteData,
            f"revoke the token {token_id}",
            {"input": {"id": token_id}},
            effect=Effect.IDEMPOTENT,
        )

    async def delete_presented(self, member: Secret) -> None:
        """Revoke a token by its text, whoever made it. `NotFound` where Fly does not know it."""
        await self._graphql.run(
            "DeleteLimitedAccessToken",
            _DeleteData,
            "revoke the token",
            {"input": {"token": member.reveal()}},
            effect=Effect.IDEMPOTENT,
        )

    async def sign_out(self, token: Secret) -> None:
        """Let a token give itself up, as `fly tokens revoke supplied` does: the call is authorised
        by that token and not by ours. `NotAllowed` where Fly does not accept it any more."""
        await self._graphql.run(
            "LogOut",
            _LogOutData,
            "let the token give itself up",
            {"input": {}},
            effect=Effect.IDEMPOTENT,
            authorization=graphql_authorization(token),
        )

    async def of_app(self, app: str) -> Sequence[ListedToken]:
        """All tokens of an app, revoked and expired ones included."""
        found: list[ListedToken] = []
        after: str | None = None
        while True:
            data, ref = await self._graphql.run(
                "AppTokens",
                _AppTokensData,
                f"list the tokens of {app}",
                {"name": app, "first": PAGE_SIZE, "after": after},
            )
            if data.holder is None:
                raise NotFound(f"could not list the tokens of {app}: no such app", request_id=ref)
            found += data.holder.tokens.plain()
            after = _next(data.holder.tokens.page)
            if after is None:
                return found

    async def of_organization(self, slug: str) -> Sequence[ListedToken]:
        """All tokens of an organisation; Fly may list those of its apps too."""
        found: list[ListedToken] = []
        after: str | None = None
        while True:
            data, ref = await self._graphql.run(
                "OrganizationTokens",
                _OrganizationTokensData,
                f"list the tokens of {slug}",
                {"slug": slug, "first": PAGE_SIZE, "after": after},
            )
            if data.holder is None:
                raise NotFound(f"could not list the tokens of {slug}: no such one", request_id=ref)
            found += data.holder.tokens.plain()
            after = _next(data.holder.tokens.page)
            if after is None:
                return found

    async def current(
        self, token: Secret | None = None, *, action: str = "current token"
    ) -> Sequence[TokenHolder]:
        """Use a token once, harmlessly: what Fly says it is. Rotator's own where none is given.
        Calls of one `action` queue up behind each other.

        Raises:
            Refused: Fly does not accept the token given.
            NotAllowed: Fly does not accept rotator's own.
        """
        call = Call(
            what="try a token" if token else "try the API token",
            method="GET",
            path="/v1/tokens/current",
            action=action,
            of="",
            authorization=machines_authorization(token) if token else None,
        )
        try:
            answer = await self._machines.send(call)
        except NotAllowed as error:
            if token is None:
                raise
            raise Refused("Fly does not accept the token", request_id=error.request_id) from None
        return [
            TokenHolder(info.token_id, info.org_slug or info.organization, info.apps or ())
            for info in parse(_CurrentToken, call, answer).tokens
        ]

    async def read_app(self, app: str, token: Secret) -> None:
        """Read an app with a token: harmless. `Refused` when Fly does not let it."""
        await self._try_out(Call("", "GET", app_path(app), APP_ACTIONS, app), token)

    async def read_organization(self, slug: str, token: Secret) -> None:
        """List an organisation's apps with a token: harmless. `Refused` when Fly does not let
        it."""
        query = {"org_slug": slug}
        await self._try_out(Call("", "GET", "/v1/apps", "list apps", slug, query=query), token)

    async def _try_out(self, call: Call, token: Secret) -> None:
        what = f"read {call.of} with the token"
        try:
            await self._machines.send(
                replace(call, what=what, authorization=machines_authorization(token))
            )
        except (NotAllowed, NotFound) as error:
            raise Refused(
                f"Fly does not let the token read {call.of}", request_id=error.request_id
            ) from None


def _next(page: PageInfo) -> str | None:
    return page.end_cursor if page.has_next_page else None
