"""Whatever the bytes are: read or refused by name, within bounds, and never quoted."""

from __future__ import annotations

import base64
import tracemalloc

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.fly import bundle, third_party
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.wire import MAX_DEPTH, MAX_TOKEN_BYTES, Reader

KEY = bytes(range(32))
HEAD = b"\x94" + msgpack.packb([b"kid", b"rnd", False], use_bin_type=True) + b"\xa1x"
TAIL = b"\xc4\x20" + bytes(32)

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def text_of(payload: bytes) -> str:
    return "fm2_" + base64.b64encode(payload).decode()


def a_full_token() -> m.Macaroon:
    """A caveat of every type that a token of Fly's may hold, an unknown one among them."""
    inner = (c.apps({555: 31}), c.caveat(c.FEATURE_SET, {"wg": 31}))
    known = [
        c.organization(4721),
        c.caveat(c.VOLUMES, {"vol_1": 31}),
        c.apps({555: 31, 2**40: 1}),
        c.caveat(c.VALIDITY_WINDOW, -5, 2**40),
        c.caveat(c.FEATURE_SET, {"wg": 31, "": 1}),
        c.caveat(c.MUTATIONS, ["addWireGuardPeer"]),
        c.caveat(c.MACHINES, {"7811701f564258": 31}),
        *(c.caveat(number, 777) for number in (8, 9, 10)),
        c.caveat(c.THIRD_PARTY, "there", b"k", b"t"),
        c.caveat(c.BIND_TO_PARENT, b"0123456789abcdef"),
        c.caveat(c.IF_PRESENT, inner, 1),
        c.caveat(c.MACHINE_FEATURE_SET, {"oidc": 1}),
        c.caveat(c.FROM_MACHINE, "7811701f564258"),
        c.caveat(c.CLUSTERS, {"one": 31}),
        c.caveat(19, "example.com"),
        *(c.caveat(number, 777) for number in (20, 21, 23, 24)),
        c.caveat(c.IS_MEMBER),
        c.caveat(25, bytes.fromhex("0641ab04ea057f4b87")),
        c.caveat(c.ACTION, 0xFFFF),
        c.caveat(c.COMMANDS, [[["ls", "-l"], False], [[], True]]),
        c.caveat(c.APP_FEATURE_SET, {"images": 31}),
        c.caveat(c.STORAGE_OBJECTS, {"https://": 1}),
        c.caveat(c.ALLOWED_ROLES, 0xFFFFFFFF),
        c.from_source("acme", "web", "7811701f564258"),
        c.Caveat(2**48, c.pack(2**48) + c.pack({"b": [None, 1.5], "a": b""})),
    ]
    return m.mint(KEY, b"kid", bytes(16), caveats=known)


FULL = a_full_token()


def read_everything(text: str) -> None:
    """All that reading offers; only MacaroonError may come out, and it quotes nothing."""
    try:
        found = bundle.read_bundle(text)
    except m.MacaroonError as error:
        assert_quotes_nothing(str(error), text)
        return
    for member in found.members:
        if member.fault:
            assert_quotes_nothing(member.fault, text)
        assert_quotes_nothing(repr(member), text)
        if member.macaroon is None:
            continue
        token = member.macaroon
        assert m.decode(token.encode()).encode() == token.encode()
        assert_quotes_nothing(repr(token), token.encode())
        for look in (m.expires_at, m.not_before, m.app_ids, m.organization_ids, m.nonce_uuid):
            look(token)
        third_party.verified(token, KEY, found.discharges)
        try:
            narrowed = token.attenuate([c.caveat(c.ACTION, 1)])
        except m.MacaroonError as error:
            assert_quotes_nothing(str(error), text)
        else:
            assert m.derived(narrowed, token)


def assert_quotes_nothing(said: str, text: str) -> None:
    pieces = (text[at : at + 12] for at in range(4, len(text) - 12, 7))
    assert not any(piece in said for piece in pieces if len(set(piece)) > 3)


def test_a_token_with_every_type_of_caveat_is_written_back_byte_for_byte() -> None:
    assert m.decode(FULL.encode()).encode() == FULL.encode()
    assert FULL.verify(KEY)
    assert {each.type for each in FULL.caveats} >= set(c.TYPE_NAMES)
    assert [each.name for each in FULL.caveats if each.fields is None] == [f"Unregistered({2**48})"]


@quick
@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    read_everything(text_of(payload))


@quick
@given(st.binary(max_size=300))
def test_any_bytes_where_caveats_belong_are_read_or_refused(body: bytes) -> None:
    read_everything(text_of(HEAD + body + TAIL))


@quick
@given(st.data())
def test_a_mutated_token_is_read_or_refused(data: st.DataObject) -> None:
    payload = bytearray(FULL.payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(payload) - 1))
        cut = data.draw(st.integers(0, 3))
        payload[at : at + cut] = data.draw(st.binary(max_size=4))
    read_everything(text_of(bytes(payload)))


@quick
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_everything(text)


@quick
@given(st.lists(st.sampled_from(["FlyV1 ", "Bearer ", FULL.encode(), ",", "\t", "fo1_x", "fm3_x"])))
def test_any_mixture_of_members_and_schemes_is_read_or_refused(parts: list[str]) -> None:
    read_everything("".join(parts))


atoms = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
bodies = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@quick
@given(st.integers(0, 40) | st.integers(0, 2**64 - 1), bodies)
def test_a_caveat_of_any_body_keeps_its_bytes(type_number: int, body: object) -> None:
    raw = c.pack(type_number) + c.pack(body)
    (caveat,) = m.decode(text_of(HEAD + b"\x92" + raw + TAIL)).caveats
    assert caveat.raw == raw
    assert caveat.fields is None or type_number in c.TYPE_NAMES


@pytest.mark.parametrize("opener", [b"\x91", b"\xdc\xff\xff", b"\xdd\x00\x00\xff\xff", b"\x81\xa0"])
def test_nesting_costs_no_memory(opener: bytes) -> None:
    """A thousand lists, each of which claims 65,535 elements, would be half a gigabyte."""
    payload = (opener * 40_000)[:40_000]
    text = text_of(HEAD + b"\x92\x00" + payload)
    tracemalloc.start()
    try:
        with pytest.raises(m.MacaroonError):
            m.decode(text)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "claim",
    ["dcffff", "ddffffffff", "deffff", "dfffffffff", "c6ffffffff", "dbffffffff", "c9ffffffff01"],
)
@pytest.mark.parametrize("place", [b"", b"\x94", HEAD, HEAD + b"\x92\x00"])
def test_a_length_that_is_not_there_is_refused(claim: str, place: bytes) -> None:
    with pytest.raises(m.MacaroonError):
        m.decode(text_of(place + bytes.fromhex(claim)))


def test_a_token_as_long_as_the_limit_is_read_in_linear_time() -> None:
    """Every byte a value of its own: the slowest token to read that there is."""
    values = MAX_TOKEN_BYTES * 3 // 4 - 200
    filler = b"\xdd" + values.to_bytes(4, "big") + b"\xc0" * values
    text = text_of(HEAD + b"\x92" + b"\xcd\x01\x00" + filler + TAIL)
    assert m.decode(text).caveats[0].type == 256


def test_many_schemes_are_peeled_off_in_one_pass() -> None:
    """One by one, each with a copy of the rest, they would take minutes."""
    text = FULL.encode()
    assert m.split_header("flyv1 Bearer " * 70_000 + text) == [text]
    assert m.split_header("FlyV1 \t bearer") == []


def test_the_deepest_nesting_that_is_read_is_the_limit() -> None:
    def nested(levels: int) -> str:
        body = b"\x91" * levels + b"\xc0"
        return text_of(HEAD + b"\x92\xcc\xc8" + body + TAIL)

    assert m.decode(nested(MAX_DEPTH)).caveats[0].type == 200
    with pytest.raises(m.MacaroonError, match="nests"):
        m.decode(nested(MAX_DEPTH + 1))


def test_an_unknown_caveat_inside_another_keeps_its_bytes_and_its_signature() -> None:
    """Fly signs an unknown caveat as it came: here 1 is written longer than need be."""
    odd = b"\xcd\x01\x00" + b"\xcc\x01"
    raw = b"\x0d\x92\x92" + odd + b"\x01"
    reader = Reader(raw)
    number, first = reader.value()
    body, second = reader.value()
    assert isinstance(number, int)
    caveat = c.parse_caveat(number, body, first + second)
    assert caveat.canonical
    assert caveat.nested[0].raw == odd
    token = m.mint(KEY, b"kid", bytes(16), caveats=[caveat])
    assert token.verify(KEY)
    assert m.decode(token.encode()).caveats[0].nested[0].name == "Unregistered(256)"
