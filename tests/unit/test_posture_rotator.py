"""The rules about rotator itself, what its own token may do beyond its needs, and its clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest

from rotator.domain.posture import catalogue
from rotator.domain.posture.rotator_facts import (
    ClockOffset,
    FileMode,
    LogFacts,
    OwnFile,
    OwnTokenFacts,
    RotatorFacts,
    SendingPlace,
    TokenForm,
)
from rotator.domain.posture.rules_rotator import RULES, check_rotator
from rotator.domain.risk import Risk
from rotator.domain.secret import Secret
from rotator.fly.api_token import as_api_token
from rotator.fly.clock_watch import FRESH, PAUSE, ClockWatch
from rotator.fly.own_rights import HeldTokens, read_own
from rotator.simulator import tokens
from tests.unit.builders import NOW
from tests.unit.posture_builders import POLICY, a_token, days, ids, of_rule
from tests.unit.simulator_support import simulated_fly

FINE = RotatorFacts(
    key_ids=("new", "old"),
    sealed={"new": 3, "old": 1},
    files=(
        FileMode(OwnFile.MANIFEST, "rotator.toml", 0o600),
        FileMode(OwnFile.DATABASE, "rotator.db", 0o640),
        FileMode(OwnFile.ENVIRONMENT, ".env", 0o400),
    ),
    token=OwnTokenFacts(TokenForm.LIMITED, NOW, NOW + days(30)),
    clock=ClockOffset(timedelta(seconds=-1), timedelta(seconds=1)),
    log=LogFacts(10, 10, 10, NOW, (SendingPlace("file"),)),
)


def files(file: OwnFile, mode: int) -> tuple[FileMode, ...]:
    return (FileMode(file, "it", mode),)


def clock(least: float, most: float) -> ClockOffset:
    return ClockOffset(timedelta(seconds=least), timedelta(seconds=most))


def token(**more: object) -> OwnTokenFacts:
    assert FINE.token is not None
    return replace(FINE.token, **more)  # type: ignore[arg-type]


def log(**more: object) -> LogFacts:
    return replace(FINE.log, **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    what: str
    facts: RotatorFacts
    found: tuple[str, ...] = ()
    risk: Risk | None = None


def case(what: str, *found: str, risk: Risk | None = None, **facts: object) -> Case:
    return Case(what, replace(FINE, **facts), found, risk)  # type: ignore[arg-type]


CASES = (
    case("all is well"),
    case("no key", "rotator-key-missing", key_ids=()),
    case("a key is missing", "rotator-key-missing", key_ids=("new",)),
    case("one key", "rotator-one-key", key_ids=("new",), sealed={"new": 3}, risk=Risk.NOTE),
    case(
        "a manifest that others read",
        "rotator-manifest-exposed",
        files=files(OwnFile.MANIFEST, 0o644),
        risk=Risk.LOW,
    ),
    case(
        "a manifest that the group writes",
        "rotator-manifest-exposed",
        files=files(OwnFile.MANIFEST, 0o620),
        risk=Risk.HIGH,
    ),
    case(
        "a database that others read",
        "rotator-database-exposed",
        files=files(OwnFile.DATABASE, 0o644),
        risk=Risk.MEDIUM,
    ),
    case(
        "keys that others read",
        "rotator-env-exposed",
        files=files(OwnFile.ENVIRONMENT, 0o604),
        risk=Risk.CRITICAL,
    ),
    case(
        "keys that others write",
        "rotator-env-exposed",
        files=files(OwnFile.ENVIRONMENT, 0o602),
        risk=Risk.CRITICAL,
    ),
    case(
        "a personal token",
        "rotator-token-never-expires",
        "rotator-token-too-wide",
        token=OwnTokenFacts(TokenForm.PERSONAL),
        risk=Risk.HIGH,
    ),
    case("a token that can't be read", token=OwnTokenFacts(TokenForm.UNREADABLE)),
    case("too many rights", "rotator-token-too-wide", token=token(excess=("every app",))),
    case(
        "a token for 20 years",
        "rotator-token-never-expires",
        token=token(expires_at=NOW + days(7300)),
        risk=Risk.HIGH,
    ),
    case(
        "a token for 366 days",
        "rotator-token-never-expires",
        token=token(expires_at=NOW + days(366)),
        risk=Risk.MEDIUM,
    ),
    case("a token for 365 days", token=token(expires_at=NOW + days(365))),
    case("a clock that is behind", "rotator-clock-off", clock=clock(5.1, 6.2)),
    case("a clock that is ahead", "rotator-clock-off", clock=clock(-7, -5.1)),
    case("a clock that may be right", clock=clock(4.9, 20)),
    case("a clock of which nothing is known", clock=None),
    case(
        "a place that takes nothing",
        "rotator-checkpoint-late",
        log=log(places=(SendingPlace("webhook", NOW - days(1.1), 9),)),
    ),
    case("a place that is a bit late", log=log(places=(SendingPlace("file", NOW - days(0.9)),))),
    case("no place", "rotator-checkpoints-stay", log=log(places=())),
    case("nobody signs", "rotator-checkpoint-late", log=log(signed=7, signed_at=NOW - days(2))),
    case("nothing to sign", log=log(signed_at=NOW - days(200))),
    case("never verified", "rotator-log-unverified", log=log(verified=0)),
    case("an empty log", log=LogFacts()),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_rule_finds_what_it_is_about_and_nothing_else(case: Case) -> None:
    found = check_rotator(case.facts, POLICY, NOW)
    assert ids(found) == sorted(case.found)
    if case.risk is not None:
        assert {each.severity for each in found} == {case.risk}


def test_every_rule_is_found_by_a_case() -> None:
    assert {rule for each in CASES for rule in each.found} == {rule.id for rule in RULES}


def test_messages_have_the_facts_and_mends_the_commands() -> None:
    exposed = (
        FileMode(OwnFile.DATABASE, "my data/rotator.db", 0o644),
        FileMode(OwnFile.DATABASE, "my data/rotator.db-wal", 0o644),
    )
    bad = replace(
        FINE,
        files=exposed,
        clock=clock(60, 61),
        token=token(excess=("every app", "every mutation"), credential="rotator"),
        log=log(places=(SendingPlace("webhook", NOW - days(3), 9),)),
    )
    found = check_rotator(bad, POLICY, NOW)
    database = of_rule(found, "rotator-database-exposed")
    assert database.message == (
        "my data/rotator.db (mode 0644), my data/rotator.db-wal (mode 0644) may be read by others"
    )
    assert database.mend == "chmod 600 'my data/rotator.db' 'my data/rotator.db-wal'"
    assert of_rule(found, "rotator-clock-off").message == (
        "this machine's clock is 60.0s or more behind Fly's, and at most 5s are allowed"
    )
    wide = of_rule(found, "rotator-token-too-wide")
    assert wide.message.endswith("needs: every app; every mutation")
    assert wide.mend == "rotator rotate now rotator"
    late = of_rule(found, "rotator-checkpoint-late")
    assert late.message == (
        "a checkpoint has waited 3d to be sent to webhook after 9 failures in a row"
    )
    untracked = check_rotator(replace(bad, token=token(excess=("x",))), POLICY, NOW)
    assert 'kind = "rotator-token"' in of_rule(untracked, "rotator-token-too-wide").mend


def test_every_rule_is_in_the_catalogue_with_a_page_of_flys() -> None:
    for rule in RULES:
        assert catalogue.RULES[rule.id] is rule
    for rule_id, rule in catalogue.RULES.items():
        assert rule_id == rule_id.lower().strip("-")
        assert rule.page.startswith("https://fly.io/docs/")
        assert rule.why.endswith(".")
        assert rule.mend


# -- what a token says


def test_a_whole_organisations_token_may_do_more_than_an_empty_manifest_needs() -> None:
    fly = simulated_fly()
    facts = read_own(Secret(fly.token), (), None)
    assert facts.form is TokenForm.LIMITED
    assert facts.expires_at == fly.clock.now() - days(40) + days(365)
    assert facts.excess[0] == "every app of the organisation (wcdC), and 0 are needed"
    assert "every GraphQL mutation, and 0 are needed" in facts.excess
    assert any(said.startswith("the features wg (wcdC)") for said in facts.excess)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("fo1_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", TokenForm.PERSONAL),
        ("absent", TokenForm.UNREADABLE),
        ("", TokenForm.UNREADABLE),
        ("FlyV1 fm2_lJPECAAA", TokenForm.UNREADABLE),
    ],
)
def test_a_token_that_is_no_limited_one_is_named_as_what_it_is(value: str, form: TokenForm) -> None:
    facts = read_own(Secret(value), (), "rotator")
    assert (facts.form, facts.excess, facts.credential) == (form, (), "rotator")
    held = HeldTokens(as_api_token(Secret(value)))
    assert held.own_is_personal() is (form is TokenForm.PERSONAL)
    assert held.own_refs([a_token()]) == frozenset()
    assert held.reading(Secret(value)) is None


def test_rotators_own_token_is_found_in_a_list_by_its_times() -> None:
    fly = simulated_fly()
    listed = [
        replace(
            a_token(each.name, ref=each.id, app=each.app.name if each.app else None),
            created_at=each.created_at,
            expires_at=each.expires_at,
        )
        for each in fly.world.tokens.values()
    ]
    theirs = replace(listed[0], ref="later", created_at=listed[0].created_at + timedelta(minutes=1))
    held = HeldTokens(as_api_token(Secret(fly.token)))
    # Both of the seeded world's were made at one instant: the profile tells them apart.
    assert len(listed) == 2
    assert held.own_refs([*listed, theirs]) == {t.ref for t in listed if t.name == "operator"}


def test_a_deploy_token_changes_one_app_and_an_organisations_all() -> None:
    fly = simulated_fly()
    by_name = {each.name: Secret(tokens.header(each)) for each in fly.world.tokens.values()}
    held = HeldTokens(as_api_token(Secret(fly.token)))
    deploy, operator = held.reading(by_name["ci-web"]), held.reading(by_name["operator"])
    assert deploy is not None
    assert operator is not None
    assert (deploy.changes_all_apps, operator.changes_all_apps) == (False, True)
    assert (deploy.narrowed, operator.narrowed) == (False, False)


# -- the clock


def told(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


def test_an_answer_bounds_the_difference_by_its_round_trip_and_a_second() -> None:
    watch = ClockWatch()
    assert watch.offset(NOW) is None
    watch.note(NOW, NOW + timedelta(seconds=0.4), told(NOW + timedelta(seconds=30)))
    assert watch.offset(NOW) == clock(29.6, 31)


def test_the_sharpest_of_the_last_answers_counts_and_old_ones_do_not() -> None:
    watch = ClockWatch()
    watch.note(NOW, NOW, told(NOW))
    later = NOW + PAUSE
    watch.note(later, later + timedelta(seconds=9), told(later))
    assert watch.offset(later) == clock(0, 1)
    much_later = NOW + FRESH + timedelta(seconds=1)
    assert watch.offset(much_later) is None
    watch.note(much_later, much_later + timedelta(seconds=2), told(much_later))
    assert watch.offset(much_later) == clock(-2, 1)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Foo 2026"])
def test_an_answer_without_a_date_tells_nothing(date: str | None) -> None:
    watch = ClockWatch()
    watch.note(NOW, NOW, date)
    assert watch.offset(NOW) is None


def test_a_clock_that_is_set_back_during_a_call_makes_it_tell_nothing() -> None:
    watch = ClockWatch()
    watch.note(NOW, NOW - timedelta(minutes=5), told(NOW))
    assert watch.offset(NOW) is None
