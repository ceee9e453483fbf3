"""Third parties: their caveats, their discharges, and what belongs to what."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest

from rotator.fly import bundle, third_party
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.bundle import Form

ROOT, SHARED, DISCHARGE = bytes(range(32)), bytes(32), b"\x01" * 32
AUTH = "https://auth.fly.io"
NONCES = (bytes(12), b"\x02" * 12)


def a_pair(*more: c.Caveat) -> tuple[m.Macaroon, m.Macaroon]:
    """A token that needs Fly's login, and the discharge that satisfies it."""
    plain = m.mint(ROOT, b"\x00" * 8, bytes(16), caveats=[c.organization(4721)])
    token = third_party.require(
        plain, AUTH, shared_key=SHARED, discharge_key=DISCHARGE, seal_nonces=NONCES
    )
    (party,) = third_party.third_parties(token)
    return token, third_party.discharge(party, DISCHARGE, b"\x03" * 16, more)


def test_a_token_holds_with_its_discharge_and_not_without() -> None:
    token, discharge = a_pair(c.caveat(23, 777))
    found = third_party.verified(token, ROOT, [discharge])
    assert [each.name for each in found or ()] == ["Organization", "FlyioUserID"]
    assert third_party.verified(token, ROOT, []) is None
    assert third_party.verified(token, DISCHARGE, [discharge]) is None


def test_a_narrowed_token_still_goes_with_the_same_discharge() -> None:
    token, discharge = a_pair()
    narrowed = token.attenuate([c.caveat(c.ACTION, c.READ)])
    found = third_party.verified(narrowed, ROOT, [discharge])
    assert [each.name for each in found or ()] == ["Organization", "Action"]


def test_a_discharge_for_another_ticket_or_under_another_key_is_worth_nothing() -> None:
    token, _ = a_pair()
    (party,) = third_party.third_parties(token)
    forged = third_party.discharge(party, bytes(32), bytes(16))
    elsewhere = m.mint(DISCHARGE, b"other", bytes(16), AUTH, proof=True)
    assert third_party.verified(token, ROOT, [forged, elsewhere]) is None


def test_a_discharge_that_needs_a_third_party_itself_is_not_accepted() -> None:
    token, _ = a_pair()
    (party,) = third_party.third_parties(token)
    nested = third_party.discharge(
        party, DISCHARGE, bytes(16), [c.caveat(c.THIRD_PARTY, "there", b"k", b"t")]
    )
    assert third_party.verified(token, ROOT, [nested]) is None


@pytest.mark.parametrize(("of_parent", "exact"), [(True, True), (False, None)])
def test_a_discharge_may_be_bound_to_a_token(of_parent: bool, exact: bool | None) -> None:
    token, _ = a_pair()
    tail = token.tail if of_parent else bytes(32)
    binding = c.caveat(c.BIND_TO_PARENT, sha256(tail).digest()[:16])
    (party,) = third_party.third_parties(token)
    bound = third_party.discharge(party, DISCHARGE, bytes(16), [binding])
    assert (third_party.verified(token, ROOT, [bound]) is not None) is of_parent
    assert third_party.bound_to(bound, token) is exact
    narrowed = token.attenuate([c.caveat(c.ACTION, 1)])
    assert (third_party.verified(narrowed, ROOT, [bound]) is not None) is of_parent
    assert third_party.bound_to(bound, narrowed) is None


def test_a_discharge_can_not_be_narrowed() -> None:
    with pytest.raises(m.MacaroonError, match="proof"):
        a_pair()[1].attenuate([c.caveat(c.ACTION, 1)])


def test_a_bundle_is_sorted_into_what_its_members_are() -> None:
    token, discharge = a_pair()
    foreign = m.mint(ROOT, b"k", bytes(16), "https://elsewhere.example")
    parts = [
        discharge.encode(),
        token.encode().replace("fm2_", "fm1r_"),
        "fo1_" + "x" * 43,
        "y" * 43,
        "eyJhbGciOiJub25lIn0.e30.c2ln",
        "fm3_AAAA",
        token.encode()[:-9],
        foreign.encode(),
        "what is this",
    ]
    found = bundle.read_bundle("Bearer FlyV1 " + " , ".join(parts))
    assert [member.form for member in found.members] == [
        Form.DISCHARGE,
        Form.PERMISSION,
        Form.PERSONAL,
        Form.LEGACY,
        Form.JWT,
        Form.FUTURE,
        Form.DAMAGED,
        Form.FOREIGN,
        Form.UNKNOWN,
    ]
    assert found.missing(token) == ()
    assert bundle.read_bundle(token.encode()).missing(token) == third_party.third_parties(token)


def test_fingerprints_name_a_token_in_every_form_and_none_that_could_be_guessed() -> None:
    token, _ = a_pair()
    forms = [token.encode(), f"FlyV1 {token.encode()}", token.encode().replace("fm2_", "fm1r_")]
    assert len({bundle.read_bundle(form).members[0].fingerprint for form in forms}) == 1
    assert bundle.read_bundle("hunter2").members[0].fingerprint is None
    assert bundle.read_bundle("fo1_" + "x" * 43).members[0].fingerprint


def test_a_token_is_known_as_narrowed_from_another_by_the_signatures_alone() -> None:
    token, _ = a_pair()
    narrowed = token.attenuate([c.caveat(c.ACTION, 1)])
    forged = m.mint(bytes(32), token.nonce.kid, token.nonce.rnd, caveats=narrowed.caveats)
    assert m.derived(narrowed, token)
    assert m.derived(token, token)
    assert not m.derived(token, narrowed)
    assert not m.derived(forged, token)


def test_bytes_behind_the_token_are_told_and_not_written_back() -> None:
    token, _ = a_pair()
    longer = m.decode("fm2_" + base64.b64encode(token.payload + b"more").decode())
    assert longer.trailing == 4
    assert longer.encode() == token.encode()


def test_too_many_members_and_none_are_refused() -> None:
    with pytest.raises(m.MacaroonError, match="more than"):
        bundle.read_bundle(",".join(["x"] * 101))
    with pytest.raises(m.MacaroonError, match="no token"):
        bundle.read_bundle("FlyV1  ")
