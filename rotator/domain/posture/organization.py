"""What an organisation holds of tokens, peers and people, and what tracks it: a frozen snapshot.

No value is in it. What lists don't tell (who uses a token, when a peer last shook hands, what a
token was narrowed to) is not in it either, unless rotator holds the value and could read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Protocol

from rotator.domain.discovery import MARK
from rotator.domain.posture.finding import Missing
from rotator.domain.secret import Secret

OWN_KIND: Final = "rotator-token"
_ULID_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID: Final = re.compile(r"(?P<time>[0-7][0-9A-HJKMNP-TV-Z]{9})[0-9A-HJKMNP-TV-Z]{16}", re.I)
_FIRST_DAY: Final = datetime(2017, 1, 1, tzinfo=UTC)
"""Before there was a Fly: a ULID of an earlier time is none."""
ULID_LENGTH: Final = 26


@dataclass(frozen=True)
class Member:
    """Somebody who belongs to the organisation."""

    id: str
    email: str
    admin: bool
    joined_at: datetime


@dataclass(frozen=True)
class HeldToken:
    """A limited access token as lists show it. `app` is the one that it is limited to, if any.

    `maker_id` and `maker` (an e-mail address) are of whoever made it; "" where Fly does not tell.
    """

    ref: str
    name: str
    profile: str
    app: str | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    maker_id: str = ""
    maker: str = ""

    def alive(self, now: datetime) -> bool:
        """Whether Fly would take it, as far as a list can tell."""
        return self.revoked_at is None and self.expires_at > now

    @property
    def base_name(self) -> str:
        """Its name without the id of a rotation."""
        marked = MARK.fullmatch(self.name)
        return marked["base"] if marked else self.name


@dataclass(frozen=True)
class HeldPeer:
    """A WireGuard peer. Fly tells neither when it was made nor its last handshake."""

    name: str
    region: str = ""
    network: str | None = None

    @property
    def made_at(self) -> datetime | None:
        """When it was made, where its name ends in a ULID: flyctl's own names and rotator's do."""
        return ulid_time(self.name[-ULID_LENGTH:])


@dataclass(frozen=True)
class DelegatedToken:
    """A delegated WireGuard token: whoever holds it adds peers. Fly tells its name alone."""

    id: str
    name: str


@dataclass(frozen=True)
class PersonalToken:
    """A token that acts as a person. `type` is Fly's word (`pat`, `flyctl`, …)."""

    id: str
    name: str
    type: str
    created_at: datetime


@dataclass(frozen=True)
class Holdings:
    """What was read of one organisation, or of one app in it. `members` is None where that could
    not be read, or nothing was: somebody belongs to every organisation."""

    organization: str
    id: str = ""
    tokens: tuple[HeldToken, ...] = ()
    peers: tuple[HeldPeer, ...] = ()
    delegated: tuple[DelegatedToken, ...] = ()
    members: tuple[Member, ...] | None = None
    missing: tuple[Missing, ...] = ()

    def has_left(self, token: HeldToken) -> bool:
        """Whether whoever made it is no member; False where that can't be told."""
        if self.members is None or not (token.maker_id or token.maker):
            return False
        ids, addresses = self._known
        return token.maker_id not in ids and token.maker.casefold() not in addresses

    @cached_property
    def _known(self) -> tuple[frozenset[str], frozenset[str]]:
        """Ids and addresses of the members."""
        members = self.members or ()
        ids = frozenset(member.id for member in members if member.id)
        return ids, frozenset(member.email.casefold() for member in members if member.email)

    def former(self) -> frozenset[str]:
        """Addresses of people who made a token, revoked ones included, and are no members."""
        return frozenset(each.maker for each in self.tokens if each.maker and self.has_left(each))


@dataclass(frozen=True)
class Reading:
    """What the value of a token says, for one that rotator holds.

    `changes_all_apps`: it may do more than read in every app of its organisation. `narrowed`:
    something shows that it was narrowed.
    """

    changes_all_apps: bool
    narrowed: bool


@dataclass(frozen=True)
class Tracking:
    """The credential that a token or peer is a value of; "" for the token that rotator itself uses
    where no credential tracks it. `reading` is None where rotator does not
    hold the value; `since` is when the value began, as far as rotator knows; `minted` tells that a
    rotation made it, `retiring` that it waits for the end of its overlap to be revoked."""

    credential: str
    kind: str
    observed: bool = False
    since: datetime | None = None
    reading: Reading | None = None
    minted: bool = False
    retiring: bool = False


@dataclass(frozen=True)
class OrganizationSnapshot:
    """What the rules look at: tracked are tokens by Fly's id, and peers by their name."""

    holdings: Holdings
    tokens: Mapping[str, Tracking] = field(default_factory=dict)
    peers: Mapping[str, Tracking] = field(default_factory=dict)

    @property
    def organization(self) -> str:
        """Its slug."""
        return self.holdings.organization


class TokenReader(Protocol):
    """Reads the values of tokens that rotator holds. Makes no call and shows no value."""

    def reading(self, value: Secret) -> Reading | None:
        """What a tracked token says; None for a value that is no token."""
        ...

    def own_refs(self, tokens: Sequence[HeldToken]) -> frozenset[str]:
        """Which of these is the token that rotator itself calls Fly with, by their times."""
        ...

    def own_is_personal(self) -> bool:
        """Whether rotator's own token acts as a person, who can see their personal tokens."""
        ...


class HoldingsReader(Protocol):
    """Reads what an organisation holds, in as few calls as the API allows. Changes nothing.

    What this token may not read, or what can't be reached, is among `missing`.
    """

    async def read(self, organization: str, app: str | None = None) -> Holdings:
        """One organisation, or of one app in it the tokens, and who the members are.

        Raises:
            TokenRefused: Fly does not take rotator's token for anything.
        """
        ...

    async def personal_tokens(self) -> tuple[PersonalToken, ...]:
        """The personal tokens of whoever rotator's token is, which Fly shows to a person only.

        Raises:
            RotatorError: they could not be read.
        """
        ...


def ulid_time(text: str) -> datetime | None:
    """The instant in a ULID; None for a text that is none."""
    found = _ULID.fullmatch(text)
    if found is None:
        return None
    milliseconds = 0
    for digit in found["time"].upper():
        milliseconds = milliseconds * 32 + _ULID_DIGITS.index(digit)
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return at if at >= _FIRST_DAY else None
