"""Limited access tokens: what all their kinds have in common.

Where a token becomes narrow, and why there: Fly knows two profiles only, and everything below them
is taken away here, by caveats on the token that Fly has just made. That happens inside `mint`,
before the value is sealed, so no version of a narrowed credential ever holds the wide token: what
is sealed is what is proven, delivered, tried again after its revocation and, if need be, restored.
A crash between Fly's answer and the commit loses the wide token with the answer, as it loses any
other; the next try finds it by its name, which carries the rotation's id, and revokes it. The
issuer's id is that of the wide token, and its revocation refuses every narrowed copy (Fly: by
nonce), so `locate` and `revoke` need not know of the narrowing.

`bind` is the exception: a bound token works on Fly only at its place, where rotator is not, so a
bound token could neither be proven nor seen to be refused. It is sealed unbound, and bound in
`render`, by what the version's facts say and not the manifest: an old value that is put back is
the text that stood there before. Both are pure; the same version always gives the same bytes.
"""

# ruff: noqa: ARG002 - the Kind protocol passes more than these kinds need
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.durations import go_duration
from rotator.domain.errors import NeedsHuman, NotFound, NotYet, Refused
from rotator.domain.fields import Field, FieldType, Params, named, optional_text, text
from rotator.domain.names import wrong_app, wrong_token
from rotator.domain.ports import Clock, Entropy, Evidence, Minted, MintRequest
from rotator.domain.secret import Secret
from rotator.domain.taint import Reach
from rotator.fly import caveats as c
from rotator.fly.access import Access
from rotator.fly.organizations import Organization
from rotator.fly.tokens import ListedToken
from rotator.fly.tracing import lineage_facts
from rotator.kinds import token_scope
from rotator.kinds.narrowing import ALL_NARROWS, BIND, Command, bind_of, narrow_field, narrow_of
from rotator.kinds.token_ports import IdentityClient, TokenClient
from rotator.kinds.token_value import (
    bound,
    copied,
    end_of,
    facts_of,
    numbers_of,
    wrong_bind,
    wrong_life,
)

DEPLOY: Final = "deploy"
ORGANIZATION: Final = "deploy_organization"
LOGIN: Final = "issueCertificate"
REVOCATION_LAG_SECONDS: Final = 2.0
"""How soon to try a revoked token again: Fly needs seconds to tell every place."""
_ULID: Final = "[0-9A-HJKMNP-TV-Z]{26}"


APP: Final = Field(
    "app",
    FieldType.TEXT,
    '"web"',
    required=True,
    check=named(wrong_app),
    about="the app that the token is for",
)
TOKEN_NAME: Final = Field(
    "token_name",
    FieldType.TEXT,
    '"ci"',
    check=named(wrong_token),
    about="start of the token's name at Fly; the credential's name where absent",
)
APP_NARROWS: Final = tuple(name for name in ALL_NARROWS if name != "apps")


class LimitedTokenKind:
    """A limited access token; targets receive it as Fly shows it, scheme and discharges included.

    A kind says its profile, what it takes away from what Fly gives (`copies`), and the same as a
    rule in plain words (`permits`). Names at Fly are `{token_name}-{rotation id}`: names need not
    be unique there, ours are.
    """

    name: str
    profile: str = ORGANIZATION
    issuer_lists: bool = True
    own_fields: tuple[Field, ...] = ()
    narrows: tuple[str, ...] = ALL_NARROWS
    fields: tuple[Field, ...]

    def __init__(self, tokens: TokenClient, identities: IdentityClient, clock: Clock) -> None:
        self._tokens, self._identities, self._clock = tokens, identities, clock
        app = (APP,) if self.profile == DEPLOY else ()
        self.fields = (*app, *self.own_fields, TOKEN_NAME, narrow_field(self.narrows), BIND)

    def copies(self, params: Params, organization: int) -> tuple[tuple[c.Caveat, ...], ...]:
        """For each token of the value, the caveats that make it one of this kind."""
        return ((),)

    def permits(self, params: Params, access: Access) -> bool:
        """Whether a token of this kind may do this at most, in its organisation and apps."""
        return True

    def reads_values(self, params: Params) -> bool:
        """Whether its holder can read what machines read: by changing an app, by running a command
        in a machine, or by logging in to one."""
        narrow = narrow_of(params)
        changes = narrow.besides & ~c.READ != 0
        return changes or bool(self.commands(params)) or LOGIN in narrow.mutations

    def reach(self, spec: CredentialSpec) -> Reach:
        """The apps whose values can be read with it."""
        if not self.reads_values(spec.params):
            return Reach()
        if self.profile == DEPLOY:
            return Reach(frozenset({text(spec.params, "app")}))
        apps = frozenset(narrow_of(spec.params).apps)
        return Reach(apps, every_app=not apps)

    def commands(self, params: Params) -> tuple[Command, ...]:
        """Commands that the manifest names, for trying the token against."""
        return narrow_of(params).commands

    def check(self, params: Params) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def fits(self, spec: CredentialSpec, now: datetime) -> str | None:
        """A token must outlive its rotation, and be bound to where it is delivered."""
        return wrong_life(spec, now) or wrong_bind(spec)

    def place(self, name: str, organization: str, params: Params) -> str:
        """`deploy-token:{app}/{token_name}` or `org-token:{organization}/{token_name}`.

        Fly's lists don't tell narrowed tokens from whole ones, so kinds of one profile share it.
        """
        if self.profile == DEPLOY:
            return f"deploy-token:{text(params, 'app')}/{_token_name(name, params)}"
        return f"org-token:{organization}/{_token_name(name, params)}"

    def issue_name(self, spec: CredentialSpec, rotation_id: str) -> str:
        """`{token_name}-{rotation id}`."""
        return f"{_token_name(spec.name, spec.params)}-{rotation_id}"

    def prepare(self, request: MintRequest, entropy: Entropy) -> Secret | None:
        """Nothing: Fly makes the value."""
        return None

    async def mint(self, request: MintRequest, prepared: Secret | None) -> Minted:
        """Create the token, to end when the policy wants (Fly: without an expiry, 20 years), and
        take away what it must not do."""
        spec, now = request.spec, self._clock.now()
        end = end_of(request, now)
        organization, numbers, params = await self._scope(spec)
        created = await self._tokens.create(
            name=request.issue_name,
            organization_id=organization.id,
            profile=self.profile,
            profile_params=params,
            expiry=go_duration(end - now),
        )
        bind = bind_of(organization.slug, spec.params)
        facts = facts_of(organization.number, numbers, end, bind)
        issued = Issued(
            ref=created.id,
            name=created.name,
            facts=facts,
            created_at=created.created_at,
            expires_at=min(created.expires_at, end),
        )
        value = self._narrowed(spec, issued, created.header, end)
        return Minted(self.traced(spec, issued, value), value, created.request_id)

    def traced(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Issued:
        """What is kept of a version, with what its copies are recognised by. Pure."""
        known = lineage_facts(value, self.render(spec, issued, value))
        return replace(issued, facts={**issued.facts, **known})

    async def _scope(
        self, spec: CredentialSpec
    ) -> tuple[Organization, dict[str, int], dict[str, object]]:
        """The organisation, the numbers of the apps that the manifest names, and the profile's
        parameters."""
        if self.profile == DEPLOY:
            app = await self._identities.app(text(spec.params, "app"))
            return app.organization, {app.name: app.number}, {"app_id": app.id}
        organization = await self._identities.organization(spec.organization)
        apps = [await self._identities.app(name) for name in narrow_of(spec.params).apps]
        for app in apps:
            if app.organization.id != organization.id:
                raise NeedsHuman(
                    f"the app {app.name} is not in the organisation {spec.organization}",
                    next_step="mend `narrow.apps` in the manifest",
                )
        return organization, {app.name: app.number for app in apps}, {}

    def _narrowed(
        self, spec: CredentialSpec, issued: Issued, header: Secret, end: datetime
    ) -> Secret:
        """The value without what the kind and the manifest take away. Pure."""
        organization, numbers = numbers_of(issued)
        begin = issued.created_at or self._clock.now()
        narrow = narrow_of(spec.params).caveats(numbers, begin, end)
        copies = [(*own, *narrow) for own in self.copies(spec.params, organization)]
        return copied(header, copies) if any(copies) else header

    async def locate(self, request: MintRequest) -> Sequence[Issued]:
        """Tokens of this rotation's name that live. Their values are lost with their answers."""
        now = self._clock.now()
        return [
            _issued(token)
            for token in await self._listed(request.spec)
            if token.name == request.issue_name and token.alive(now)
        ]

    async def prove(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Evidence:
        """Read what is delivered and hold it against the manifest, then use it.

        It is used twice, as far as its rights allow and without harm: to ask Fly what it is, and
        to read one app or the organisation's list of apps. Mutations and commands are not tried.
        A bound token is read as it is delivered and used as it is sealed, unbound.
        """
        policy = self._policy(spec, issued)
        detail = dict(token_scope.judge(self.render(spec, issued, value), policy))
        holders = await self._tokens.current(value)
        named = {name for holder in holders for name in holder.apps}
        _, numbers = numbers_of(issued)
        # Fly may leave the apps out; where it names some, they must be among ours.
        if numbers and named - set(numbers):
            raise Refused(f"Fly says that the new token is for {', '.join(sorted(named))}")
        tried = await self._read_once(spec, policy, numbers, value)
        detail["tried"] = f"GET /v1/tokens/current{tried}"
        limit = f"it is limited to {', '.join(numbers)} and" if numbers else "it"
        return Evidence(f"Fly accepts the token {issued.name}; {limit} ends as asked", detail)

    def _policy(self, spec: CredentialSpec, issued: Issued) -> token_scope.Policy:
        organization, numbers = numbers_of(issued)
        narrow, params = narrow_of(spec.params), spec.params
        asked = datetime.fromisoformat(issued.facts["asked_expiry"])
        missing = set(narrow.apps) - set(numbers)
        if missing:
            raise Refused(f"the new token was made before {', '.join(sorted(missing))} was named")

        def permits(access: Access) -> bool:
            if access.organization != organization:
                return False
            if self.profile == DEPLOY and access.app not in (None, *numbers.values()):
                return False
            return self.permits(params, access) and narrow.permits(numbers, access)

        ends = narrow.ends_at(issued.created_at or self._clock.now())
        return token_scope.Policy(
            organization=organization,
            apps=tuple(numbers.values()),
            permits=permits,
            copies=len(self.copies(params, organization)),
            bind=bind_of(spec.organization, params),
            needed_until=asked,
            not_after=min(asked, ends) if ends is not None else asked,
            mutations=narrow.mutations,
            commands=self.commands(params),
        )

    async def _read_once(
        self,
        spec: CredentialSpec,
        policy: token_scope.Policy,
        numbers: Mapping[str, int],
        value: Secret,
    ) -> str:
        """Read what the token may read, if anything."""
        base = Access(policy.organization)
        for name, number in numbers.items():
            if token_scope.may(value, Access(policy.organization, app=number)):
                await self._tokens.read_app(name, value)
                return f", GET /v1/apps/{name}"
        if token_scope.may(value, base):
            await self._tokens.read_organization(spec.organization, value)
            return f", GET /v1/apps?org_slug={spec.organization}"
        return ""

    async def revoke(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        """Delete the token by its id. An id that Fly does not know is looked for in the list."""
        try:
            await self._tokens.delete(issued.ref)
        except NotFound:
            now = self._clock.now()
            listed = await self._listed(spec)
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
        for token in await self._listed(spec):
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
        """Living tokens that are named like the credential's."""
        now = self._clock.now()
        pattern = re.compile(rf"{re.escape(_token_name(spec.name, spec.params))}(-{_ULID})?")
        return [
            _issued(token)
            for token in await self._listed(spec)
            if pattern.fullmatch(token.name) and token.alive(now)
        ]

    async def _listed(self, spec: CredentialSpec) -> Sequence[ListedToken]:
        """Tokens of the app; or those of the organisation, of which Fly may list the apps' too."""
        if self.profile == DEPLOY:
            return await self._tokens.of_app(text(spec.params, "app"))
        listed = await self._tokens.of_organization(spec.organization)
        return [token for token in listed if token.profile != DEPLOY]

    def render(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Secret:
        """The value as it is, or bound to where the version's facts say."""
        kept = issued.facts.get("bind")
        return bound(value, kept) if kept else value

    def entropy_bits(self, params: Params) -> int | None:
        """None: Fly makes it."""
        return None

    def calls(self, spec: CredentialSpec) -> Mapping[str, tuple[str, ...]]:
        """Calls by step."""
        apps = narrow_of(spec.params).apps
        who: tuple[str, ...] = (f"query OrganizationIdentity({spec.organization})",)
        if self.profile == DEPLOY:
            apps, who = (text(spec.params, "app"),), ()
        look = f"apps/{apps[0]}" if apps else f"apps?org_slug={spec.organization}"
        return {
            "mint": (
                *who,
                *(f"query AppIdentity({app})" for app in apps),
                "mutation createLimitedAccessToken",
            ),
            "prove": (
                "GET /v1/tokens/current (with the new token)",
                f"GET /v1/{look} (with the new token, if it may)",
            ),
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
