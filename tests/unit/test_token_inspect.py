"""`rotator token inspect`: what is told of a token, how bad it is, and that it is never shown."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rotator.cli.inspecting import inspect_token
from rotator.cli.main import _run
from rotator.domain.errors import InputError
from rotator.domain.risk import Risk
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.access import Source
from rotator.fly.bundle import read_bundle
from rotator.fly.inspection import MAX_JUDGED, Reading, read_token, together
from rotator.fly.risk import warnings_of
from tests.unit.test_token_matrix import MATRIX
from tests.unit.token_support import a_spec, an_issuer

KEY = bytes(range(32))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORG = c.organization(4721)
WEB = c.apps({555: 31})
MONTH = c.validity_window(NOW, NOW + timedelta(days=30))
YEARS = c.validity_window(NOW, NOW + timedelta(days=20 * 365))
PERSONAL = "fo1_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcde"


def a_token(*caveats: c.Caveat) -> str:
    return m.header_of([m.mint(KEY, b"\x00" * 8, bytes(16), caveats=caveats)])


def read(text: str) -> Reading:
    bundle = read_bundle(text)
    return read_token(bundle.permissions[0], bundle)


def warned(text: str, *, in_ci: bool = False) -> dict[str, Risk]:
    bundle = read_bundle(text)
    readings = [read_token(each, bundle) for each in bundle.permissions]
    found = warnings_of(bundle, readings, NOW, in_ci=in_ci)
    assert [w.risk for w in found] == sorted((w.risk for w in found), reverse=True)
    return {warning.code: warning.risk for warning in found}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("deploy", "deploy token"),
        ("deploy, reading", "read-only token of some apps"),
        ("org", "organisation token"),
        ("org, one app", "deploy token"),
        ("readonly", "read-only token"),
        ("ssh", "ssh token"),
        ("machine-exec, one command", "machine-exec token"),
        ("wireguard", "WireGuard token"),
    ],
)
async def test_each_kind_is_recognised_by_its_caveats(name: str, kind: str) -> None:
    bundle = read_bundle(await an_issuer().delivered(a_spec(*MATRIX[name][:2])))
    readings = [read_token(each, bundle) for each in bundle.permissions]
    assert together(readings) == kind
    assert all(reading.third_parties[0].discharged for reading in readings)


def test_rights_are_told_for_each_thing() -> None:
    reading = read(a_token(ORG, c.apps({555: 31, 556: 1}), MONTH))
    assert reading.rights.apps == {555: "rwcdC", 556: "r"}
    assert (reading.rights.organization, reading.rights.other_apps) == ("", "")
    assert set(reading.rights.features.values()) == {""}
    assert reading.apps == (555, 556)
    assert reading.organizations == (4721,)
    assert reading.usable_until == NOW + timedelta(days=30)


def test_lists_tell_only_what_everything_else_allows_too() -> None:
    commands = [[["uptime"], True], [["ls"], False], [[], False]]
    exec_ = c.caveat(c.IF_PRESENT, [c.caveat(c.COMMANDS, commands)], c.READ)
    assert read(a_token(ORG, WEB, exec_)).rights.commands == ("uptime", "ls …", "…")
    only = c.caveat(c.IF_PRESENT, [c.caveat(c.COMMANDS, [[["uptime"], True]])], c.READ)
    assert read(a_token(ORG, WEB, exec_, only)).rights.commands == ("uptime",)
    reading = read(a_token(ORG, WEB, c.caveat(c.ACTION, c.READ), exec_))
    assert reading.rights.commands == ()
    assert not reading.rights.any_command
    assert read(a_token(ORG, c.caveat(c.MUTATIONS, ["deleteApp"]))).rights.mutations == (
        "deleteApp",
    )


def test_a_token_and_its_narrowed_copy_share_the_lineage_and_not_the_fingerprint() -> None:
    whole = read_bundle(a_token(ORG, WEB, MONTH)).permissions[0]
    one, two = read(whole.encode()), read(whole.attenuate([c.caveat(c.ACTION, 1)]).encode())
    assert one.lineage == two.lineage
    assert one.fingerprint != two.fingerprint
    assert not one.narrowed
    assert two.narrowed
    assert read(whole.encode().replace("fm2_", "fm1r_")).fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (a_token(ORG, WEB, MONTH), {"never-narrowed": Risk.LOW, "unbound": Risk.LOW}),
        (a_token(ORG, WEB, MONTH, c.caveat(c.ACTION, 1)), {}),
        (a_token(ORG, WEB, MONTH, c.from_source("acme", "web")), {}),
        (
            a_token(ORG, YEARS),
            {
                "org-wide": Risk.HIGH,
                "administers": Risk.HIGH,
                "makes-tokens": Risk.HIGH,
                "expiry-years-away": Risk.HIGH,
                "never-narrowed": Risk.MEDIUM,
                "unbound": Risk.LOW,
            },
        ),
        (a_token(c.organization(4721, 1), MONTH), {"org-wide-read": 2, "never-narrowed": 1}),
        (
            a_token(ORG, MONTH, c.caveat(c.MUTATIONS, ["createLimitedAccessToken"])),
            {"makes-tokens": Risk.HIGH},
        ),
        (a_token(ORG, WEB, c.caveat(c.ACTION, 1)), {"never-expires": Risk.HIGH}),
        (PERSONAL, {"personal-token": Risk.CRITICAL}),
        ("a" * 43, {"personal-token": Risk.CRITICAL}),
        ("fm9_AAAA", {"unknown-form": Risk.MEDIUM}),
        (a_token(ORG, WEB)[:-9], {"damaged": Risk.MEDIUM}),
        ("eyJhbGciOiJub25lIn0.e30.c2ln", {"jwt": Risk.NOTE}),
        ("hello", {"no-token": Risk.NOTE}),
    ],
)
def test_warnings_say_how_bad_a_leak_would_be(text: str, expected: dict[str, Risk]) -> None:
    assert warned(text) == expected


def test_an_organisation_token_in_ci_is_worse() -> None:
    assert warned(a_token(ORG, MONTH), in_ci=True)["org-wide-in-ci"] is Risk.CRITICAL
    assert "org-wide-in-ci" not in warned(a_token(ORG, WEB, MONTH), in_ci=True)


@pytest.mark.parametrize(
    ("days", "code"),
    [(-1, "expired"), (3, "expires-soon"), (100, "expiry-far-away"), (400, "expiry-years-away")],
)
def test_the_time_that_is_left_is_weighed(days: int, code: str) -> None:
    window = c.validity_window(NOW - timedelta(days=9), NOW + timedelta(days=days))
    assert code in warned(a_token(ORG, WEB, window))


def test_what_is_irregular_is_told() -> None:
    odd = c.Caveat(70_000, c.pack(70_000) + c.pack(None))
    login = c.caveat(c.THIRD_PARTY, "https://auth.fly.io", b"k", b"t")
    found = warned(a_token(ORG, WEB, MONTH, odd, login))
    assert found["irregular"] is Risk.LOW
    assert found["undischarged"] is Risk.MEDIUM
    assert "no-organisation" in warned(a_token(MONTH))
    later = c.validity_window(NOW + timedelta(days=1), NOW + timedelta(days=30))
    assert "not-yet-valid" in warned(a_token(ORG, WEB, later))
    other = m.mint(KEY, b"\x00" * 8, b"\x01" * 16, caveats=[ORG, WEB, MONTH]).encode()
    assert "several-tokens" in warned(f"{a_token(ORG, WEB, MONTH)},{other}")


def run(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = _run(["token", "inspect", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


TOKEN = a_token(ORG, WEB, MONTH)


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        f"\n {TOKEN}\n",
        f'export FLY_API_TOKEN="{TOKEN}"\n',
        f"access_token: {TOKEN}\n",
        TOKEN[6:],
    ],
)
def test_a_token_is_read_from_a_file_in_the_forms_that_people_keep_it(
    written: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text(written)
    code, out, err = run([str(path), "--json"], capsys)
    assert (code, err) == (0, "")
    (member,) = json.loads(out)["members"]
    assert member["fingerprint"] == read(TOKEN).fingerprint
    assert member["rights"]["apps"] == {"555": "rwcdC"}


def test_a_token_is_read_from_standard_input_and_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI_TOKEN", TOKEN)
    by_env = run(["--env", "CI_TOKEN"], capsys)
    for arguments in ([], ["-"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TOKEN.encode())))
        assert run(arguments, capsys) == by_env
    assert "May do everything to app 555 in organisation 4721" in by_env[1]


@pytest.mark.parametrize(
    "caveats",
    [
        [c.apps(dict.fromkeys(range(1, 9000), 31))],
        [c.caveat(c.COMMANDS, [[["x"], False]] * 9000)],
        [c.caveat(c.MUTATIONS, [f"m{number}" for number in range(6000)])],
        [c.caveat(c.ACTION, number % 32) for number in range(990)],
    ],
)
def test_a_token_that_is_as_long_as_can_be_is_read_in_bounded_time(caveats: list[c.Caveat]) -> None:
    reading = read(a_token(ORG, MONTH, *caveats))
    assert len(reading.rights.apps) <= MAX_JUDGED
    assert len(reading.rights.commands or ()) <= MAX_JUDGED
    assert len(reading.rights.mutations or ()) <= MAX_JUDGED
    assert any("only some are told" in each for each in reading.problems) or len(caveats) > 1


def test_a_long_list_of_mutations_can_not_hide_the_one_that_matters() -> None:
    names = [*(f"harmless{number}" for number in range(500)), "createLimitedAccessToken"]
    assert "makes-tokens" in warned(a_token(ORG, MONTH, c.caveat(c.MUTATIONS, names)))


def test_a_token_of_more_caveats_than_anybody_makes_is_refused() -> None:
    with pytest.raises(m.MacaroonError, match="more than 1000 caveats"):
        a_token(*[ORG] * 1001)
    nested = c.caveat(c.IF_PRESENT, [ORG] * 600, 1)
    with pytest.raises(m.MacaroonError, match="more than 1000 caveats"):
        a_token(nested, nested)


def test_a_place_is_put_together_from_all_bindings() -> None:
    reading = read(a_token(ORG, MONTH, c.from_source("acme"), c.from_source("", "web", "m")))
    assert reading.source == Source("acme", "web", "m")
    assert reading.rights.organization


async def test_neither_words_nor_json_show_any_part_of_a_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("deploy", "ssh", "wireguard"):
        value = await an_issuer().delivered(a_spec(*MATRIX[name][:2]))
        text = f"{value},{PERSONAL},{value[6:60]}"
        path = tmp_path / "token"
        path.write_text(text)
        for arguments in ([str(path)], [str(path), "--json"]):
            _, out, err = run(arguments, capsys)
            shown = "".join((out + err).split())
            assert not any(text[at : at + 12] in shown for at in range(len(text) - 12))
            for token in read_bundle(text).permissions:
                assert token.tail.hex() not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        [TOKEN],
        TOKEN.split(" "),
        [TOKEN[6:]],
        [PERSONAL],
        ["a" * 43],
        ["--env", TOKEN[6:]],
        ["--env", PERSONAL, "-"],
    ],
)
def test_a_token_as_an_argument_is_refused_with_a_warning_and_not_quoted(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(arguments, capsys)
    assert (code, out) == (2, "")
    assert "in the shell's history now" in err
    assert not any(
        piece in err for each in arguments for piece in (each[:20], each[-20:]) if len(each) > 20
    )


@pytest.mark.parametrize(
    "arguments", [["token", PERSONAL], [PERSONAL], ["token", "inspect", f"--{PERSONAL}"]]
)
def test_a_token_in_any_other_place_is_not_quoted_either(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(arguments) == 2
    _, err = capsys.readouterr()
    assert PERSONAL[4:] not in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.here"], "nothing.here: no such file or directory"),
        (["--env", "NOT_SET_AT_ALL"], "NOT_SET_AT_ALL: there is no such environment variable"),
        (["--env", "HOME", "file"], "give one source"),
        (["a", "b"], "give one source"),
        (["/"], "/: is a directory"),
        (["./" + "long-name-" * 5], "no such file or directory"),
        (["/dev/null"], "/dev/null: there is no token in it"),
        (["/dev/null", "--fail-on", "awful"], "'awful' is none of low, medium, high, critical"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(arguments, capsys)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert told in err


def test_an_endless_file_is_read_up_to_a_limit() -> None:
    with pytest.raises(InputError, match="longer than"):
        inspect_token(["/dev/zero"], None, as_json=False, fail_on=None)


@pytest.mark.parametrize(("limit", "code"), [("critical", 0), ("high", 1), ("low", 1), (None, 0)])
def test_a_pipeline_can_fail_on_a_risk(
    limit: str | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text(a_token(ORG, WEB, YEARS))
    option = ["--fail-on", limit] if limit else []
    assert run([str(path), *option], capsys)[0] == code


async def test_it_fits_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rotator.cli.text.WIDTH_WHEN_PIPED", 80)
    for name in MATRIX:
        path = tmp_path / "token"
        path.write_text(await an_issuer().delivered(a_spec(*MATRIX[name][:2])))
        _, out, _ = run([str(path)], capsys)
        assert max(map(len, out.splitlines())) <= 80, name
