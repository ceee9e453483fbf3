"""What stands at Fly is found in a few calls, ranked by risk, and told without a value."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rotator.domain.discovery import Found, Thing, assess
from rotator.domain.errors import NotFound
from rotator.domain.risk import Risk
from rotator.fly.survey import APPS_A_PAGE
from rotator.simulator import app_secrets, tokens
from rotator.simulator.faults import Fault, Match
from rotator.simulator.seed import add_app
from tests.unit.builders import NOW
from tests.unit.token_support import Issuer, an_issuer

YEAR = timedelta(days=365)


def a_company(apps: int) -> Issuer:
    """`acme` with this many apps, each with a token and two secrets, and Fly's rate limits."""
    issuer = an_issuer()
    world, now = issuer.world, issuer.fly.clock.now()
    org = world.organizations["acme"]
    for number in range(apps - sum(app.org is org for app in world.apps.values())):
        app = add_app(world, org, f"app-{number}", now)
        app_secrets.write(world, app, {"A": f"a{number}", "B": f"b{number}"}, by="eve@example.com")
        life = timedelta(days=30)
        tokens.create(world, org, name=f"ci-{number}", profile="deploy", app=app, lifetime=life)
    world.limits.enabled = True
    return issuer


def reason_codes(found: Found, *, tracked: str | None = None) -> list[str]:
    (assessed,) = assess([found], lambda _: tracked, NOW)
    return [reason.code for reason in assessed.reasons]


async def test_an_organisation_of_fifty_apps_is_read_in_three_calls() -> None:
    issuer = a_company(50)
    heard: list[tuple[int, int]] = []
    before = len(issuer.world.log)
    surveyed = await issuer.client.survey.look("acme", lambda *told: heard.append(told))
    calls = list(issuer.world.log)[before:]
    assert [call.status for call in calls] == [200] * 3
    assert heard == [(50, 50)]
    by_thing = {thing: [f for f in surveyed.found if f.thing is thing] for thing in Thing}
    assert len(by_thing[Thing.SECRET]) == 47 * 2 + 5
    assert len(by_thing[Thing.TOKEN]) == 47 + 2
    assert {f.creator for f in by_thing[Thing.SECRET]} == {"eve@example.com", ""}
    assert [f.key for f in by_thing[Thing.CERTIFICATE]] == ["certificate:web.example.com"]
    assert [f.name for f in by_thing[Thing.PEER]] == ["office-gateway"]
    assert surveyed.missing == ()


async def test_pages_follow_each_other_and_get_smaller_where_fly_refuses_large_ones() -> None:
    issuer = a_company(61)
    too_much = Fault("refused", Match(graphql="organization"), status=422)
    issuer.world.faults.add(too_much)
    heard: list[tuple[int, int]] = []
    surveyed = await issuer.client.survey.look("acme", lambda *told: heard.append(told))
    assert heard[0] == (APPS_A_PAGE[1], 61)
    assert heard[-1] == (61, 61)
    assert len({f.app for f in surveyed.found if f.app}) == 61


async def test_an_app_with_more_tokens_than_a_page_is_read_to_its_end() -> None:
    issuer = an_issuer()
    world = issuer.world
    for _ in range(120):
        tokens.create(
            world,
            world.organizations["acme"],
            name="flyctl deploy token",
            profile="deploy",
            app=world.apps["api"],
            lifetime=YEAR,
        )
    surveyed = await issuer.client.survey.look("acme", lambda *_: None)
    assert sum(f.app == "api" and f.thing is Thing.TOKEN for f in surveyed.found) == 120
    ranked = assess(surveyed.found, lambda _: None, issuer.fly.clock.now())
    assert "120 tokens have this name" in str([a.reasons for a in ranked])


async def test_another_organisation_is_not_seen_and_an_unknown_one_is_told() -> None:
    issuer = an_issuer()
    assert await issuer.client.survey.organizations() == ["acme"]
    with pytest.raises(NotFound):
        await issuer.client.survey.look("nope", lambda *_: None)


def test_the_worst_comes_first_and_every_risk_has_its_reasons() -> None:
    token = Found(Thing.TOKEN, "all", "acme", ref="1", profile="deploy_organization")
    forever = Found(
        Thing.TOKEN,
        "twenty-years",
        "acme",
        ref="2",
        profile="deploy_organization",
        at=NOW - 2 * YEAR,
        expires_at=NOW + 18 * YEAR,
    )
    peer = Found(Thing.PEER, "interactive-laptop", "acme", ref="interactive-laptop")
    ranked = assess([peer, token, forever], lambda _: None, NOW)
    assert [a.found.name for a in ranked] == ["twenty-years", "all", "interactive-laptop"]
    assert [a.risk for a in ranked] == [Risk.CRITICAL, Risk.HIGH, Risk.MEDIUM]
    assert [r.code for r in ranked[0].reasons] == [
        "org-wide",
        "expiry-years-away",
        "very-old",
        "untracked",
    ]


def test_what_is_tracked_is_not_blamed_for_its_age() -> None:
    old = Found(Thing.SECRET, "API_TOKEN", "acme", "web", at=NOW - 3 * YEAR, digest="d")
    assert reason_codes(old) == ["token-in-secret", "very-old"]
    assert reason_codes(old, tracked="api") == []


def test_values_that_are_the_same_are_told_and_leftovers_of_a_rotator_are() -> None:
    one = Found(Thing.SECRET, "A", "acme", "web", digest="same")
    two = Found(Thing.SECRET, "B", "acme", "web", digest="same")
    (first, second) = assess([one, two], lambda _: None, NOW)
    assert first.reasons[0].text == "the same value stands at secret:web/B"
    assert second.reasons[0].text == "the same value stands at secret:web/A"
    left = Found(Thing.TOKEN, "ci-01JD9ZQ4T0000000000000000A", "acme", "web", "3", profile="deploy")
    assert reason_codes(left) == ["leftover", "untracked"]


def test_certificates_that_fly_does_not_renew_are_told() -> None:
    found = Found(Thing.CERTIFICATE, "a.example.com", "acme", "web", state="Ready")
    soon = timedelta(days=3)
    assert reason_codes(found) == []
    ending = Found(
        Thing.CERTIFICATE,
        "a.example.com",
        "acme",
        "web",
        expires_at=NOW + soon,
        state="Awaiting configuration",
    )
    assert reason_codes(ending) == ["not-renewed", "not-configured"]
