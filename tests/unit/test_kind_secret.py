"""Generated secrets: what they are made of, and what is honestly said about their end."""

from __future__ import annotations

import base64
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.credential import Issued
from rotator.domain.errors import NeedsHuman, Refused
from rotator.domain.fields import Params
from rotator.domain.secret import Secret
from rotator.kinds.secret import ALPHABETS, ENCODINGS, MIN_ENTROPY_BITS, SecretKind
from tests.unit.kind_doubles import ROTATION, SeededEntropy, a_credential, a_request

KIND = SecretKind()
ISSUED = Issued(ref=ROTATION, name=f"ci-{ROTATION}")


def made(params: Params, seed: int = 1) -> str:
    prepared = KIND.prepare(a_request(KIND, a_credential("secret", params)), SeededEntropy(seed))
    assert prepared is not None
    return prepared.reveal()


def test_without_fields_it_is_32_bytes_in_base64url_without_padding() -> None:
    value = made({})
    assert len(value) == 43
    assert len(base64.urlsafe_b64decode(value + "=")) == 32
    assert KIND.entropy_bits({}) == 256


def test_bytes_are_written_in_the_encoding_asked_for() -> None:
    assert bytes.fromhex(made({"bytes": 20, "encoding": "hex"}))
    assert len(base64.b64decode(made({"bytes": 20, "encoding": "base64"}), validate=True)) == 20


def test_a_value_starts_with_its_prefix() -> None:
    assert made({"prefix": "sk_", "length": 30}).startswith("sk_")
    assert len(made({"prefix": "sk_", "length": 30})) == 33


def test_every_character_of_the_alphabet_is_about_equally_likely() -> None:
    counts = Counter("".join(made({"length": 4000, "alphabet": "abcdefg"}, s) for s in range(10)))
    assert set(counts) == set("abcdefg")
    assert max(counts.values()) < 1.1 * min(counts.values())


def test_repeated_characters_of_an_alphabet_count_once() -> None:
    assert KIND.entropy_bits({"length": 100, "alphabet": "aaab"}) == 100


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"bytes": 32, "length": 40}, "bytes or length"),
        ({"bytes": 32, "alphabet": "hex"}, "alphabet goes with length"),
        ({"length": 40, "encoding": "hex"}, "encoding goes with bytes"),
        ({"bytes": 11}, "88 bits of randomness"),
        ({"length": 16}, "95 bits of randomness"),
        ({"length": 95, "alphabet": "01"}, "95 bits"),
        ({"bytes": 0}, "bytes must be from 1"),
        ({"bytes": 1025}, "bytes must be from 1"),
        ({"length": 4097}, "length must be from 1"),
        ({"encoding": "base32"}, "encoding must be one of hex, base64, base64url"),
        ({"length": 40, "alphabet": "aaa"}, "two different characters"),
        ({"length": 400, "alphabet": "alphanumeric "}, "did you mean 'alphanumeric'"),
        ({"length": 400, "alphabet": "base64_url"}, "did you mean 'base64url'"),
        ({"length": 40, "alphabet": "äöü"}, "printable ASCII"),
        ({"length": 40, "prefix": "a\nb"}, "printable ASCII"),
        ({"length": 40, "prefix": "p" * 65}, "at most 64"),
    ],
)
def test_fields_that_make_no_good_secret_are_named(params: Params, problem: str) -> None:
    assert problem in (KIND.check(params) or "")


@pytest.mark.parametrize(
    "params",
    [{}, {"bytes": 12}, {"length": 17}, {"length": 96, "alphabet": "01"}, {"prefix": "sk_"}],
)
def test_fields_that_make_a_good_secret_pass(params: Params) -> None:
    assert KIND.check(params) is None


@given(
    params=st.one_of(
        st.fixed_dictionaries(
            {"bytes": st.integers(12, 64), "encoding": st.sampled_from(sorted(ENCODINGS))}
        ),
        st.fixed_dictionaries(
            {
                "length": st.integers(97, 128),
                "alphabet": st.one_of(
                    st.sampled_from(sorted(ALPHABETS)),
                    st.text("abc.,;=-_019", min_size=2).filter(lambda a: len(set(a)) > 1),
                ),
            }
        ),
    ),
    seed=st.integers(0, 2**32),
)
async def test_whatever_is_generated_is_proven(params: Params, seed: int) -> None:
    assert KIND.check(params) is None
    spec = a_credential("secret", params)
    evidence = await KIND.prove(spec, ISSUED, Secret(made(params, seed)))
    assert int(evidence.detail["entropy_bits"]) >= MIN_ENTROPY_BITS


@pytest.mark.parametrize("value", ["", "sk_short", "x" * 33, "sk_" + "!" * 30])
async def test_a_value_of_another_shape_is_refused_and_not_shown(value: str) -> None:
    spec = a_credential("secret", {"length": 30, "prefix": "sk_"})
    with pytest.raises(Refused) as caught:
        await KIND.prove(spec, ISSUED, Secret(value))
    assert not value or value not in str(caught.value)


async def test_minting_wraps_the_prepared_value() -> None:
    request = a_request(KIND, a_credential("secret", {}))
    minted = await KIND.mint(request, Secret("prepared"))
    assert minted.value == Secret("prepared")
    assert minted.issued.ref == ROTATION
    assert minted.issued.name == f"ci-{ROTATION}"


async def test_minting_without_the_prepared_value_asks_for_a_person() -> None:
    with pytest.raises(NeedsHuman, match="not in the database"):
        await KIND.mint(a_request(KIND, a_credential("secret", {})), None)


async def test_its_end_is_described_honestly() -> None:
    spec = a_credential("secret", {})
    assert "no issuer" in (await KIND.revoke(spec, ISSUED)).statement
    assert "no issuer can refuse it" in (await KIND.disprove(spec, ISSUED, None)).statement


def test_its_place_is_its_own_name() -> None:
    assert KIND.place("session", "acme", {}) == "secret:session"
