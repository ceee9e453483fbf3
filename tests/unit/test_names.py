"""Fly's rules for names (FACTS.md, GRAPHQL.md 5, MACHINES.md 3), at one place and in every face."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from rotator import validated
from rotator.cli.doubts import doubtful_regions
from rotator.cli.main import _run
from rotator.domain import names
from rotator.domain.errors import InputError, Unavailable
from rotator.domain.platform import Platform, Region, Size
from rotator.fly.graphql import Graphql
from rotator.fly.paths import app_path, certificate_path, machine_path, release_path, segment
from rotator.fly.platform import FRESH_FOR, RETRY_AFTER, PlatformApi, shipped
from tests.contract.conversation import conversation
from tests.integration.store_objects import a_spec

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
RULES: dict[str, tuple[Callable[[str], str | None], re.Pattern[str]]] = {
    "app": (names.wrong_app, LABEL),
    "network": (names.wrong_network, LABEL),
    "peer": (names.wrong_peer, LABEL),
    "organisation": (
        names.wrong_organization,
        re.compile(r"[a-z0-9]([a-z0-9-]{0,98}[a-z0-9])?"),
    ),
    "region": (names.wrong_region, re.compile(r"[a-z]{3}")),
    "secret": (names.wrong_secret, re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")),
    "machine": (names.wrong_machine, re.compile(r"[0-9a-z]{14}")),
    "volume": (names.wrong_volume, re.compile(r"vol_[0-9a-z]{1,40}")),
    "instance": (names.wrong_instance, re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")),
}
NEAR = st.text(string.ascii_letters + string.digits + "-_. \n/é", max_size=70)
"""Texts that are nearly names."""
AS_OF = datetime(2026, 11, 25, tzinfo=UTC)
SIZES = (
    Size("shared-cpu-1x", 1, 256, 2048, (512, 1024, 2048)),
    Size("performance-1x", 1, 2048, 8192),
)
PLATFORM = Platform(
    (
        Region("fra", "Frankfurt, Germany", gateway=True),
        Region("gru", "Sao Paulo, Brazil", gateway=False),
        Region("ams", "Amsterdam, Netherlands", gateway=True, deprecated=True),
    ),
    SIZES,
    AS_OF,
)


@pytest.mark.parametrize("what", RULES)
@settings(max_examples=25)
@given(st.data())
def test_what_has_the_form_is_taken(what: str, data: st.DataObject) -> None:
    rule, form = RULES[what]
    assert rule(data.draw(st.from_regex(form, fullmatch=True))) is None


@pytest.mark.parametrize("what", RULES)
@settings(max_examples=25)
@given(NEAR)
def test_nothing_else_is_taken(what: str, name: str) -> None:
    rule, form = RULES[what]
    problem = rule(name)
    assert (problem is None) is (form.fullmatch(name) is not None)


@pytest.mark.parametrize("what", RULES)
@settings(max_examples=25)
@given(NEAR)
def test_what_is_suggested_is_right_and_the_sentence_is_one_line(what: str, name: str) -> None:
    rule, _ = RULES[what]
    problem = rule(name) or ""
    assert len(problem.splitlines()) <= 1
    if "did you mean" in problem:
        meant = problem.rpartition("did you mean ")[2].strip("?'")
        assert rule(meant) is None


@pytest.mark.parametrize(
    ("rule", "name", "meant"),
    [
        (names.wrong_app, "My_App", "my-app"),
        (names.wrong_region, "FRA", "fra"),
        (names.wrong_secret, "db-password", "db_password"),
        (names.wrong_machine, "7811701F564258", "7811701f564258"),
        (names.wrong_size, "Shared CPU 1x", "shared-cpu-1x"),
        (names.wrong_host, "https://www.example.com/x", "www.example.com"),
    ],
)
def test_what_was_likely_meant_is_said(
    rule: Callable[[str], str | None], name: str, meant: str
) -> None:
    assert f"did you mean '{meant}'?" in str(rule(name))


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("www.example.com", "www.example.com"),
        ("*.example.com", "*.example.com"),
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("3com.example", "3com.example"),
    ],
)
def test_a_host_name_is_taken_as_the_dns_has_it(name: str, host: str) -> None:
    assert names.wrong_host(name) is None
    assert TypeAdapter(validated.HostName).validate_python(name) == host


NO_HOSTS = (
    *("", "example", "*.*.example.com", "a.*.com", "*", "-a.example", "a-.example", "a..example"),
    *("a b.c", "127.0.0.1", "x" * 64 + ".example", ".".join(["x" * 60] * 5), "é" * 70 + ".example"),
    *("a_b.example", "example.com:443", "[::1]", "../x.example", "a.example\n"),
)


@pytest.mark.parametrize("name", NO_HOSTS)
def test_what_is_no_host_name_is_told(name: str) -> None:
    assert names.wrong_host(name)


@settings(max_examples=25)
@given(st.text(max_size=80))
def test_no_text_is_too_strange_for_the_rule_of_hosts(name: str) -> None:
    if names.wrong_host(name) is None:
        host = names.host_name(name)
        assert names.wrong_host(host) is None
        assert host.isascii()


IMAGES = (
    "nginx",
    "registry.fly.io/web:deployment-01",
    f"ghcr.io/a/b@sha256:{'0' * 64}",
    "localhost:5000/a",
)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_a_registry_path(image: str) -> None:
    assert names.wrong_image(image) is None
    assert names.wrong_image(f"{image} ") is not None
    assert names.wrong_image(f"{image}@sha256:12") is not None


def test_a_model_takes_a_name_by_the_same_rule_and_in_the_same_words() -> None:
    class Hook(BaseModel):
        app: validated.AppName
        region: validated.RegionCode

    assert Hook(app="web", region="fra").app == "web"
    with pytest.raises(ValidationError) as caught:
        Hook(app="Web", region="fra")
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("app",)
    assert problem["msg"] == f"Value error, {names.wrong_app('Web')}"


# -- paths


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=60))
def test_no_name_leaves_its_segment(name: str) -> None:
    if name in {".", ".."}:
        with pytest.raises(InputError):
            segment(name)
        return
    for path in (app_path(name), machine_path("web", name), release_path(name)):
        parts = urlsplit(f"https://api.machines.dev{path}")
        assert (parts.query, parts.fragment) == ("", "")
        assert parts.path.count("/") == path.count("/")
        assert (
            unquote(path.rpartition("/")[2], errors="strict")
            == name.encode(errors="replace").decode()
        )


def test_a_wildcard_is_written_as_fly_wants_it() -> None:
    path = certificate_path("web", "*.Bücher.example")
    assert path == "/v1/apps/web/certificates/%2A.xn--bcher-kva.example"


# -- regions and sizes


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("frx", "did you mean fra (Frankfurt, Germany)?"),
        ("sao", "did you mean gru (Sao Paulo, Brazil)?"),
        ("ams", "is giving up the region"),
        ("gru", "no WireGuard gateway; these have: fra"),
        ("FRA", "three lowercase letters"),
    ],
)
def test_a_region_is_doubted_with_what_is_near(code: str, told: str) -> None:
    assert told in str(PLATFORM.doubt_region(code, gateway=True))


def test_a_region_that_is_listed_is_not_doubted() -> None:
    assert PLATFORM.doubt_region("fra", gateway=True) is None
    assert PLATFORM.doubt_region("gru") is None


def test_sizes_and_memory_are_held_against_what_is_listed() -> None:
    assert PLATFORM.doubt_size("shared-cpu-1x") is None
    assert "did you mean shared-cpu-1x" in str(PLATFORM.doubt_size("shared-cpu-1"))
    assert PLATFORM.doubt_memory("shared-cpu-1x", 512) is None
    assert "the nearest is 512" in str(PLATFORM.doubt_memory("shared-cpu-1x", 600))
    assert "from 2048 to 8192 MB" in str(PLATFORM.doubt_memory("performance-1x", 256))
    assert PLATFORM.doubt_memory("performance-1x", 3000) is None, "its steps are not known"


def test_a_doubt_names_the_field_and_the_credential() -> None:
    spec = a_spec("office", kind="wireguard-peer", params={"region": "frx"})
    (told,) = doubtful_regions([spec, spec], PLATFORM)
    assert told.startswith("region of office: 'frx' is not among the 3 regions that Fly lists")


def test_the_list_that_came_along_is_dated_and_well_formed() -> None:
    platform = shipped()
    assert platform.shipped
    assert platform.as_of.date() <= datetime.now(UTC).date()
    assert not [r.code for r in platform.regions if names.wrong_region(r.code)]
    assert not [s.name for s in platform.sizes if names.wrong_size(s.name)]
    assert platform.doubt_region("fra") is None
    assert "that came with rotator (2026-11-25)" in str(platform.doubt_region("zzz"))


async def test_the_platform_is_asked_once_a_day() -> None:
    async with conversation() as said:
        api = said.client.platform
        first = await api.platform()
        assert await api.platform() is first
        assert not first.shipped
        assert len([e for e in said.said if "Platform" in str(e.body)]) == 1
        said.clock.at += FRESH_FOR
        assert (await api.platform()).as_of > first.as_of


class Sometimes:
    """A GraphQL that answers only while it is up."""

    def __init__(self, inner: Graphql) -> None:
        self.inner, self.up, self.asked = inner, True, 0

    async def run(self, *asked: Any) -> Any:
        self.asked += 1
        if not self.up:
            raise Unavailable("could not list Fly's regions")
        return await self.inner.run(*asked)


async def test_an_outage_is_bridged_with_what_is_known_else_with_what_came_along() -> None:
    async with conversation() as said:
        graphql = Sometimes(said.client.platform._graphql)
        graphql.up = False
        api = PlatformApi(cast("Graphql", graphql), said.clock)
        assert (await api.platform()).shipped
        await api.platform()
        assert graphql.asked == 1, "not at every turn while it is down"
        graphql.up = True
        said.clock.at += RETRY_AFTER
        known = await api.platform()
        assert not known.shipped
        graphql.up = False
        said.clock.at += FRESH_FOR
        assert await api.platform() is known


# -- options


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("discover", "--org", "acme", "--org", "A b"), "--org: 'A b' is not an organisation slug"),
        (("rotate", "now", "--everything", "--app", "../x"), "--app: '../x' is not an app name"),
        (("rotate", "now", "--everything", "--org", "ACME"), "did you mean 'acme'?"),
        (("list", "--app", "My_App"), "did you mean 'my-app'?"),
        (("rollout", "list", "--app", "-x-"), "--app: '-x-' is not an app name"),
        (("audit", "--machine", "7811"), "--machine: '7811' is not a machine id"),
        (("audit", "--region", "europe"), "a region has at most 3 characters"),
        (("init", "-o", "My Org"), "--organization: 'My Org' is not an organisation slug"),
    ],
)
def test_an_option_that_is_no_such_name_is_refused_in_one_line(
    command: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(list(command)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert told in printed.err
    assert len(printed.err.splitlines()) == 1
