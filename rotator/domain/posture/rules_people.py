"""The rules about people who left, and which credentials they still have a hand in. Pure.

Fly keeps the tokens that somebody made when they are removed from the organisation, and the peers
that they made by hand (its page on removing members has both as steps for people). Who has left is
known from tokens alone: whoever made one, living or revoked, and is no member. Somebody who never
made a token, or made one that a member of the same account made anew, can't be known.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.domain.posture.finding import Finding, RotationWish, Rule, Topic
from rotator.domain.posture.organization import OWN_KIND, HeldPeer, Member, OrganizationSnapshot
from rotator.domain.posture.rules_peers import MADE_UP, named, removal
from rotator.domain.posture.token_groups import (
    SUGGESTED_LIFE,
    Entry,
    TokenGroup,
    grouped,
    replaced,
    revoked,
)
from rotator.domain.reasons import ReasonCode
from rotator.domain.risk import Risk

PAGE: Final = "https://fly.io/docs/security/remove-org-member/"
_OWN_FIRST: Final = (
    "# if rotator's own API token is still theirs, let a member make a new one first, or what it "
    "makes is listed as theirs again"
)
_UNNAMEABLE: Final = re.compile(r"[^a-zA-Z0-9-]")

TOKEN: Final = Rule(
    "token-of-leaver",
    Topic.PEOPLE,
    Risk.HIGH,
    "A token made by somebody who has left",
    "Whoever made a token has seen it. Removing them from the organisation revokes none of theirs.",
    'Replace it (on_leaver = "rotate" of the posture policy lets rotator begin by itself).',
    PAGE,
)
PEER: Final = Rule(
    "peer-of-leaver",
    Topic.PEOPLE,
    Risk.HIGH,
    "A WireGuard peer of somebody who has left",
    "Fly removes the peers that flyctl made by itself; those that were made by hand stay, and with "
    "them the way into the private network.",
    "Remove it.",
    PAGE,
)
RULES: Final[tuple[Rule, ...]] = (TOKEN, PEER)


def check_people(snapshot: OrganizationSnapshot, now: datetime) -> tuple[Finding, ...]:
    """What people who left have in their hands. Nothing where the members could not be read."""
    return (*_tokens(snapshot, now), *_peers(snapshot))


def leavers(snapshot: OrganizationSnapshot, now: datetime) -> tuple[RotationWish, ...]:
    """The tracked credentials that are to be replaced because of whoever made their value, each
    once, in order of their names.

    What rotator made by its own token is not: whose that is never saw the value, and would be
    listed as the maker of the next one again.
    """
    found: dict[str, RotationWish] = {}
    holdings = snapshot.holdings
    own = _makers_of_own(snapshot)
    for token in holdings.tokens:
        tracking = snapshot.tokens.get(token.ref)
        if tracking is None or not tracking.credential or tracking.retiring:
            continue
        if not token.alive(now) or not holdings.has_left(token):
            continue
        if tracking.minted and (token.maker_id, token.maker) in own:
            continue
        reason = (
            f"{token.maker or token.maker_id}, who made its value, has left {holdings.organization}"
        )
        found[tracking.credential] = RotationWish(
            tracking.credential, ReasonCode.CREATOR_LEFT, reason
        )
    return tuple(found[name] for name in sorted(found))


def _makers_of_own(snapshot: OrganizationSnapshot) -> frozenset[tuple[str, str]]:
    """Whoever made the token that rotator itself uses."""
    return frozenset(
        (token.maker_id, token.maker)
        for token in snapshot.holdings.tokens
        if (tracking := snapshot.tokens.get(token.ref)) and tracking.kind == OWN_KIND
    )


def _tokens(snapshot: OrganizationSnapshot, now: datetime) -> Iterator[Finding]:
    for group in grouped(snapshot, now, retiring=True):
        found = [each for each in group.entries if snapshot.holdings.has_left(each.token)]
        if found:
            people = sorted({each.token.maker or each.token.maker_id for each in found})
            who = ", ".join(people)
            said = (
                f"was made by {who}, who {'is no member' if len(people) == 1 else 'are no members'}"
            )
            said += f" of {snapshot.organization}"
            if any(each.tracking is not None and each.tracking.minted for each in found):
                said += "; rotator made it, so by an API token of theirs"
            yield group.finding(TOKEN, found, said, _mend(group, found))


def _mend(group: TokenGroup, found: Sequence[Entry]) -> str:
    """What rotator makes is listed as made by whoever its own token is of, so that comes first."""
    own = [each for each in found if each.tracking and each.tracking.kind == OWN_KIND]
    others = [each for each in found if each not in own]
    lines = [_own_made_again(group, each) for each in own]
    if any(each.tracking is not None and each.tracking.minted for each in others):
        lines.append(_OWN_FIRST)
    return "\n".join([*lines, *([replaced(group, others)] if others else [])])


def _own_made_again(group: TokenGroup, own: Entry) -> str:
    org = shlex.quote(group.organization)
    lines = [
        "# a member makes a new one, which becomes rotator's ROTATOR_FLY_API_TOKEN:",
        f"fly tokens create org --org {org} --name rotator --expiry {SUGGESTED_LIFE}",
    ]
    if own.tracking is not None and own.tracking.credential:
        lines.append(f"rotator rotate now {own.tracking.credential}")
    else:
        lines.append(revoked([own]))
    return "\n".join(lines)


def _peers(snapshot: OrganizationSnapshot) -> Iterator[Finding]:
    members = snapshot.holdings.members
    if members is None:
        return
    people = _People.of(members, snapshot.holdings.former())
    by_person: dict[str, list[HeldPeer]] = {}
    for peer in snapshot.holdings.peers:
        if peer.name in snapshot.peers:
            continue  # rotator made it, whatever its name looks like
        person = people.gone(peer)
        if person is not None:
            by_person.setdefault(person, []).append(peer)
    for person, peers in sorted(by_person.items()):
        peers.sort(key=lambda peer: peer.name)
        who = f"{person}, who is no member of {snapshot.organization}"
        yield Finding(
            PEER,
            f"wireguard-peers-of:{person}",
            f"{named(peers)} belongs by its name to {who}",
            removal(snapshot.organization, peers),
            organization=snapshot.organization,
        )


@dataclass(frozen=True)
class _People:
    """Addresses, and their domains, as flyctl writes them into names. Members are None."""

    addresses: Mapping[str, str | None]
    domains: Mapping[str, str]

    @classmethod
    def of(cls, members: Sequence[Member], former: frozenset[str]) -> _People:
        addresses: dict[str, str | None] = {_written(email): email for email in former}
        addresses |= {_written(member.email): None for member in members}
        domains = {member.email.rpartition("@")[2] for member in members}
        return cls(addresses, {_written(domain): domain for domain in domains if domain})

    def gone(self, peer: HeldPeer) -> str | None:
        """Whoever made a peer, if they are no member; the longest address that fits decides."""
        made_up = MADE_UP.fullmatch(peer.name)
        if made_up is None:
            return None
        body = made_up["body"].casefold()
        ends = [body, *(body[n + 1 :] for n, letter in enumerate(body) if letter == "-")]
        for end in ends:
            if end in self.addresses:
                return self.addresses[end]
        for end in ends[1:]:
            if end in self.domains:
                return f"somebody at {self.domains[end]}"
        return None


def _written(address: str) -> str:
    """As flyctl writes it into the end of a name."""
    return _UNNAMEABLE.sub("-", address).casefold()
