"""wg-quick files: what flyctl writes, and nothing that could be a command."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.kinds import wg_quick

GATEWAY_KEY = base64.b64encode(bytes(range(32))).decode()
PRIVATE = wg_quick.private_key(bytes(range(1, 33)))


def a_link(
    peer_ip: str = "fdaa:0:18:a7b:9330:0:a:102",
    endpoint: str = "ord1.gateway.6pn.dev",
    gateway_key: str = GATEWAY_KEY,
) -> wg_quick.Link:
    return wg_quick.link(peer_ip=peer_ip, gateway_key=gateway_key, endpoint=endpoint)


def test_the_file_is_the_one_that_flyctl_writes() -> None:
    assert wg_quick.file_text(PRIVATE, a_link()) == (
        "\n"
        "[Interface]\n"
        f"PrivateKey = {PRIVATE}\n"
        "Address = fdaa:0:18:a7b:9330:0:a:102/120\n"
        "DNS = fdaa:0:18::3\n"
        "\n"
        "[Peer]\n"
        f"PublicKey = {GATEWAY_KEY}\n"
        "AllowedIPs = fdaa:0:18::/48\n"
        "Endpoint = ord1.gateway.6pn.dev:51820\n"
        "PersistentKeepalive = 15\n"
    )


def test_addresses_are_written_in_their_canonical_form() -> None:
    text = wg_quick.file_text(PRIVATE, a_link("FDAA:0000:0018:0A7B:9330:0000:000A:0102"))
    assert "Address = fdaa:0:18:a7b:9330:0:a:102/120\n" in text


@pytest.mark.parametrize(
    ("endpoint", "written"),
    [
        ("203.0.113.7", "203.0.113.7:51820"),
        ("2001:DB8:0:0::1", "[2001:db8::1]:51820"),
        ("gw.example", "gw.example:51820"),
    ],
)
def test_the_endpoint_takes_its_port_whatever_kind_of_address_it_is(
    endpoint: str, written: str
) -> None:
    assert f"Endpoint = {written}\n" in wg_quick.file_text(PRIVATE, a_link(endpoint=endpoint))


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("peer_ip", "10.0.0.1", "not an IPv6 address"),
        ("peer_ip", "fdaa:0:18::1/0", "not an IPv6 address"),
        ("peer_ip", "fdaa:0:18::1%eth0", "not in fdaa::/16"),
        ("peer_ip", "2001:db8::1", "not in fdaa::/16"),
        ("peer_ip", "::", "not in fdaa::/16"),
        ("endpoint", "gw.example\nPostUp = id", "no address and no host name"),
        ("endpoint", "gw.example\n", "no address and no host name"),
        ("endpoint", "", "no address and no host name"),
        ("endpoint", "fe80::1%eth0", "bound to one interface"),
        ("gateway_key", base64.b64encode(bytes(33)).decode(), "32 bytes"),
        ("gateway_key", GATEWAY_KEY + "\n", "32 bytes"),
        ("gateway_key", "x", "32 bytes"),
    ],
)
def test_an_answer_that_does_not_belong_into_the_file_is_named(
    part: str, value: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        a_link(**{part: value})


@given(st.text(max_size=40))
def test_no_answer_adds_a_line_to_the_file(endpoint: str) -> None:
    try:
        peer = a_link(endpoint=endpoint)
    except ValueError:
        return
    assert wg_quick.file_text(PRIVATE, peer).count("\n") == 11


@given(st.binary(min_size=32, max_size=32))
def test_private_keys_are_clamped_and_have_a_public_key(raw: bytes) -> None:
    private = wg_quick.private_key(raw)
    scalar = base64.b64decode(private)
    assert scalar[0] & 7 == 0
    assert scalar[31] & 192 == 64
    assert wg_quick.is_key(wg_quick.public_key(private))


def test_the_public_key_is_that_of_the_standard() -> None:
    # RFC 7748, 5.2: one iteration of X25519 from the scalar 9 and the base point 9.
    scalar = bytes([9]) + bytes(31)
    public = bytes.fromhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    assert wg_quick.public_key(base64.b64encode(scalar).decode()) == (
        base64.b64encode(public).decode()
    )


def test_a_key_needs_exactly_32_random_bytes() -> None:
    with pytest.raises(ValueError, match="32 random bytes, not 31"):
        wg_quick.private_key(bytes(31))
