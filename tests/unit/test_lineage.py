"""A leaked copy of a token is recognised, whatever was done to it on the way."""

from __future__ import annotations

import pytest

from rotator.domain.credential import Issued
from rotator.domain.lineage import Kinship, Trace, kinship
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.bundle import read_bundle
from rotator.fly.tracing import traces
from tests.unit.test_token_matrix import MATRIX
from tests.unit.token_support import a_spec, an_issuer

ISSUER = an_issuer()


async def minted(name: str) -> tuple[Issued, Secret, Secret]:
    """A version of a kind, its value as it is sealed, and as it is delivered."""
    kind, params, _ = MATRIX[name]
    spec = a_spec(kind, params)
    issued, value = await ISSUER.mint(spec)
    return issued, value, ISSUER.kinds[kind].render(spec, issued, value)


def kin(value: Secret, issued: Issued) -> set[Kinship | None]:
    return {kinship(trace, issued) for trace in traces(value)}


@pytest.mark.parametrize("name", MATRIX)
async def test_every_form_of_a_new_token_is_recognised_as_it(name: str) -> None:
    issued, value, delivered = await minted(name)
    assert kin(value, issued) == kin(delivered, issued) == {Kinship.SAME}
    other, _, _ = await minted(name)
    assert kin(value, other) == {None}


async def test_a_narrowed_copy_is_recognised_as_a_child() -> None:
    issued, value, _ = await minted("deploy")
    bundle = read_bundle(value.reveal())
    child = bundle.permissions[0].attenuate([c.caveat(c.ACTION, c.READ)])
    leaked = Secret(m.header_of([child, *bundle.discharges]))
    assert kin(leaked, issued) == {Kinship.NARROWED}


async def test_a_copy_without_its_discharge_is_the_same_token_and_says_what_it_lacks() -> None:
    issued, value, _ = await minted("deploy")
    bare = Secret(read_bundle(value.reveal()).permissions[0].encode())
    (trace,) = traces(bare)
    assert kinship(trace, issued) is Kinship.SAME
    assert trace.undischarged == ("https://auth.fly.io",)
    assert traces(value)[0].undischarged == ()


async def test_a_copy_from_before_the_narrowing_is_told_to_be_wider() -> None:
    issued, _, _ = await minted("readonly")
    wide = ISSUER.world.tokens[issued.ref].macaroon
    assert kin(Secret(wide.encode()), issued) == {Kinship.WIDER}


def test_a_version_without_a_lineage_is_nobodys_kin() -> None:
    assert kinship(Trace("a", "b", 3), Issued("ref", "name")) is None


async def test_nothing_that_is_kept_shows_the_token() -> None:
    issued, value, _ = await minted("deploy")
    tail = read_bundle(value.reveal()).permissions[0].tail.hex()
    assert tail not in str(issued)
    assert value.reveal()[20:60] not in str(issued)
