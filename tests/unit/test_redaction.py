"""Values are found by their look, by the name that they stand under, and by being held; and what is
no value is left alone."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotator.domain.redaction import (
    MASK,
    HeldValues,
    Scrubber,
    is_secret_name,
    kept_event,
    without_values,
)
from rotator.domain.secret import Secret
from rotator.redaction import scrubbed, watching
from rotator.settings import load_settings
from tests.integration.store_objects import an_event

KEY = b"k" * 32


TELLING = """
fly_api_token deploy_token db_password wireguard_private_key tls_private_key Authorization
authorization Cookie Set-Cookie X-Hub-Signature X-Hub-Signature-256 x-fly-signature
webhook-signature WEBHOOK_SECRET clientSecret dbPassword FLY_API_TOKEN SESSION_KEY privateKey
PrivateKey api-key apiKey X-API-Key proxy-authorization ROTATOR_KEYS accessToken token secret
pgpassword.PASSWORD connection_string fly-machine-lease-nonce tokenHeader
"""
OTHERS = """
public_key key_id secrets_version key name app region secret_name token_id monkey keyboard
signature checkpoint fingerprint digest passenger author secretary credential tokens secrets
request_id
"""


@pytest.mark.parametrize("name", TELLING.split())
def test_a_name_tells_that_a_value_stands_there(name: str) -> None:
    assert is_secret_name(name)
    assert Scrubber().named(name, "anything at all") == MASK
    assert Scrubber().thing({"a": [{name: "anything"}]}) == {"a": [{name: MASK}]}


@pytest.mark.parametrize("name", OTHERS.split())
def test_other_names_tell_nothing(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("FlyV1 fm2_lJPECPWxZSJKWLeR,fm2_xBBjnvClsEqabc", ["lJPECPW", "xBBjnv"]),
        ("token fo1_abcdefgh1234 fm1r_abcdefgh9876 fm1a_zzzzzzzz5555", ["1234", "9876", "5555"]),
        ("?token=fm2_lJPECP%2BxZSJ%2FKWLeR&x=1", ["lJPECP", "KWLeR"]),
        ("Authorization: Bearer abcdefghijklmnop.qrst", ["abcdefgh"]),
        ("authorization: Basic dXNlcjpwYXNzd29yZA==", ["dXNlcjp"]),
        ("Cookie: a=one-two-three; b=four-five-six", ["one-two", "four-five"]),
        ("dial postgres://user:hunter2@db/x failed", ["hunter2"]),
        ("redis://:p@ss/w0rd@cache:6379/0 and on", ["p@ss", "w0rd"]),
        ("git clone https://0123456789abcdef0123@github.com/x", ["0123456789abcdef"]),
        ("-----BEGIN PRIVATE KEY-----\nMIIabc\ndef\n-----END PRIVATE KEY-----", ["MII", "def"]),
        ("-----BEGIN EC PRIVATE KEY-----\\nMIIabc\\ndef", ["MIIabc"]),
        ("[Interface]\nPrivateKey = 4Kf1xLs0o5tY7Qm8Zb3Nw2Vc6Jd9Rg1Hp0AaBbCcDdE=\n", ["4Kf1xLs0"]),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123-_", ["eyJhb", "abcDEF"]),
        ('{"db_password": "hunter2hunter2"}', ["hunter2"]),
        (r'{"x": "{\"db_password\": \"hunter2x\"}"}', ["hunter2"]),
        ("DB_PASSWORD=hunter2x psql", ["hunter2"]),
        ("db_password: hunter2x", ["hunter2"]),
        ('{"location":"fly","caveats":[],"signature":"0123456789abcdef0123"}', ["0123456789"]),
        ("ghp_0123456789abcdefghij and whsec_0123456789abcdefghij", ["0123456789"]),
    ],
)  # fmt: skip
def test_what_looks_like_a_value_is_taken_out(text: str, gone: list[str]) -> None:
    told = without_values(text)
    assert [part for part in gone if part in told] == []
    assert MASK in told
    assert without_values(told) == told, "once is enough"


@pytest.mark.parametrize(
    "text",
    [
        "session-secret: fly-secret:web/SESSION_KEY was changed by somebody else",
        "deploy-token: token:tok_8f2k1 is gone",
        "machine-key: 148e272b7e9389 does not answer",
        "session-secret: 01M8825KFYSD970D06A6FMV9EG is due",
        'run `export FLY_API_TOKEN="$(fly tokens create org --name rotator)"`',
        "fly-secret:web/SESSION_KEY is written by 'session' already",
        "token:operator, secret:web/API_KEY_2 and peer:office-1",
        'kind = "deploy-token" targets = [ { type = "fly-secret", name = "FLY_API_TOKEN" } ]',
        "the API token: refused; secret: not there; key_id=8f9a0b1c2d3e",
        "see http://127.0.0.1:4280/v1?who=ann@example.com and https://fly.io/docs",
        "basic authentication is not enough, the bearer of this token",
        "rotator.example/log\n1042\n8pQ1mXxVv1aZ0Rr5Tt7Yy9Uu2Ii4Oo6Pp8Aa0Ss2Dd4=\n",
        "rotation 01M8825KFYSD970D06A6FMV9EG of session: succeeded",
        "secrets version 7, as release v7 (fsqoibDNDLJs-Apkytz9)",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_what_is_no_value_is_left_alone(text: str) -> None:
    assert without_values(text) == text


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    held = HeldValues(KEY)
    for value in ("kE7-uQ_2rTzP0aXwL9vB4nYh6cJm1dGs8fKo3iVq5eR", "hunter2-pass9"):
        held.hold(value)
        text += f" {value} "
    scrubber = Scrubber(held)
    once = scrubber.text(text)
    assert scrubber.text(once) == once


@given(st.binary(min_size=18, max_size=80), st.integers(0, 40), st.text(max_size=30))
def test_a_held_value_is_found_wherever_it_begins(raw: bytes, at: int, before: str) -> None:
    value = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    held = HeldValues(KEY)
    held.hold(value)
    for form in (
        value,
        urllib.parse.quote(value, safe=""),
        json.dumps([value]),
        value.encode().hex(),
    ):
        told = held.mask(f"{before} {'x' * at}{form} behind")
        assert form not in told
        assert told.endswith(" behind")


@given(st.integers(0, 26), st.integers(17, 40))
def test_a_piece_of_17_characters_is_found(start: int, size: int) -> None:
    value = "kE7-uQ_2rTzP0aXwL9vB4nYh6cJm1dGs8fKo3iVq5eR"
    held = HeldValues(KEY)
    held.hold(value)
    piece = value[start : start + size]
    assert len(piece) < 17 or piece not in held.mask(f"it was {piece} I think")


def test_a_short_value_is_found_whole_and_a_word_is_none() -> None:
    held = HeldValues(KEY)
    for value in ("postgres", "hunter2", "s3cr3tpw", "correcthorse", "tr0ub4dor&3"):
        held.hold(value)
    assert (
        held.mask("user postgres, hunter2, correcthorse") == "user postgres, hunter2, correcthorse"
    )
    assert held.mask("the password is s3cr3tpw.") == f"the password is {MASK}."
    assert held.mask("s3cr3tpwned and s3cr3tp") == "s3cr3tpwned and s3cr3tp"
    assert held.mask("tr0ub4dor&3") == MASK
    assert base64.b64encode(b"s3cr3tpw").decode()[:10] not in held.mask("czNjcjN0cHc=")


def test_a_short_value_is_found_in_what_is_printed_and_beside_a_value_of_several_lines() -> None:
    held = HeldValues(KEY)
    held.hold("hunter2-pass9")
    assert held.mask("login with hunter2-pass9 now\n") == f"login with {MASK} now\n"
    assert held.mask("it is hunter2-pass99\n") == "it is hunter2-pass99\n"
    held.hold("a phrase of several words, 2024")
    assert held.mask("login with hunter2-pass9 now") == f"login with {MASK} now"


def test_a_key_without_an_end_takes_no_more_than_can_be_of_it() -> None:
    told = without_values('{"reason": "found -----BEGIN RSA PRIVATE KEY----- there"}\n{"next": 1}')
    assert told.endswith('"}\n{"next": 1}')
    assert without_values(told) == told


def test_what_is_public_in_a_value_may_be_shown() -> None:
    held = HeldValues(KEY)
    key = base64.b64encode(bytes(range(32))).decode()
    held.hold(f"[Interface]\nPrivateKey = {key}\nAddress = fdaa:0:18:a7b:1::2/120\n[Peer]\n")
    held.hold("https://hooks.example.com/services/T0001/B0002/abcdefGHIJKL")
    assert held.mask("Address = fdaa:0:18:a7b:1::2/120") == "Address = fdaa:0:18:a7b:1::2/120"
    assert held.mask("https://hooks.example.com answers") == "https://hooks.example.com answers"
    assert key[:20] not in held.mask(f"key {key}")
    assert "abcdef" not in held.mask("to /services/T0001/B0002/abcdefGHIJKL")


def test_the_index_is_bounded_and_keeps_what_is_used() -> None:
    held = HeldValues(KEY, most_windows=2000)
    used = secrets.token_urlsafe(32)
    for _ in range(200):
        held.hold(used)
        held.hold(secrets.token_urlsafe(32))
    assert len(held) < 2500
    assert held.mask(used) == MASK


def test_a_value_that_is_held_always_is_never_forgotten() -> None:
    held = HeldValues(KEY, most_windows=2000)
    held.hold("postgresql://rotator:p%40ssw0rd-long@db/x?sslmode=verify-full", always=True)
    for _ in range(200):
        held.hold(secrets.token_urlsafe(32))
    assert held.mask("password p%40ssw0rd-long failed") == f"password {MASK} failed"
    assert held.mask("password p@ssw0rd-long failed") == f"password {MASK} failed"
    assert held.mask("use verify-full here") == "use verify-full here"


def test_the_index_holds_no_value_in_plain_form() -> None:
    value = secrets.token_urlsafe(32)
    held = HeldValues(KEY)
    held.hold(value)
    inside = repr([vars(held), vars(held._young), vars(held._old)])
    assert not [at for at in range(len(value) - 7) if value[at : at + 8] in inside]


def test_a_process_knows_its_values_while_it_is_watched_and_no_longer() -> None:
    value = secrets.token_urlsafe(32)
    with watching():
        Secret(value)
        Secret.of_public("the checkpoint that everybody may see")
        assert scrubbed(f"is {value}") == f"is {MASK}"
        assert scrubbed("the checkpoint that everybody may see").endswith("see")
    assert scrubbed(value) == value
    assert Secret.watcher is None


def test_the_values_of_the_settings_are_known() -> None:
    password, key = "Tr0ub4dor-and-3", base64.b64encode(bytes(range(32))).decode()
    url = f"postgresql://rotator:{password}@db.example/rotator"
    with watching():
        load_settings(database_url=url, keys=key, events_webhook_secret=f"whsec_{key}")
        told = scrubbed(f"password authentication failed: {password} {key}")
    assert told.startswith("password authentication failed: [")
    assert password not in told
    assert key not in told


def test_an_event_keeps_no_value_under_a_telling_name() -> None:
    event = an_event(
        detail={"db_password": "hunter2x", "error": "db_password=hunter2x", "step": "mint"}
    )
    assert kept_event(event).detail == {
        "db_password": MASK,
        "error": f"db_password={MASK}",
        "step": "mint",
    }
