"""What people paste as "the token": one or several, of every form that Fly has ever made.

Nothing is thrown away: a member that can't be read is listed with its fault, and a bundle of
nothing but such members is a bundle too. No text here quotes any part of a token.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rotator.fly.macaroon import (
    PERMISSION_LOCATION,
    Macaroon,
    MacaroonError,
    decode,
    fingerprint,
    is_macaroon,
    split_header,
)
from rotator.fly.third_party import AUTH_LOCATIONS, ThirdParty, discharges_for, third_parties

MAX_MEMBERS: Final = 100
SHORTEST_OPAQUE: Final = 24
"""Characters. Of anything shorter no fingerprint is made: it could be guessed back."""

_OPAQUE_LABEL: Final = b"rotator/opaque-token-fingerprint/1\0"
_JWT: Final = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
_FUTURE: Final = re.compile(r"fm\d+[a-z]?_.*", re.DOTALL)
_OPAQUE: Final = re.compile(r"[A-Za-z0-9_.~+/=-]+")


class Form(StrEnum):
    """What a member of a bundle is."""

    PERMISSION = "permission"
    DISCHARGE = "discharge"
    FOREIGN = "foreign"
    PERSONAL = "personal"
    LEGACY = "legacy-personal"
    JWT = "jwt"
    FUTURE = "future"
    DAMAGED = "damaged"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Member:
    """One member. `place` counts from 1; `fault` says why it can't be read, if it can't."""

    place: int
    form: Form
    fingerprint: str | None
    macaroon: Macaroon | None = field(default=None, repr=False)
    fault: str | None = None


@dataclass(frozen=True)
class Bundle:
    """The members of an Authorization value or of what was pasted, in order."""

    members: tuple[Member, ...]

    @property
    def permissions(self) -> tuple[Macaroon, ...]:
        """The tokens that Fly's API issued. Any one of them is enough for a request."""
        return self._macaroons(Form.PERMISSION)

    @property
    def discharges(self) -> tuple[Macaroon, ...]:
        """What third parties issued."""
        return self._macaroons(Form.DISCHARGE)

    def discharges_of(self, party: ThirdParty) -> list[Macaroon]:
        """What satisfies a third-party caveat, as far as the ticket tells."""
        return discharges_for(party, self.discharges)

    def missing(self, token: Macaroon) -> tuple[ThirdParty, ...]:
        """The third parties whose word the token needs and the bundle does not hold."""
        return tuple(each for each in third_parties(token) if not self.discharges_of(each))

    def _macaroons(self, form: Form) -> tuple[Macaroon, ...]:
        return tuple(each.macaroon for each in self.members if each.form is form and each.macaroon)


def read_bundle(text: str) -> Bundle:
    """Read a text. Raises MacaroonError when it is empty, too long or has too many members."""
    parts = split_header(text)
    if not parts:
        raise MacaroonError("there is no token in it")
    if len(parts) > MAX_MEMBERS:
        raise MacaroonError(f"the token list has more than {MAX_MEMBERS} members")
    read = [_member(place, part) for place, part in enumerate(parts, start=1)]
    macaroons = [each.macaroon for each in read if each.macaroon is not None]
    tickets = {party.ticket for each in macaroons for party in third_parties(each)}
    return Bundle(tuple(_sorted(each, tickets) for each in read))


def opaque_fingerprint(text: str) -> str | None:
    """16 hex digits that name an opaque token; None for one that could be guessed."""
    if len(text) < SHORTEST_OPAQUE:
        return None
    return hashlib.sha256(_OPAQUE_LABEL + text.encode("utf-8", "replace")).hexdigest()[:16]


def _member(place: int, text: str) -> Member:
    if is_macaroon(text):
        try:
            token = decode(text)
        except MacaroonError as error:
            return Member(place, Form.DAMAGED, None, fault=str(error))
        form = Form.PERMISSION if token.location == PERMISSION_LOCATION else Form.FOREIGN
        return Member(place, form, fingerprint(token), token)
    return Member(place, _opaque_form(text), opaque_fingerprint(text))


def _opaque_form(text: str) -> Form:
    if text.startswith("fo1_"):
        return Form.PERSONAL
    if _FUTURE.fullmatch(text):
        return Form.FUTURE
    if _JWT.fullmatch(text):
        return Form.JWT
    if len(text) >= SHORTEST_OPAQUE and _OPAQUE.fullmatch(text):
        return Form.LEGACY
    return Form.UNKNOWN


def _sorted(member: Member, tickets: set[bytes]) -> Member:
    """A macaroon of another location is a discharge where it is Fly's login or answers a ticket."""
    token = member.macaroon
    if token is None or member.form is not Form.FOREIGN:
        return member
    if token.location not in AUTH_LOCATIONS and token.nonce.kid not in tickets:
        return member
    return Member(member.place, Form.DISCHARGE, member.fingerprint, token)
