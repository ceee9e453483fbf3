"""Entries are added to a manifest that people wrote; every byte of theirs stays."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.cli.discovering import Wanted, check_options
from rotator.cli.picking import chosen_numbers
from rotator.domain.discovery import Found, Thing
from rotator.domain.errors import InputError
from rotator.fly.client import FlyClient
from rotator.kinds.adoptable import Adoptable, adoptable, credential_name
from rotator.manifest import Manifest, ManifestError, parse_manifest
from rotator.manifest.append import Entry, append_entries
from rotator.targets.registry import builtin_targets
from tests.unit.token_support import an_issuer

ISSUER = an_issuer()
CLIENT: FlyClient = ISSUER.client
MINE = """\
# ours, don't touch
organization = "acme"   # the company


[credentials.session]   # weird   spacing
kind="secret"
targets=[{type="fly-secret",app="web",name="SESSION_KEY"}]  # no line end here"""


def read(text: str) -> Manifest:
    now = ISSUER.fly.clock.now()
    return parse_manifest(text, "rotator.toml", ISSUER.kinds, builtin_targets(CLIENT), now)


def entry_of(found: Found, taken: set[str] | None = None) -> Entry:
    fit = adoptable(found)
    assert isinstance(fit, Adoptable)
    name = credential_name(found, taken or set())
    return Entry(name, fit.kind, fit.params, fit.targets, f"found as {found.key}", fit.hint)


@pytest.mark.parametrize("mine", [MINE, MINE + "\n", MINE.replace("\n", "\r\n") + "\r\n", ""])
def test_what_stands_there_stays_byte_for_byte(tmp_path: Path, mine: str) -> None:
    path = tmp_path / "rotator.toml"
    path.write_bytes(mine.encode())
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    token = Found(Thing.TOKEN, "flyctl deploy token", "acme", "web", "1", profile="deploy")
    append_entries(link, [entry_of(token)], lambda _: None)
    after = path.read_bytes()
    assert after.startswith(mine.encode())
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert (b"\r\n" in mine.encode()) is (b'mode = "observe"\r\n' in after)
    if mine:
        (added,) = [s for s in read(after.decode()).specs if s.name != "session"]
        assert added.params["token_name"] == "flyctl deploy token"
        assert added.observed
    assert len(list(tmp_path.iterdir())) == 2


@given(name=st.text(min_size=1, max_size=60), email=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_a_token_is_called_its_entry_loads_or_is_refused(name: str, email: str) -> None:
    found = Found(Thing.TOKEN, name, "acme", "web", "1", profile="deploy")
    fit = adoptable(found)
    if isinstance(fit, str):
        return
    from rotator.manifest import append

    made = Entry(credential_name(found, {"session"}), fit.kind, fit.params, (), email, fit.hint)
    text = MINE.encode() + append._text(MINE.encode(), [made])
    specs = {spec.name: spec for spec in read(text.decode()).specs}
    assert specs[made.name].params["token_name"] == found.base_name


def test_nothing_is_written_where_the_result_would_not_load(tmp_path: Path) -> None:
    path = tmp_path / "rotator.toml"
    path.write_text(MINE)
    secret = Found(Thing.SECRET, "SESSION_KEY", "acme", "web", digest="d")
    with pytest.raises(ManifestError, match="is written by 'session' already"):
        append_entries(path, [entry_of(secret, {"session"})], read)
    assert path.read_text() == MINE
    with pytest.raises(InputError, match="rotator init"):
        append_entries(tmp_path / "none.toml", [], read)


def test_a_change_in_between_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rotator.toml"
    path.write_text(MINE)
    peer = Found(Thing.PEER, "office", "acme", ref="office", region="fra")
    with pytest.raises(InputError, match="changed by somebody else"):
        append_entries(
            path, [entry_of(peer)], lambda _: path.write_text(MINE + "\n# more\n") and None
        )
    assert path.read_text() == MINE + "\n# more\n"


def test_names_of_entries_are_easy_to_type_and_unique() -> None:
    secret = Found(Thing.SECRET, "SESSION_KEY", "acme", "web")
    assert credential_name(secret, set()) == "web-session-key"
    assert credential_name(secret, {"web-session-key"}) == "web-session-key-2"
    token = Found(Thing.TOKEN, "Org deploy token", "acme")
    assert credential_name(token, set()) == "org-deploy-token"
    assert credential_name(Found(Thing.TOKEN, "日本", "acme"), set()) == "found"


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [("1,3-5", (1, 3, 4, 5)), ("all", (1, 2, 3, 4, 5)), ("", ()), ("none", ()), ("2 2", (2,))],
)
def test_a_person_picks_by_number(answer: str, numbers: tuple[int, ...]) -> None:
    assert tuple(chosen_numbers(answer, 5)) == numbers


@pytest.mark.parametrize("answer", ["0", "6", "3-1", "x", "1-", "-1", "1-9", "١٢٣"])
def test_what_is_no_number_of_the_list_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match=r"number of the list|not between"):
        chosen_numbers(answer, 5)


@pytest.mark.parametrize(
    ("wanted", "write", "told"),
    [
        (Wanted((), ("tokens",), False, (), False), False, "--kind: 'tokens' is none of token"),
        (Wanted((), (), False, ("token:x",), False), False, "add --write"),
        (Wanted((), (), False, ("token:x",), True), True, "--pick or --all, not both"),
        (Wanted((), (), False, (), False), True, "nobody is there to pick"),
    ],
)
def test_bad_options_of_discover_are_refused_before_anything_is_asked(
    wanted: Wanted, write: bool, told: str
) -> None:
    with pytest.raises(InputError) as refused:
        check_options(wanted, write=write)
    assert told in str(refused.value)
