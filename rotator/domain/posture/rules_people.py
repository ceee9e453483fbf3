"""The rules about people who left, and which credentials they still have a hand in. Pure.

Fly keeps the tokens that somebody made when they are removed from the organisation, and the peers
that they made by hand (its page on removing members has both as steps for people). Who has left is
known from tokens alone: whoever made one, living or revoked, and is no member. Somebody who never
made a token, or made one that a member of the same account made anew, can't be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rotator.domain.posture.finding import Finding, RotationWish, Rule, Topic
from rotator.domain.posture.organization import HeldPeer, Member, OrganizationSnapshot
from rotator.domain.posture.rules_peers import MADE_UP, named, removal
from rotator.domain.posture.token_groups import grouped, replaced
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
    once, in order of their names."""
    found: dict[str, RotationWish] = {}
    holdings = snapshot.holdings
    for token in holdings.tokens:
        tracking = snapshot.tokens.get(token.ref)
        if tracking is None or not tracking.credential or tracking.retiring:
            continue
        if not token.alive(now) or not holdings.has_left(token):
            continue
        reason = (
            f"{token.maker or token.maker_id}, who made its value, has left {holdings.organization}"
        )
        found[tracking.credential] = RotationWish(
            tracking.credential, ReasonCode.CREATOR_LEFT, reason
        )
    return tuple(found[name] for name in sorted(found))


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
            mend = replaced(group, found)
            if any(each.tracking is not None and each.tracking.minted for each in found):
                said += "; rotator made it, so by an API token of theirs"
                mend = f"{_OWN_FIRST}\n{mend}"
            yield group.finding(TOKEN, found, said, mend)


def _peers(snapshot: OrganizationSnapshot) -> Iterator[Finding]:
    members = snapshot.holdings.members
    if members is None:
        return
    by_person: dict[str, list[HeldPeer]] = {}
    for peer in snapshot.holdings.peers:
        if peer.name in snapshot.peers:
            continue  # rotator made it, whatever its name looks like
        person = _gone(peer, members, snapshot.holdings.former())
        if person is not None:
            by_person.setdefault(person, []).append(peer)
    for person, peers in sorted(by_person.items()):
        peers.sort(key=lambda peer: peer.name)
        yield Finding(
            PEER,
            f"wireguard-peers-of:{person}",
            f"{named(peers)}: by name of {person}, who is no member of {snapshot.organization}",
            removal(snapshot.organization, peers),
            organization=snapshot.organization,
        )


def _gone(peer: HeldPeer, members: tuple[Member, ...], former: frozenset[str]) -> str | None:
    """Whoever made it, if they are no member. flyctl writes the address into the name."""
    made_up = MADE_UP.fullmatch(peer.name)
    if made_up is None:
        return None
    body = f"-{made_up['body']}".casefold()
    known = {_written(member.email): "" for member in members}
    known |= {_written(email): email for email in former if _written(email) not in known}
    fitting = [address for address in known if address != "-" and body.endswith(address)]
    if fitting:
        return known[max(fitting, key=len)] or None
    for member in members:
        domain = member.email.rpartition("@")[2]
        if domain and body.endswith(_written(domain)) and len(body) > len(_written(domain)):
            return f"somebody at {domain}"
    return None


def _written(address: str) -> str:
    """As flyctl writes it into the end of a name."""
    return "-" + _UNNAMEABLE.sub("-", address).casefold()
