"""Fly's tokens: read, written byte for byte, checked, minted and narrowed."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.fly import macaroon as m

ROOT_KEY = bytes(range(32))
KID = bytes.fromhex("0000000000002eed")
RND = bytes(range(0x3C, 0x4C))
BEGIN, END = datetime.fromtimestamp(1_700_000_000, UTC), datetime.fromtimestamp(1_731_536_000, UTC)


def a_token(*caveats: m.Caveat) -> m.Macaroon:
    listed = caveats or (
        m.organization(4721),
        m.apps({555: m.ALL_ACTIONS}),
        m.validity_window(BEGIN, END),
    )
    return m.mint(ROOT_KEY, KID, RND, caveats=listed)


def raw_token(value: object) -> str:
    return "fm2_" + base64.b64encode(msgpack.packb(value, use_bin_type=True)).decode()


def test_the_worked_example_has_the_documented_signature_and_audit_id() -> None:
    token = a_token()
    assert token.tail.hex() == "f98170bfab6656924d749cd2938153d286111939889d4d8127503c489e90b9d9"
    assert len(token.payload) == 113
    assert m.nonce_uuid(token) == uuid.UUID("98ed6a0c-f16e-58ac-a913-56b9faef7599")
    narrowed = token.attenuate([m.caveat(m.ACTION, m.READ)])
    assert narrowed.tail.hex() == "d70c9ad03b638c5df1d30d7f7c378c48576d9bb6aeedcb91d0271cff571960ff"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (m.organization(4721), "00 92cd12711f"),
        (m.organization(4721, 0xFFFF), "00 92cd1271cdffff"),
        (m.apps({}), "03 9180"),
        (m.caveat(m.FEATURE_SET, {"wg": 31, "addon": 1}), "05 9182a56164646f6e01a277671f"),
        (m.caveat(m.IF_PRESENT, [m.apps({555: 31})], 1), "0d 92 92039181cd022b1f 01"),
        (m.caveat(27, [[["uptime"], True]]), "1b 9192 91a6757074696d65 c3"),
        (m.caveat(22), "16 90"),
    ],
)
def test_a_caveat_is_written_in_flys_canonical_form(made: m.Caveat, expected: str) -> None:
    assert made.raw == bytes.fromhex(expected)


def test_a_header_is_split_leniently() -> None:
    text = a_token().encode()
    assert m.split_header(f" bearer FlyV1  {text} , fo1_abc,, ") == [text, "fo1_abc"]
    assert m.permission_tokens(f"Bearer FlyV1 {text},fo1_abc") == [m.decode(text)]


def test_a_discharge_is_not_a_permission_token() -> None:
    discharge = m.mint(ROOT_KEY, KID, RND, "https://auth.fly.io")
    assert m.permission_tokens(m.header_of([discharge, a_token()])) == [a_token()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FM2_AAAA",
        "fm3_AAAA",
        "fm2_",
        "fm2_!!!!",
        "fm2_lJPE",
        a_token().encode()[:-4],
        raw_token([]),
        raw_token([[KID, RND, False], "here", [0], bytes(32)]),
        raw_token([[KID], "here", [], bytes(32)]),
        raw_token([[KID, RND, False], 5, [], bytes(32)]),
        raw_token([[KID, RND, False], "here", [], "tail"]),
        raw_token([[KID, RND, False], "here", [1.5, 1], bytes(32)]),
    ],
)
def test_what_is_not_a_token_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(m.MacaroonError) as refused:
        m.decode(text)
    assert len(text) < 12 or text[4:16] not in str(refused.value)


def test_a_member_that_was_cut_is_named_by_its_place() -> None:
    whole = a_token().encode()
    with pytest.raises(m.MacaroonError, match="token 2"):
        m.permission_tokens(f"FlyV1 {whole},{whole[:-8]}")


def test_a_token_that_is_too_long_is_refused() -> None:
    with pytest.raises(m.MacaroonError, match="longer"):
        m.decode("fm2_" + "A" * m.MAX_TOKEN_BYTES)


def test_a_token_that_nests_too_deep_is_refused() -> None:
    body: object = 1
    for _ in range(m.MAX_DEPTH + 2):
        body = [body]
    with pytest.raises(m.MacaroonError, match="nests"):
        m.decode(raw_token([[KID, RND, False], "here", [200, body], bytes(32)]))


def test_neither_the_signature_nor_the_text_is_in_a_repr() -> None:
    token = a_token()
    shown = repr(token) + repr(token.nonce) + repr(token.caveats)
    assert token.tail.hex() not in shown
    assert token.encode()[20:40] not in shown
    assert repr(token.tail) not in shown
    assert str(m.nonce_uuid(token)) in repr(token)


def test_an_old_nonce_of_two_parts_is_written_back_with_two() -> None:
    text = raw_token([[KID, RND], "here", [], bytes(32)])
    assert m.decode(text).encode() == text
    assert not m.decode(text).proof


def test_an_unknown_caveat_is_kept_and_can_not_be_added() -> None:
    text = raw_token([[KID, RND, False], "here", [70_000, {"a": 1}], bytes(32)])
    token = m.decode(text)
    assert token.encode() == text
    assert token.caveats[0].name == "Unregistered(70000)"
    with pytest.raises(m.MacaroonError, match="not known"):
        token.attenuate(token.caveats)


def test_a_caveat_in_another_form_than_fly_signs_does_not_verify() -> None:
    token = a_token(m.organization(5))
    loose = token.payload.replace(bytes.fromhex("0092051f"), bytes.fromhex("0092cc051f"))
    tampered = m.decode("fm2_" + base64.b64encode(loose).decode())
    assert tampered.caveats[0].fields == (5, 31)
    assert not tampered.verify(ROOT_KEY)


def test_a_proof_can_not_be_narrowed() -> None:
    proof = m.decode(raw_token([[KID, RND, True], "here", [], bytes(32)]))
    with pytest.raises(m.MacaroonError, match="proof"):
        proof.attenuate([m.organization(1)])


@pytest.mark.parametrize("caveat", [m.caveat(23, 7), m.caveat(11, "there", b"k", b"t")])
def test_what_only_an_issuer_may_add_is_refused(caveat: m.Caveat) -> None:
    with pytest.raises(m.MacaroonError, match="issuer"):
        a_token().attenuate([caveat])


def test_a_caveat_that_is_there_already_is_not_added_again() -> None:
    token = a_token()
    assert token.attenuate([m.organization(4721)]) == token


def test_narrowing_keeps_the_audit_id_and_changes_the_fingerprint() -> None:
    token = a_token()
    narrowed = token.attenuate([m.caveat(m.ACTION, m.READ)])
    assert narrowed.verify(ROOT_KEY)
    assert m.nonce_uuid(narrowed) == m.nonce_uuid(token)
    assert m.fingerprint(narrowed) != m.fingerprint(token)


def test_expiry_is_the_earliest_end_also_of_a_nested_window() -> None:
    sooner = m.caveat(m.IF_PRESENT, [m.validity_window(BEGIN, BEGIN)], 1)
    token = a_token(m.validity_window(BEGIN, END), sooner)
    assert m.expires_at(token) == BEGIN
    assert m.not_before(token) == BEGIN
    assert m.expires_at(a_token(m.organization(1))) is None


def test_an_expiry_beyond_the_calendar_is_its_last_second() -> None:
    expires_at = m.expires_at(a_token(m.caveat(m.VALIDITY_WINDOW, 0, 2**62)))
    assert expires_at is not None
    assert expires_at.year == 9999


def test_apps_are_those_that_every_caveat_allows() -> None:
    token = a_token(m.apps({1: 31, 2: 31}), m.caveat(m.IF_PRESENT, [m.apps({2: 31, 3: 31})], 1))
    assert m.app_ids(token) == {2}
    assert m.app_ids(a_token(m.apps({0: 31}))) is None
    assert m.app_ids(a_token(m.apps({}))) == frozenset()
    assert m.organization_ids(a_token()) == {4721}


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_by_name(payload: bytes) -> None:
    try:
        token = m.decode("fm2_" + base64.b64encode(payload).decode())
    except m.MacaroonError:
        return
    assert m.decode(token.encode()).encode() == token.encode()


@given(st.integers(0, 112), st.integers(0, 255))
def test_no_changed_byte_verifies_unless_it_is_outside_the_signature(place: int, byte: int) -> None:
    payload = bytearray(a_token().payload)
    payload[place] = byte
    try:
        token = m.decode("fm2_" + base64.b64encode(bytes(payload)).decode())
    except m.MacaroonError:
        return
    same = token.nonce.raw == a_token().nonce.raw and token.tail == a_token().tail
    assert token.verify(ROOT_KEY) is (same and token.caveats == a_token().caveats)


@given(st.text(max_size=80))
def test_any_text_is_split_without_blanks_or_empty_members(text: str) -> None:
    assert all(member == member.strip() and member for member in m.split_header(text))


@given(
    st.integers(0, 2**64 - 1),
    st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 0xFFFF), max_size=20),
    st.integers(-(2**40), 2**40),
)
def test_what_is_minted_is_read_back_and_verifies(
    org: int, masks: dict[int, int], seconds: int
) -> None:
    token = a_token(
        m.organization(org), m.apps(masks), m.caveat(m.VALIDITY_WINDOW, seconds, seconds)
    )
    assert m.decode(token.encode()) == token
    assert token.verify(ROOT_KEY)
    assert token.caveats[1].fields == (dict(sorted(masks.items())),)
