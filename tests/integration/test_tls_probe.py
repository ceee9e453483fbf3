"""Handshakes with real TLS servers: what is served is described, whatever is wrong with it."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.domain.posture.handshake import Handshake, Reach, covers
from rotator.fly import tls_probe
from rotator.fly.tls_probe import TlsHandshakes
from rotator.system import SystemClock
from tests.harness.tls_server import Served, authority, roots_file, serving, signed

HOST = "www.example.com"


async def shaken(folder: Path, served: Served, hostname: str = HOST) -> Handshake:
    """A handshake with the server, which the hostname resolves to."""
    prober = TlsHandshakes(
        SystemClock(),
        private_too=True,
        port=served.port,
        roots=roots_file(folder),
        resolve=lambda _: ["127.0.0.1"],
    )
    return await prober.shake(hostname)


async def test_a_good_server_is_read_without_sending_it_anything(tmp_path: Path) -> None:
    leaf = authority().issue(HOST, "example.com")
    async with serving(tmp_path, leaf, authority().between) as served:
        found = await shaken(tmp_path, served)
    assert found.reach is Reach.SHAKEN
    assert found.chain_problem == ""
    assert found.version == "TLSv1.3"
    assert found.old_version == ""
    assert found.address == "127.0.0.1"
    assert found.served is not None
    assert found.served.names == (HOST, "example.com")
    assert found.served.not_after == leaf.certificate.not_valid_after_utc
    assert found.served.issuer == "Test Between"
    assert found.served.key_type == "ecdsa"
    assert found.served.chain == ("Test Between",)
    assert covers(found.served.names, HOST)
    assert served.received == b""


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("self-signed", "self-signed certificate"),
        ("without intermediate", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
async def test_a_chain_that_is_not_trusted_is_described_and_not_just_refused(
    tmp_path: Path, case: str, told: str
) -> None:
    leaf = {
        "self-signed": lambda: signed(HOST, names=[HOST]),
        "without intermediate": lambda: authority().issue(HOST),
        "expired": lambda: authority().issue(HOST, ends_in=timedelta(days=-1)),
    }[case]()
    chain = [authority().between] if case == "expired" else []
    async with serving(tmp_path, leaf, *chain) as served:
        found = await shaken(tmp_path, served)
    assert found.reach is Reach.SHAKEN
    assert told in found.chain_problem.replace("self signed", "self-signed")
    assert found.served is not None
    assert found.served.not_after == leaf.certificate.not_valid_after_utc


async def test_a_certificate_for_another_name_is_told_by_its_names(tmp_path: Path) -> None:
    leaf = authority().issue("shop.example.org", "*.example.org")
    async with serving(tmp_path, leaf, authority().between) as served:
        found = await shaken(tmp_path, served)
    assert found.served is not None
    assert found.chain_problem == ""
    assert not covers(found.served.names, HOST)
    assert covers(found.served.names, "a.example.org")


@pytest.mark.parametrize(
    ("lowest", "highest", "version", "old"),
    [
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3, "TLSv1.3", "TLSv1.1"),
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1, "TLSv1", "TLSv1"),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "TLSv1.2", ""),
    ],
)
async def test_retired_versions_of_tls_are_told(
    tmp_path: Path, lowest: ssl.TLSVersion, highest: ssl.TLSVersion, version: str, old: str
) -> None:
    leaf, between = authority().issue(HOST), authority().between
    async with serving(tmp_path, leaf, between, lowest=lowest, highest=highest) as served:
        found = await shaken(tmp_path, served)
    assert (found.reach, found.version, found.old_version) == (Reach.SHAKEN, version, old)


async def test_a_server_without_tls_is_a_state_and_no_error(tmp_path: Path) -> None:
    async with serving(tmp_path, None) as served:
        found = await shaken(tmp_path, served)
    assert found.reach is Reach.NO_TLS
    assert found.why == "wrong version number"
    found = await shaken(tmp_path, served)
    assert found.reach is Reach.UNREACHABLE
    assert "refused" in found.why


async def test_a_server_that_never_speaks_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_probe, "CONNECT_SECONDS", 0.05)
    ended = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        found = await shaken(tmp_path, Served(server.sockets[0].getsockname()[1]))
        ended.set()
    assert (found.reach, found.why) == (Reach.UNREACHABLE, "it did not answer in time")


INNER = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fdaa:0:1::3",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
)


@pytest.mark.parametrize("address", INNER)
async def test_nothing_but_public_addresses_is_spoken_to(tmp_path: Path, address: str) -> None:
    async with serving(tmp_path, authority().issue(HOST)) as served:
        prober = TlsHandshakes(SystemClock(), port=served.port, resolve=lambda _: [address])
        found = await prober.shake(HOST)
    assert found.reach is Reach.FORBIDDEN
    assert found.why.endswith("is not public")
    assert served.connections == []


@pytest.mark.parametrize("address", ["66.241.124.10", "2a09:8280:1::1"])
def test_flys_addresses_are_public(address: str) -> None:
    assert tls_probe.is_public(tls_probe.ipaddress.ip_address(address))


@pytest.mark.parametrize("name", [".example.com", "a" * 70 + ".example.com", "\u00fc..com", ""])
async def test_what_is_no_name_is_a_state_too(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path, authority().issue(HOST)) as served:
        found = await shaken(tmp_path, served, name)
    assert found.reach is Reach.NOT_TRIED


async def test_names_are_resolved_by_the_system(tmp_path: Path) -> None:
    async with serving(tmp_path, authority().issue("localhost"), authority().between) as served:
        near = TlsHandshakes(
            SystemClock(), private_too=True, port=served.port, roots=roots_file(tmp_path)
        )
        found = await near.shake("localhost")
        refused = await TlsHandshakes(SystemClock(), port=served.port).shake("localhost")
    assert (found.reach, found.chain_problem, found.address) == (Reach.SHAKEN, "", "127.0.0.1")
    assert (refused.reach, refused.served) == (Reach.FORBIDDEN, None)
    assert "127.0.0.1" in refused.addresses


async def test_a_name_that_does_not_resolve_and_a_wildcard_are_states(tmp_path: Path) -> None:
    def unknown(_: str) -> list[str]:
        raise OSError("no such name")

    prober = TlsHandshakes(SystemClock(), resolve=unknown)
    assert (await prober.shake(HOST)).reach is Reach.UNRESOLVED
    assert (await prober.shake("*.example.com")).reach is Reach.NOT_TRIED
    empty = TlsHandshakes(SystemClock(), resolve=lambda _: [])
    assert (await empty.shake(HOST)).why == "it has no address"
