"""The rules about WireGuard peers. Pure.

Fly's API tells neither when a peer was made, nor by whom, nor its last handshake. What is known is
in names: flyctl writes host, e-mail address and a ULID into those that it makes up, rotator the id
of a rotation. Asking Fly which peers are valid would keep the ephemeral ones of others alive, so it
is not asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.discovery import MARK
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.organization import (
    DelegatedToken,
    HeldPeer,
    OrganizationSnapshot,
    Tracking,
)
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_tokens import MAKING, graphql_command
from rotator.domain.posture.token_groups import adoption, rotated, span, up_to
from rotator.domain.risk import Risk

PAGE: Final = "https://fly.io/docs/flyctl/wireguard/"
SHOWN: Final = 3
REMOVED_AT_ONCE: Final = 20
"""Commands in one mend; the next look finds the others."""
MADE_UP: Final = re.compile(
    r"(?P<how>interactive|static)-(?P<body>.+)-(?P<ulid>[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25})"
)
"""flyctl's names: for a session of its own, and for `fly wireguard create` without a name."""
SESSIONS: Final = "interactive-*"
"""All peers of flyctl's own sessions together: builds may leave a new one each."""

UNUSED: Final = Rule(
    "peer-unused",
    Topic.PEERS,
    Risk.MEDIUM,
    "A WireGuard peer that something newer has replaced",
    "Whoever still holds its key is in the private network. `fly wireguard reset` and rebuilt "
    "machines leave old peers behind, and Fly tells no handshake that would show it.",
    "Remove it.",
    "https://fly.io/docs/flyctl/wireguard-remove/",
)
OLD: Final = Rule(
    "peer-old",
    Topic.PEERS,
    Risk.LOW,
    "A WireGuard peer older than the policy allows",
    "A peer has no end: a key that was copied once opens the private network until it is removed.",
    "Replace it; let rotator do so by schedule.",
    PAGE,
)
UNTRACKED: Final = Rule(
    "peer-untracked",
    Topic.PEERS,
    Risk.LOW,
    "A WireGuard peer that no credential of the manifest tracks",
    "Nobody replaces its key by schedule, and nobody knows where it lies.",
    "Put it into the manifest, or remove it.",
    PAGE,
)
DELEGATED: Final = Rule(
    "peer-token-delegated",
    Topic.PEERS,
    Risk.HIGH,
    "A delegated WireGuard token",
    "Whoever holds it adds peers to the private network. It has no end, and Fly has given up the "
    "interface that it was made for.",
    "Delete it; a credential of the kind wireguard-token does the same with an end.",
    PAGE,
)
RULES: Final[tuple[Rule, ...]] = (UNUSED, OLD, UNTRACKED, DELEGATED)


@dataclass(frozen=True)
class PeerGroup:
    """Peers that a finding is about as a whole, the newest first: those of one name (without
    rotator's mark or flyctl's), or all of flyctl's own sessions."""

    key: str
    peers: tuple[HeldPeer, ...]

    @property
    def subject(self) -> str:
        """Its name for ever."""
        return f"wireguard-peer:{self.key}"


def check_peers(
    snapshot: OrganizationSnapshot, policy: PosturePolicy, now: datetime
) -> tuple[Finding, ...]:
    """What is wrong with the peers of an organisation, and with who may add some."""
    found: list[Finding] = []
    for group in _grouped(snapshot):
        found += _untracked(group, snapshot, now)
        found += _old(group, snapshot, policy, now)
        found += _unused(group, snapshot, policy, now)
    found += [_delegated(each, snapshot) for each in snapshot.holdings.delegated]
    return tuple(found)


def removal(organization: str, peers: Sequence[HeldPeer]) -> str:
    """The commands that remove them."""
    org = shlex.quote(organization)
    lines = [f"fly wireguard remove {org} {shlex.quote(p.name)}" for p in peers[:REMOVED_AT_ONCE]]
    if len(peers) > REMOVED_AT_ONCE:
        left = len(peers) - REMOVED_AT_ONCE
        lines.append(f"# and {left} more: fly wireguard list {org}")
    return "\n".join(lines)


def named(peers: Sequence[HeldPeer]) -> str:
    """Them, for people."""
    if len(peers) == 1:
        return f"the WireGuard peer {peers[0].name!r}"
    told = ", ".join(repr(peer.name) for peer in peers[:SHOWN])
    more = f" and {len(peers) - SHOWN} more" if len(peers) > SHOWN else ""
    return f"each of {len(peers)} WireGuard peers ({told}{more})"


def _grouped(snapshot: OrganizationSnapshot) -> list[PeerGroup]:
    by_key: dict[str, list[HeldPeer]] = {}
    for peer in snapshot.holdings.peers:
        by_key.setdefault(_key(peer, snapshot.peers.get(peer.name)), []).append(peer)
    return [
        PeerGroup(key, tuple(sorted(peers, key=lambda peer: peer.name[-26:], reverse=True)))
        for key, peers in sorted(by_key.items())
    ]


def _key(peer: HeldPeer, tracking: Tracking | None) -> str:
    made_up = MADE_UP.fullmatch(peer.name)
    if made_up is not None and tracking is None:
        return SESSIONS if made_up["how"] == "interactive" else f"static-{made_up['body']}"
    marked = MARK.fullmatch(peer.name)
    return marked["base"] if marked else peer.name


def _untracked(
    group: PeerGroup, snapshot: OrganizationSnapshot, now: datetime
) -> Iterator[Finding]:
    """Not flyctl's own sessions: their keys lie in flyctl's files, where nobody can deliver."""
    if group.key == SESSIONS:
        return
    found = [
        peer
        for peer in group.peers
        if peer.name not in snapshot.peers and not _may_be_in_the_making(peer, now)
    ]
    if found:
        said = "is tracked by no credential of the manifest, so nobody replaces its key by schedule"
        mend = removal(snapshot.organization, found)
        if len(found) == 1 and not _is_left_over(found[0], now):
            adopting = adoption(snapshot.organization, f"wireguard-peer:{found[0].name}")
            mend = f"{adopting}\n# or: {mend}"
        yield _finding(UNTRACKED, group, snapshot, f"{named(found)} {said}", mend)


def _old(
    group: PeerGroup, snapshot: OrganizationSnapshot, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """Those whose age is known: by their name, or because rotator tracks them."""
    ages = {
        peer: now - since
        for peer in group.peers
        if (since := _since(peer, snapshot.peers.get(peer.name))) is not None
        and now - since > policy.peer_max_age
    }
    if not ages:
        return
    said = (
        f"is {up_to(list(ages.values()))} old, and at most {span(policy.peer_max_age)} are allowed"
    )
    trackings = [snapshot.peers[peer.name] for peer in ages if peer.name in snapshot.peers]
    lines = list(dict.fromkeys(rotated(each) for each in trackings))
    by_hand = [peer for peer in ages if peer.name not in snapshot.peers]
    if by_hand:
        org = shlex.quote(snapshot.organization)
        lines += [f"fly wireguard create {org}", removal(snapshot.organization, by_hand)]
    yield _finding(OLD, group, snapshot, f"{named(list(ages))} {said}", "\n".join(lines))


def _unused(
    group: PeerGroup, snapshot: OrganizationSnapshot, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """Those that a newer one of the same host and person has replaced for as long as the policy
    says, and those that some rotator has left behind."""
    newest: dict[str, HeldPeer] = {}
    for peer in group.peers:
        newest.setdefault(_body(peer), peer)
    found = []
    for peer in group.peers:
        if peer.name in snapshot.peers:
            continue
        successor = newest[_body(peer)]
        stands = now - successor.made_at if successor.made_at else timedelta(0)
        replaced = successor is not peer and stands >= policy.peer_unused
        if (replaced and MADE_UP.fullmatch(peer.name)) or _is_left_over(peer, now):
            found.append(peer)
    if found:
        mark = MADE_UP.fullmatch(found[0].name) is None
        why = "was made by no rotation of this inventory" if mark else "was replaced by a newer one"
        said = f"{named(found)} {why}; Fly tells no handshake, so make sure that nobody uses it"
        mend = removal(snapshot.organization, found)
        yield _finding(UNUSED, group, snapshot, said, mend)


def _body(peer: HeldPeer) -> str:
    """Host and person, as flyctl writes them into a name."""
    made_up = MADE_UP.fullmatch(peer.name)
    return made_up["body"] if made_up else ""


def _delegated(token: DelegatedToken, snapshot: OrganizationSnapshot) -> Finding:
    said = (
        f"the delegated WireGuard token {token.name!r} adds peers to the private network, for ever"
    )
    given = {"organizationId": snapshot.holdings.id, "name": token.name}
    return Finding(
        DELEGATED,
        f"delegated-wireguard-token:{token.name}",
        said,
        graphql_command("deleteDelegatedWireGuardToken", given),
        organization=snapshot.organization,
    )


def _finding(
    rule: Rule, group: PeerGroup, snapshot: OrganizationSnapshot, message: str, mend: str
) -> Finding:
    return Finding(rule, group.subject, message, mend, organization=snapshot.organization)


def _since(peer: HeldPeer, tracking: Tracking | None) -> datetime | None:
    return peer.made_at or (tracking.since if tracking is not None else None)


def _is_left_over(peer: HeldPeer, now: datetime) -> bool:
    """Marked by some rotator, and not of this inventory."""
    marked = MARK.fullmatch(peer.name) is not None and MADE_UP.fullmatch(peer.name) is None
    return marked and not _may_be_in_the_making(peer, now)


def _may_be_in_the_making(peer: HeldPeer, now: datetime) -> bool:
    """Young and marked: a rotation whose end is not in the database yet."""
    if MADE_UP.fullmatch(peer.name) is not None or peer.made_at is None:
        return False
    return now - peer.made_at <= MAKING
