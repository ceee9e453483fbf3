"""What rotator's own token may do, read from its caveats, before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rotator.domain.credential import CredentialSpec
from rotator.domain.secret import Secret
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.authority import TokenAuthority
from rotator.kinds.registry import TOKEN_KINDS
from tests.unit.builders import a_spec, a_target

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORGANIZATION = c.organization(4721)
WINDOW = c.validity_window(NOW - timedelta(days=1), NOW + timedelta(days=1))
APP = c.apps({555: c.ALL_ACTIONS})


class Clock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing to wait for")


def a_header(*tokens: Sequence[c.Caveat]) -> Secret:
    minted = [m.mint(os.urandom(32), b"kid", os.urandom(16), caveats=each) for each in tokens]
    return Secret(m.header_of(minted))


def a_kind(kind: str) -> CredentialSpec:
    target = a_target("web") if kind == "secret" else a_target(None)
    return replace(a_spec(target), kind=kind)


async def lacking(header: Secret, kind: str) -> str:
    return " ".join(await TokenAuthority(header, Clock()).missing(a_kind(kind)))


TOKENS = [kind.name for kind in TOKEN_KINDS]


@pytest.mark.parametrize("kind", ["secret", *TOKENS, "wireguard-peer"])
async def test_a_token_of_the_organisation_lacks_nothing(kind: str) -> None:
    assert await lacking(a_header((ORGANIZATION, WINDOW)), kind) == ""


@pytest.mark.parametrize(
    ("caveats", "kind", "told"),
    [
        ((ORGANIZATION, APP), "secret", ""),
        (
            (ORGANIZATION, APP),
            "deploy-token",
            "may not create deploy tokens: it is limited to apps",
        ),
        ((ORGANIZATION, APP), "wireguard-peer", "may not add WireGuard peers"),
        (
            (c.organization(4721, c.READ),),
            "secret",
            "may not set secrets and update machines of web",
        ),
        ((ORGANIZATION, c.caveat(c.ACTION, c.READ)), "deploy-token", "limited to other actions"),
        ((ORGANIZATION, c.caveat(c.FEATURE_SET, {"wg": 31})), "deploy-token", "features wg"),
        ((ORGANIZATION, c.caveat(c.FEATURE_SET, {"wg": 31})), "wireguard-peer", ""),
        ((ORGANIZATION, c.caveat(c.MUTATIONS, ["addWireGuardPeer"])), "deploy-token", "mutations"),
    ],
)
async def test_what_a_narrowed_token_lacks_is_said_by_name(
    caveats: Sequence[c.Caveat], kind: str, told: str
) -> None:
    found = await lacking(a_header(caveats), kind)
    assert told in found
    assert bool(found) is bool(told)


async def test_a_wireguard_token_of_flyctl_may_handle_peers_and_only_read_the_rest() -> None:
    inner = (c.apps({}), c.caveat(c.FEATURE_SET, {"wg": 31}))
    header = a_header((ORGANIZATION, c.caveat(c.IF_PRESENT, inner, c.READ)))
    assert await lacking(header, "wireguard-peer") == ""
    assert "deploy tokens" in await lacking(header, "deploy-token")


@pytest.mark.parametrize("kind", TOKENS)
async def test_only_a_token_of_the_organisation_makes_tokens(kind: str) -> None:
    found = await lacking(a_header((ORGANIZATION, APP)), kind)
    assert f"may not create {kind.replace('-', ' ')}s: it is limited to apps" in found
    assert f"may not revoke {kind.replace('-', ' ')}s" in found


@pytest.mark.parametrize("kind", TOKENS)
async def test_a_token_for_nothing_but_making_tokens_is_enough(kind: str) -> None:
    mutations = c.caveat(c.MUTATIONS, ["createLimitedAccessToken", "deleteLimitedAccessToken"])
    header = a_header((ORGANIZATION, c.caveat(c.IF_PRESENT, [mutations], c.READ)))
    assert await lacking(header, kind) == ""
    bare = a_header((ORGANIZATION, mutations))
    assert f"may not list {kind.replace('-', ' ')}s" in await lacking(bare, kind)


async def test_apps_that_a_token_is_narrowed_to_have_to_be_looked_up() -> None:
    spec = replace(a_kind("org-token"), params={"narrow.apps": ("web",)})
    only = c.caveat(c.IF_PRESENT, [c.apps({})], c.ALL_ACTIONS)
    told = await TokenAuthority(a_header((ORGANIZATION, only)), Clock()).missing(spec)
    assert any("look the app web up" in each for each in told)


async def test_an_expired_token_is_told_and_when_it_expired() -> None:
    old = c.validity_window(NOW - timedelta(days=9), NOW - timedelta(days=1))
    assert "expired at 2025-12-31" in await lacking(a_header((ORGANIZATION, old)), "secret")


async def test_one_token_of_a_bundle_that_may_is_enough() -> None:
    assert await lacking(a_header((ORGANIZATION, APP), (ORGANIZATION,)), "deploy-token") == ""


async def test_nothing_is_said_of_a_token_that_can_not_be_read() -> None:
    assert await lacking(Secret("fo1_personal"), "deploy-token") == ""
