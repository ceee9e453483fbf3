"""The rules about WireGuard peers and about people who left."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rotator.domain.posture.organization import DelegatedToken, HeldPeer, OrganizationSnapshot
from rotator.domain.posture.rules_peers import REMOVED_AT_ONCE, RULES, check_peers
from rotator.domain.posture.rules_people import RULES as PEOPLE_RULES
from rotator.domain.posture.rules_people import check_people, leavers
from rotator.domain.reasons import ReasonCode
from tests.unit.builders import NOW
from tests.unit.posture_builders import (
    ANN,
    JO,
    POLICY,
    a_member,
    a_token,
    an_organization,
    days,
    ids,
    marked,
    of_rule,
    tracked,
)

PEER = "wireguard-peer"


def peers(*names: str, by: str | None = None, **more: object) -> OrganizationSnapshot:
    """Peers, all tracked by the credential `by` where one is given."""
    made = [HeldPeer(name, "fra") for name in names]
    by_peer = {}
    for peer in made if by else ():
        by_peer |= tracked(a_token(ref=peer.name), str(by), PEER, **more)
    return an_organization(peers=made, by_peer=by_peer)


def laptop(person: str = "ann-example-com", *, age: float, how: str = "static") -> str:
    """A name as flyctl makes one up."""
    return marked(f"{how}-laptop-{person}", age=age)


@dataclass(frozen=True)
class Case:
    what: str
    snapshot: Callable[[], OrganizationSnapshot]
    found: tuple[str, ...]


CASES = (
    Case("a tracked one", lambda: peers("office", by="office", since=NOW), ()),
    Case("one that nobody tracks", lambda: peers("office"), ("peer-untracked",)),
    Case(
        "a tracked one of 181 days",
        lambda: peers("office", by="office", since=NOW - days(181)),
        ("peer-old",),
    ),
    Case(
        "a tracked one of 180 days", lambda: peers("office", by="office", since=NOW - days(180)), ()
    ),
    Case("a session of flyctl's", lambda: peers(laptop(age=5, how="interactive")), ()),
    Case(
        "an old session of flyctl's",
        lambda: peers(laptop(age=200, how="interactive")),
        ("peer-old",),
    ),
    Case(
        "a session that a newer one replaced a month ago",
        lambda: peers(laptop(age=50, how="interactive"), laptop(age=31, how="interactive")),
        ("peer-unused",),
    ),
    Case(
        "a session that a newer one replaced last week",
        lambda: peers(laptop(age=50, how="interactive"), laptop(age=7, how="interactive")),
        (),
    ),
    Case(
        "sessions of two people",
        lambda: peers(
            laptop(age=50, how="interactive"), laptop("bo-example-com", age=31, how="interactive")
        ),
        (),
    ),
    Case(
        "made by hand, and replaced",
        lambda: peers(laptop(age=50), laptop(age=31)),
        ("peer-untracked", "peer-unused"),
    ),
    Case(
        "left behind by some rotator",
        lambda: peers(marked("office", age=5)),
        ("peer-untracked", "peer-unused"),
    ),
    Case("just made by a rotation under way", lambda: peers(marked("office", age=0.5)), ()),
    Case(
        "a delegated token",
        lambda: an_organization(delegated=[DelegatedToken("id", "old-ci")]),
        ("peer-token-delegated",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_rule_finds_what_it_is_about_and_nothing_else(case: Case) -> None:
    assert ids(check_peers(case.snapshot(), POLICY, NOW)) == sorted(case.found)


def test_every_rule_is_found_by_a_case() -> None:
    assert {rule for case in CASES for rule in case.found} == {rule.id for rule in RULES}


def test_thousands_of_sessions_are_one_finding_with_a_handful_of_commands() -> None:
    names = [laptop(f"ci{n}-example-com", age=200, how="interactive") for n in range(300)]
    (finding,) = check_peers(peers(*names), POLICY, NOW)
    assert finding.subject == "wireguard-peer:interactive-*"
    assert finding.message.startswith("each of 300 WireGuard peers (")
    *commands, rest = finding.mend.splitlines()
    assert len(commands) == 1 + REMOVED_AT_ONCE
    assert rest == "# and 280 more: fly wireguard list acme"


def test_a_mend_is_the_very_command() -> None:
    (finding,) = check_peers(peers("office"), POLICY, NOW)
    assert finding.mend == (
        "rotator discover --org acme --write --pick wireguard-peer:office\n"
        "# or: fly wireguard remove acme office"
    )
    (old,) = check_peers(peers("office", by="office", since=NOW - days(400)), POLICY, NOW)
    assert old.mend == "rotator rotate now office"
    assert "400d old, and at most 180d are allowed" in old.message
    named = an_organization(delegated=[DelegatedToken("id", "jo's")])
    (delegated,) = check_peers(named, POLICY, NOW)
    body = json.loads(shlex.split(delegated.mend)[-1])
    assert body["variables"] == {"i": {"organizationId": "org-id", "name": "jo's"}}


# -- people


def test_a_token_of_somebody_who_left_is_found_and_one_of_a_member_is_not() -> None:
    theirs, ours = a_token("theirs", maker=JO), a_token("ours", maker=ANN)
    found = check_people(an_organization(theirs, ours), NOW)
    assert [each.subject for each in found] == ["token:web/theirs"]
    assert "was made by jo@example.com, who is no member of acme" in found[0].message
    assert f"fly tokens revoke {theirs.ref}" in found[0].mend
    both = an_organization(theirs, ours, members=[a_member(ANN), a_member(JO)])
    assert check_people(both, NOW) == ()


@pytest.mark.parametrize(
    "token",
    [
        a_token(maker=JO, revoked=True),
        a_token(maker=JO, age=70, life=60),
        a_token(maker=""),
        a_token(maker=ANN.upper()),
    ],
    ids=["revoked", "expired", "nobody knows whose", "a member in capitals"],
)
def test_what_is_dead_or_nobodys_is_no_token_of_a_leaver(token: object) -> None:
    assert check_people(an_organization(token), NOW) == ()  # type: ignore[arg-type]


def test_a_member_is_known_by_id_where_the_address_has_changed() -> None:
    token = a_token(maker=JO)
    renamed = a_member(JO)
    moved = type(renamed)(renamed.id, "jo@new.example", renamed.admin, renamed.joined_at)
    assert check_people(an_organization(token, members=[moved]), NOW) == ()


def test_nobody_has_left_where_the_members_can_not_be_read() -> None:
    peer = HeldPeer(laptop("jo-example-com", age=5))
    unread = an_organization(a_token(maker=JO), peers=[peer], members=None)
    assert check_people(unread, NOW) == ()
    assert leavers(unread, NOW) == ()


def test_wishes_name_each_tracked_credential_once_and_leave_out_what_is_retiring() -> None:
    now, old, mine = a_token("a", maker=JO), a_token("b", maker=JO), a_token("c")
    wider = a_token("own", app=None, maker=JO)
    by_token = (
        tracked(now, "a-credential")
        | tracked(old, "b-credential", retiring=True)
        | tracked(mine, "c-credential")
        | tracked(wider, "", "rotator-token")
    )
    snapshot = an_organization(now, old, mine, wider, a_token("d", maker=JO), by_token=by_token)
    (wish,) = leavers(snapshot, NOW)
    assert (wish.credential, wish.code) == ("a-credential", ReasonCode.CREATOR_LEFT)
    assert wish.reason == "jo@example.com, who made its value, has left acme"


def test_of_what_rotator_made_it_is_told_that_its_own_token_comes_first() -> None:
    token = a_token(maker=JO)
    snapshot = an_organization(token, by_token=tracked(token, minted=True))
    (finding,) = check_people(snapshot, NOW)
    assert "rotator made it, so by an API token of theirs" in finding.message
    assert finding.mend.splitlines()[-1] == "rotator rotate now ci"


def test_what_rotator_made_by_its_own_token_is_not_made_again_by_it() -> None:
    made, own = a_token(maker=JO), a_token("rotator", app=None, maker=JO, ref="own")
    by_token = tracked(made, minted=True) | tracked(own, "", "rotator-token")
    snapshot = an_organization(made, own, by_token=by_token)
    assert leavers(snapshot, NOW) == ()
    found = {each.subject: each for each in check_people(snapshot, NOW)}
    assert found["token:rotator"].mend.splitlines()[1:] == [
        "fly tokens create org --org acme --name rotator --expiry 720h",
        "fly tokens revoke own",
    ]
    # Made by hand, its maker has seen it: that is another thing.
    seen = an_organization(made, own, by_token=by_token | tracked(made))
    assert [wish.credential for wish in leavers(seen, NOW)] == ["ci"]
    # And by the token of somebody who is still there a new one is no leaver's.
    other = an_organization(made, a_token("rotator", app=None, ref="own"), by_token=by_token)
    assert [wish.credential for wish in leavers(other, NOW)] == ["ci"]


def test_a_retiring_token_of_a_leaver_stays_a_finding_until_it_is_refused() -> None:
    token = a_token(maker=JO)
    snapshot = an_organization(token, by_token=tracked(token, retiring=True))
    assert of_rule(check_people(snapshot, NOW), "token-of-leaver").mend == (
        "# ci has a new value; the old one goes with its overlap"
    )


GONE = a_token("gone", maker=JO, revoked=True)


@pytest.mark.parametrize(
    ("name", "person"),
    [
        (laptop("ann-example-com", age=5), None),
        (laptop("jo-example-com", age=5), JO),
        (laptop("bo-jo-example-com", age=5), JO),
        (laptop("eve-example-com", age=5), "somebody at example.com"),
        (laptop("eve-elsewhere-com", age=5), None),
        ("office-gateway", None),
        (marked("jo-example-com", age=5), None),
    ],
    ids=[
        "a member's",
        "of somebody who has left",
        "of a host with a dash",
        "of an unknown address of the company's",
        "of a stranger: nothing shows that they left",
        "a name of somebody's own",
        "a rotator's",
    ],
)
def test_whose_a_peer_is_says_the_name_that_flyctl_makes_up(name: str, person: str | None) -> None:
    found = check_people(an_organization(GONE, peers=[HeldPeer(name)]), NOW)
    assert [each.subject for each in found] == ([f"wireguard-peers-of:{person}"] if person else [])
    for each in found:
        assert each.mend == f"fly wireguard remove acme {name}"


def test_the_longest_address_that_fits_decides_whose_a_peer_is() -> None:
    members = [a_member("jo@example.com")]
    former = a_token(maker="bo-jo@example.com", revoked=True)
    peer = HeldPeer(laptop("bo-jo-example-com", age=5))
    found = check_people(an_organization(former, peers=[peer], members=members), NOW)
    assert [each.subject for each in found] == ["wireguard-peers-of:bo-jo@example.com"]


def test_both_rules_about_people_are_found() -> None:
    snapshot = an_organization(a_token(maker=JO), peers=[HeldPeer(laptop("jo-example-com", age=5))])
    assert ids(check_people(snapshot, NOW)) == sorted(rule.id for rule in PEOPLE_RULES)
