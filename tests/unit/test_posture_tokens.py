"""Each rule about tokens: what it finds, what it leaves alone, what it says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase

import pytest

from rotator.domain.posture.organization import OrganizationSnapshot, PersonalToken, Reading
from rotator.domain.posture.rules_tokens import MANY, RULES, check_personal, check_tokens
from rotator.domain.posture.token_groups import REVOKED_AT_ONCE, grouped
from rotator.domain.risk import Risk
from tests.unit.builders import NOW
from tests.unit.posture_builders import (
    POLICY,
    a_token,
    an_organization,
    days,
    ids,
    marked,
    of_rule,
    tracked,
)

WIDE = Reading(changes_all_apps=True, narrowed=False)
NARROW = Reading(changes_all_apps=False, narrowed=True)
OWN = "rotator-token"


def one(*, by: dict[str, object] | None = None, **token: object) -> OrganizationSnapshot:
    """One token, tracked by what is in `by` unless that is None."""
    made = a_token(**token)  # type: ignore[arg-type]
    return an_organization(made, by_token=None if by is None else tracked(made, **by))  # type: ignore[arg-type]


def several(*tokens: dict[str, object]) -> OrganizationSnapshot:
    return an_organization(*(a_token(**each) for each in tokens))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    what: str
    snapshot: Callable[[], OrganizationSnapshot]
    found: tuple[str, ...]


CASES = (
    Case("a tracked, young deploy token with an end", lambda: one(by={}), ()),
    Case("one that nobody tracks", one, ("token-untracked",)),
    Case("a revoked one", lambda: one(revoked=True), ()),
    Case("an expired one", lambda: one(age=70, life=60), ()),
    Case("an organisation's", lambda: one(app=None), ("token-org-wide", "token-untracked")),
    Case(
        "an organisation's that is tracked and wide",
        lambda: one(app=None, by={"kind": "org-token", "reading": WIDE}),
        ("token-org-wide", "token-unnarrowed"),
    ),
    Case(
        "an organisation's that is tracked and narrowed",
        lambda: one(app=None, by={"kind": "org-token", "reading": NARROW}),
        (),
    ),
    Case(
        "an adopted one of the organisation, whose value nobody here knows",
        lambda: one(app=None, by={"kind": "org-token"}),
        (),
    ),
    Case(
        "rotator's own",
        lambda: one(app=None, by={"kind": OWN, "reading": WIDE, "credential": ""}),
        (),
    ),
    Case("a life of 366 days", lambda: one(by={}, life=366), ("token-long-lived",)),
    Case("a life of 365 days", lambda: one(by={}, life=365), ()),
    Case("Fly's default of 20 years", lambda: one(by={}, life=7300), ("token-never-expires",)),
    Case("91 days old", lambda: one(by={}, age=91, life=100), ("token-old",)),
    Case("90 days old", lambda: one(by={}, age=90, life=100), ()),
    Case(
        "held, and never narrowed",
        lambda: one(by={"reading": replace(NARROW, narrowed=False)}),
        ("token-unnarrowed",),
    ),
    Case(
        "older than its namesake",
        lambda: several({"age": 20}, {"age": 8}),
        ("app-many-deploy-tokens", "token-untracked", "token-unused"),
    ),
    Case(
        "older than a namesake that is a day old",
        lambda: several({"age": 20}, {"age": 1}),
        ("app-many-deploy-tokens", "token-untracked"),
    ),
    Case(
        "namesakes of two apps",
        lambda: several({"age": 20}, {"age": 8, "app": "api"}),
        ("token-untracked",),
    ),
    Case(
        "left behind by a rotation of another inventory",
        lambda: one(name=marked("ci"), age=5),
        ("token-untracked", "token-unused"),
    ),
    Case("just made by a rotation under way", lambda: one(name=marked("ci"), age=0.5), ()),
    Case(
        "two deploy tokens for an app",
        lambda: several({"name": "ci"}, {"name": "cd"}),
        ("app-many-deploy-tokens", "token-untracked"),
    ),
    Case(
        "a deploy token and one for ssh",
        lambda: several({"name": "ci"}, {"name": "flyctl ssh token"}),
        ("token-untracked",),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_rule_finds_what_it_is_about_and_nothing_else(case: Case) -> None:
    assert ids(check_tokens(case.snapshot(), POLICY, NOW)) == sorted(case.found)


def test_every_rule_is_found_by_a_case() -> None:
    covered = {rule for case in CASES for rule in case.found}
    assert covered | {"token-personal"} == {rule.id for rule in RULES}


def test_rotators_own_pair_in_the_overlap_is_one_deploy_token() -> None:
    old, new = a_token("ci"), a_token(marked("ci", age=1), age=1)
    both = tracked(old, retiring=True) | tracked(new)
    assert check_tokens(an_organization(old, new, by_token=both), POLICY, NOW) == ()
    third = a_token("spare")
    found = check_tokens(an_organization(old, new, third, by_token=both), POLICY, NOW)
    assert (
        "web has 2 deploy tokens, 1 of them tracked, 1 too many" in of_rule(found, MANY.id).message
    )
    two = replace(POLICY, deploy_tokens_an_app=2)
    assert MANY.id not in ids(
        check_tokens(an_organization(old, new, third, by_token=both), two, NOW)
    )


def test_what_rotator_revokes_anyway_is_no_finding_of_age_or_life() -> None:
    old = a_token(age=400, life=7300)
    retiring = an_organization(old, by_token=tracked(old, retiring=True))
    assert check_tokens(retiring, POLICY, NOW) == ()


def test_a_token_that_replaces_another_of_its_name_keeps_the_findings_subject() -> None:
    before = check_tokens(one(name="ci", life=7300), POLICY, NOW)
    after = check_tokens(one(name=marked("ci"), life=7300, by={}), POLICY, NOW)
    first, second = of_rule(before, "token-never-expires"), of_rule(after, "token-never-expires")
    assert first.fingerprint == second.fingerprint
    assert first.subject == "token:web/ci"
    assert (first.organization, first.app) == ("acme", "web")


def test_many_tokens_of_one_name_are_one_finding_with_the_ids_of_a_handful() -> None:
    tokens = [a_token("flyctl deploy token", age=n, ref=f"id{n}") for n in range(1, 60)]
    found = check_tokens(an_organization(*tokens), POLICY, NOW)
    untracked = of_rule(found, "token-untracked")
    assert untracked.message.startswith("each of 59 tokens named 'flyctl deploy token' of web")
    assert "and 56 more" in untracked.message
    unused = of_rule(found, "token-unused")
    assert len(shlex.split(unused.mend)) == 3 + REVOKED_AT_ONCE


def test_a_message_has_the_facts_and_a_mend_the_commands() -> None:
    finding = of_rule(check_tokens(one(life=7300, ref="abc"), POLICY, NOW), "token-never-expires")
    assert finding.message == (
        "the token 'ci' of web lives for 20 years; abc was made 2026-05-22 by ann@example.com, "
        "ends 2046-05-17"
    )
    assert finding.mend == (
        "fly tokens create deploy --app web --name ci --expiry 720h\nfly tokens revoke abc"
    )
    by_rotator = of_rule(check_tokens(one(life=7300, by={}), POLICY, NOW), "token-never-expires")
    assert by_rotator.mend == "rotator rotate now ci"
    assert by_rotator.message.endswith("tracked as ci")


def test_an_observed_one_is_not_told_to_be_rotated_as_it_is() -> None:
    found = check_tokens(one(age=100, life=200, by={"observed": True}), POLICY, NOW)
    assert 'take mode = "observe" of ci out' in of_rule(found, "token-old").mend


def test_a_name_with_a_quote_in_it_can_be_pasted_into_a_shell() -> None:
    evil = "ci'; rm -rf ~ #"
    found = check_tokens(one(name=evil, life=7300), POLICY, NOW)
    create, _ = of_rule(found, "token-never-expires").mend.splitlines()
    assert evil in shlex.split(create)


def test_only_what_no_rotator_left_behind_is_offered_to_the_manifest() -> None:
    found = of_rule(check_tokens(one(name="[ci]*"), POLICY, NOW), "token-untracked")
    adopting, _ = found.mend.splitlines()
    pattern = shlex.split(adopting)[-1]
    assert fnmatchcase("token:web/[ci]*", pattern)
    assert not fnmatchcase("token:web/cicd", pattern)
    left = of_rule(check_tokens(one(name=marked("ci")), POLICY, NOW), "token-untracked")
    assert left.mend.startswith("fly tokens revoke ")


def test_an_organisation_token_is_worst_where_it_also_never_ends() -> None:
    risks = {
        life: of_rule(
            check_tokens(one(app=None, life=life), POLICY, NOW), "token-org-wide"
        ).severity
        for life in (60, 7300)
    }
    assert risks == {60: Risk.HIGH, 7300: Risk.CRITICAL}
    wide = {"kind": "org-token", "reading": WIDE}
    found = check_tokens(one(app=None, by=wide), POLICY, NOW)
    assert of_rule(found, "token-org-wide").severity is Risk.MEDIUM
    assert 'narrow = { apps = ["APP"] }' in of_rule(found, "token-org-wide").mend


def test_personal_access_tokens_are_told_and_sessions_are_not() -> None:
    made = NOW - days(400)
    listed = [
        PersonalToken("p1", "lap'top", "pat", made),
        PersonalToken("p2", "lap'top", "pat", NOW),
        PersonalToken("p3", "flyctl", "flyctl", made),
    ]
    (finding,) = check_personal(listed, NOW)
    assert finding.subject == "personal-token:lap'top"
    assert "400d ago" in finding.message
    for line, ref in zip(finding.mend.splitlines(), ("p1", "p2"), strict=True):
        body = shlex.split(line)[-1]
        assert json.loads(body)["variables"] == {"i": {"accessTokenId": ref}}
        assert "deleteAccessToken(input:$i)" in body


def test_tokens_are_grouped_by_place_and_name_the_newest_first() -> None:
    groups = grouped(
        several({"name": "b", "age": 9}, {"name": "b", "age": 3}, {"name": "a", "app": None}), NOW
    )
    assert [group.subject for group in groups] == ["token:a", "token:web/b"]
    newest, oldest = groups[1].entries
    assert newest.token.created_at - oldest.token.created_at == timedelta(days=6)
