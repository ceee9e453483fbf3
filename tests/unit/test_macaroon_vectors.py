"""Every vector that Fly's own macaroon library has produced. They are not in this repository:
where they don't lie beside it these tests skip, and `test_macaroon.py` has vectors of its own."""

from __future__ import annotations

import base64
import json
from functools import cache
from itertools import chain

import pytest

from rotator.fly import bundle, third_party
from rotator.fly import macaroon as m
from rotator.fly.caveats import ATTESTATIONS, Caveat, read_caveats
from rotator.fly.wire import Reader
from tests.contract import official

EMPTY_SET = "kA=="
"""Stands for the attestations in the attenuations: the library refused to add them."""


@cache
def vectors() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(
        official.file("macaroon-vectors.json").read_text("utf-8")
    )
    return loaded


def table(name: str) -> dict[str, str]:
    found = vectors()[name]
    assert isinstance(found, dict)
    return found


def key() -> bytes:
    return base64.b64decode(str(vectors()["key"]))


def a_set(text: str) -> list[Caveat]:
    reader = Reader(base64.b64decode(text))
    found = list(read_caveats(reader))
    assert reader.rest == 0
    return found


def attenuations() -> list[tuple[str, str, str]]:
    found = vectors()["attenuation"]
    assert isinstance(found, dict)
    return [
        (base, packed, result) for base, each in found.items() for packed, result in each.items()
    ]


def test_every_macaroon_is_written_back_byte_for_byte() -> None:
    for name, header in table("macaroons").items():
        (token,) = m.decode_header(header)
        assert m.header_of([token]) == header, name
        assert token.trailing == 0
        assert all(each.canonical for each in token.caveats), name


def test_every_macaroon_of_the_issuer_verifies_with_its_key_and_with_no_other() -> None:
    for name, header in table("macaroons").items():
        (token,) = m.decode_header(header)
        assert token.proof is bool({each.type for each in token.caveats} & ATTESTATIONS), name
        assert token.verify(key()) is not token.proof, name
        assert not token.verify(bytes(32))


def test_every_caveat_is_read_and_written_back_byte_for_byte() -> None:
    for name, text in table("caveats").items():
        (caveat,) = a_set(text)
        assert b"\x92" + caveat.raw == base64.b64decode(text), name
        assert (caveat.fields is None) is (caveat.type >= 2**48), name


def test_every_attenuation_gives_the_bytes_of_flys_library() -> None:
    for base_header, packed, result_header in attenuations():
        base = m.decode_header(base_header)
        place = next(i for i, t in enumerate(base) if t.location == vectors()["location"])
        added = a_set(packed)
        made = base[place].extended(added)
        assert made.verify(key())
        assert m.derived(made, base[place])
        # flyctl puts the narrowed token where the library did: the others keep their order.
        rest = [token for i, token in enumerate(base) if i != place]
        assert sorted(m.header_of([made, *rest])[6:].split(",")) == sorted(
            result_header[6:].split(",")
        ), packed
    assert len(attenuations()) == 19


def test_attenuations_that_a_holder_may_make_are_made_by_attenuate() -> None:
    made = 0
    for base_header, packed, result_header in attenuations():
        added = a_set(packed)
        if packed == EMPTY_SET or any(each.fields is None for each in added):
            continue
        for token in m.decode_header(base_header):
            if token.location == vectors()["location"]:
                assert token.attenuate(added).encode() in result_header
                made += 1
    assert made


def test_the_attestations_that_the_library_refused_are_refused() -> None:
    base = next(iter(m.decode_header(attenuations()[0][0])))
    for text in table("caveats").values():
        (caveat,) = a_set(text)
        if caveat.type in ATTESTATIONS:
            with pytest.raises(m.MacaroonError, match="issuer"):
                base.attenuate([caveat])


def test_the_third_parties_of_a_bundle_are_found_with_their_discharge() -> None:
    found = bundle.read_bundle(str(vectors()["with_tps"]))
    token = next(
        each.macaroon
        for each in found.members
        if each.macaroon and each.macaroon.location == vectors()["location"]
    )
    parties = third_party.third_parties(token)
    assert [party.location for party in parties] == ["discharged", "undischarged"]
    assert [len(found.discharges_of(party)) for party in parties] == [1, 0]
    assert found.missing(token) == (parties[1],)
    assert third_party.verified(token, key(), found.discharges) is None


def test_a_bundle_verifies_where_its_one_third_party_is_discharged() -> None:
    """The same bundle without the caveat that nobody has discharged."""
    found = bundle.read_bundle(str(vectors()["with_tps"]))
    token = next(
        each.macaroon
        for each in found.members
        if each.macaroon and each.macaroon.location == vectors()["location"]
    )
    first = m.mint(key(), token.nonce.kid, token.nonce.rnd, token.location, token.caveats[:1])
    assert third_party.verified(first, key(), found.discharges) == ()
    assert third_party.verified(first, key(), ()) is None


def test_no_vector_is_left_out() -> None:
    counts = {name: len(each) for name, each in vectors().items() if isinstance(each, dict)}
    assert counts["macaroons"] == 21
    assert counts["caveats"] == 24
    inner = vectors()["attenuation"]
    assert isinstance(inner, dict)
    assert len(list(chain.from_iterable(inner.values()))) == 19
