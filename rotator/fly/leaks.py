"""A token of which nothing is known but its text: is it alive, which one is it, and away with it.

Fly's lists show no value and nothing of a token's inside but its times, which the issuer writes
into the first ValidityWindow (to the second) before anybody can narrow it further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.errors import NotAllowed, NotFound, Refused
from rotator.domain.leak import Found
from rotator.domain.lineage import Trace
from rotator.domain.secret import Secret
from rotator.fly import macaroon as m
from rotator.fly.api_token import ApiToken
from rotator.fly.bundle import Form, read_bundle
from rotator.fly.tokens import ListedToken, TokensApi
from rotator.fly.tracing import traces

_SECOND: Final = timedelta(seconds=1)
_APART: Final = timedelta(seconds=5)
"""How far a list's time of creation may be from the window's begin."""
_DEPLOY: Final = "deploy"
_OF_FLY: Final = frozenset({Form.PERMISSION, Form.DISCHARGE, Form.PERSONAL})


class LeakedTokens:
    """The engine's `FoundTokens`."""

    def __init__(self, tokens: TokensApi, own: ApiToken) -> None:
        self._tokens, self._own = tokens, own

    def traces(self, value: Secret) -> Sequence[Trace]:
        """Read its permission tokens."""
        try:
            return traces(value)
        except m.MacaroonError:
            return ()

    def is_token(self, value: Secret) -> bool:
        """Look at the forms of its members."""
        try:
            members = read_bundle(value.reveal()).members
        except m.MacaroonError:
            return False
        return all(member.form in _OF_FLY for member in members)

    def is_own(self, value: Secret) -> bool:
        """Compare nonces, else the texts."""
        own = {trace.lineage for trace in self.traces(self._own.value)}
        return value == self._own.value or any(t.lineage in own for t in self.traces(value))

    async def accepted(self, value: Secret) -> Sequence[str] | None:
        """Ask Fly what it is."""
        try:
            holders = await self._tokens.current(value, action="leaked token")
        except Refused:
            return None
        return tuple(dict.fromkeys(each.organization for each in holders if each.organization))

    async def listed(self, value: Secret, organizations: Sequence[str]) -> Sequence[Found]:
        """Hold its times against the lists."""
        permissions = read_bundle(value.reveal()).permissions
        found: dict[str, Found] = {}
        for slug in organizations if permissions else ():
            try:
                rows = await self._tokens.of_organization(slug)
            except (NotAllowed, NotFound):
                continue
            for token in permissions:
                found |= {each.id: _found(each) for each in _fitting(token, rows)}
        return tuple(found.values())

    async def revoke(self, value: Secret, found: Found | None) -> str:
        """By its id, else by its text, else by itself."""
        if found is not None:
            await self._tokens.delete(found.ref)
            return f"Fly revoked the token {found.name}"
        told: list[str] = []
        for member in read_bundle(value.reveal()).members:
            if member.form is not Form.PERMISSION or member.macaroon is None:
                continue
            try:
                await self._tokens.delete_presented(Secret(member.macaroon.encode()))
            except (NotAllowed, NotFound, Refused):
                break
            told.append("Fly revoked the token by its text")
        else:
            if told:
                return told[0]
        return await self._sign_out(value)

    async def _sign_out(self, value: Secret) -> str:
        try:
            await self._tokens.sign_out(value)
        except NotAllowed as error:
            raise Refused(
                "rotator's own token may not revoke it, and Fly does not let it give itself up",
                next_step="revoke it where it was made; Fly's dashboard lists personal tokens",
                request_id=error.request_id,
            ) from None
        return "the token gave itself up, as `fly tokens revoke supplied` does"


def _fitting(token: m.Macaroon, rows: Sequence[ListedToken]) -> list[ListedToken]:
    fitting = [row for row in rows if issued_then(token, row.created_at, row.expires_at)]
    of_an_app = m.app_ids(token) is not None
    by_profile = [row for row in fitting if (row.profile == _DEPLOY) is of_an_app]
    return by_profile or fitting


def issued_for_an_app(token: m.Macaroon) -> bool:
    """Whether its issuer limited it to apps: what follows the first window is a holder's."""
    first = next((n for n, each in enumerate(token.caveats) if each.type == m.VALIDITY_WINDOW), 0)
    return m.app_ids(replace(token, caveats=token.caveats[:first])) is not None


def issued_then(token: m.Macaroon, created_at: datetime, expires_at: datetime) -> bool:
    """Whether these times of a list are those that its issuer wrote into the token."""
    window = next((each for each in token.caveats if each.type == m.VALIDITY_WINDOW), None)
    if window is None:
        return False
    issued = replace(token, caveats=(window,))
    begin, end = m.not_before(issued), m.expires_at(issued)
    if begin is None or end is None:
        return False
    return abs(expires_at - end) <= _SECOND and abs(created_at - begin) <= _APART


def _found(row: ListedToken) -> Found:
    return Found(
        row.id,
        row.name,
        row.profile,
        row.user_email,
        row.created_at,
        row.expires_at,
        row.revoked_at,
    )
