"""Certificates over time: what is renewed in time makes no noise, what is late is told and asked
for, and a crash or a second daemon adds no call."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rotator.domain.events import Action, Event, Outcome
from rotator.domain.posture.certificate import CertificateState
from rotator.domain.posture.certificate_port import CheckAnswer
from rotator.domain.posture.finding import Topic
from rotator.domain.posture.handshake import Handshake, Reach, ServedCertificate
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.engine.certificates import recheck
from rotator.engine.certificates.look import CertificateEyes
from rotator.engine.certificates.watch import CertificateWatch, WatchedCertificates, cursor_name
from rotator.engine.posture.certificates import CertificateInspector
from rotator.simulator import gql, seed
from rotator.simulator.faults import Fault, Match
from rotator.simulator.model import Certificate
from tests.simulation.looking import told
from tests.simulation.mortal import Life
from tests.simulation.network import quick_graphql
from tests.simulation.story import Story, tell
from tests.simulation.virtual_time import BEGIN

DAY = timedelta(days=1)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CHECKS = Match(method="POST", path="/v1/apps/*/check")


def watching(
    s: Story, *, life: Life | None = None, every: timedelta = DAY, ask: bool = True
) -> CertificateWatch:
    """A worker's watch; without a life of its own, of the story's worker."""
    parts, _, client = s.world.parts(life or s.life)
    s.closing.append(client.aclose)
    eyes = CertificateEyes(client.certificate_reading)
    return CertificateWatch(parts, eyes, PosturePolicy(), ask, every)


def a_certificate(s: Story, host: str, app: str = "web", days: float = 90) -> Certificate:
    now = s.world.clock.now()
    made = Certificate(host, now - DAY, now + timedelta(days=days))
    s.world.fly.apps[app].certificates[host] = made
    return made


async def live(s: Story, watch: CertificateWatch, days: float) -> list[WatchedCertificates]:
    """Look whenever a look is due, as the daemon's job does."""
    until, found = s.world.clock.now() + timedelta(days=days), []
    while s.world.clock.now() < until:
        found.append(await watch.run(["acme"]))
        async with s.world.store.view() as unit:
            cursor = await unit.log_cursor(cursor_name("acme"))
        assert cursor is not None
        assert cursor.resume_at is not None
        pause = (cursor.resume_at - s.world.clock.now()).total_seconds()
        await s.world.clock.sleep(max(1.0, pause))
    return found


def days_until(s: Story, at: datetime) -> float:
    return (at - s.world.clock.now()) / DAY


def stages(events: list[Event]) -> list[tuple[str, str]]:
    return [(str(e.target), e.detail["stage"].split()[1]) for e in events]


def test_a_year_of_renewals_makes_no_noise_and_a_late_one_is_told_and_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The operator's token has to outlive the story.
    monkeypatch.setattr(seed, "LIFETIME", timedelta(days=800))
    monkeypatch.setattr(gql, "graphql", quick_graphql)

    async def story(s: Story) -> None:
        a_certificate(s, "api.example.com", "api", days=47)
        late = a_certificate(s, "late.example.com")
        calm, near = watching(s, every=5 * DAY), watching(s)
        await live(s, calm, 100)
        # By now it was renewed once; then its DNS is changed, and mended much too late.
        assert await told(s, Action.CERTIFICATE_EXPIRING) == []
        late.configured = False
        end = late.expires_at
        await live(s, calm, days_until(s, end - 30 * DAY))
        await live(s, near, days_until(s, end + 3 * DAY))
        late.configured = True
        await live(s, calm, days_until(s, BEGIN + 365 * DAY))

        name = "certificate:late.example.com"
        ending = await told(s, Action.CERTIFICATE_EXPIRING)
        assert stages(ending) == [(name, stage) for stage in ("30d", "2w", "1w", "1d")]
        assert stages(await told(s, Action.CERTIFICATE_EXPIRED)) == [(name, "0s")]
        (renewed,) = await told(s, Action.CERTIFICATE_RENEWED)
        assert (renewed.target, renewed.organization, renewed.app) == (name, "acme", "web")
        assert "Fly can't renew it: DNS records are not configured" in ending[0].reason
        assert ending[0].detail["next"].startswith("set late.example.com CNAME web.fly.dev; then")

        intents = await told(s, Action.CERTIFICATE_CHECKING)
        outcomes = await told(s, Action.CERTIFICATE_CHECKED)
        assert all(abs(e.at - at) < MINUTE for e, at in zip(intents, late.checks, strict=True))
        assert len(outcomes) == len(intents) == 11
        assert {e.outcome for e in intents} == {Outcome.INTENT}
        assert {e.outcome for e in outcomes} == {Outcome.OK}
        assert all(e.request_id for e in outcomes)
        assert "DNS_NOT_CONFIGURED" in outcomes[0].reason

    tell(story)


def test_a_renewal_that_is_stuck_goes_on_after_rechecks_that_come_later_and_later() -> None:
    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", days=13.5)
        late.stuck, late.checks_needed = True, 4
        begun = s.world.clock.now()
        found = await live(s, watching(s), 3)
        hours = [round((at - begun).total_seconds() / 3600) for at in late.checks]
        assert hours == [0, 1, 7, 31]
        assert [each.asked for each in found if each.asked] == [1, 1, 1, 1]
        outcomes = await told(s, Action.CERTIFICATE_CHECKED)
        assert [each.detail.get("next", "")[:18] for each in outcomes] == [
            *["Fly is asked again"] * 3,
            "",
        ]
        assert outcomes[-1].reason == "Fly has renewed the certificate"
        assert outcomes[-1].detail["evidence"] == f"it ends {late.expires_at:%Y-%m-%d}"
        assert len(await told(s, Action.CERTIFICATE_RENEWED)) == 1
        assert found[0].states[CertificateState.EXPIRING] == 1
        assert found[-1].states == {CertificateState.GOOD: 2}

    tell(story)


@pytest.mark.parametrize("asked", [False, True])
def test_a_worker_that_dies_between_intent_and_outcome_costs_a_try_and_no_more(
    asked: bool,
) -> None:
    """Either the call was not sent any more, or it was, and its outcome is not committed."""

    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", days=10)
        late.stuck, late.checks_needed = True, 3
        life = Life()
        dying = watching(s, life=life)
        ask = dying.eyes.reader.check

        async def die(app: str, hostname: str) -> CheckAnswer:
            life.over = not asked
            answer = await ask(app, hostname)
            life.over = True
            return answer

        dying.eyes.reader.check = die  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await dying.run(["acme"])
        assert len(late.checks) == int(asked)
        assert len(await told(s, Action.CERTIFICATE_CHECKING)) == 1
        assert await told(s, Action.CERTIFICATE_CHECKED) == []

        watch = watching(s)
        assert not (await watch.run(["acme"])).looked
        await live(s, watch, 2)
        outcomes = await told(s, Action.CERTIFICATE_CHECKED)
        intents = await told(s, Action.CERTIFICATE_CHECKING)
        assert [e.outcome for e in outcomes] == [Outcome.UNKNOWN, *[Outcome.OK] * (3 - asked)]
        assert [e.detail["attempt"] for e in intents] == ["1", "2", "3", "4"][: 4 - asked]
        assert len(late.checks) == 3
        assert outcomes[-1].reason == "Fly has renewed the certificate"

    tell(story)


def test_two_daemons_and_restarts_look_and_ask_as_often_as_one() -> None:
    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", days=10)
        late.stuck, late.checks_needed = True, 99
        looks = 0
        for _ in range(4):
            found = await asyncio.gather(*(watching(s).run(["acme"]) for _ in range(2)))
            looks += sum(each.looked for each in found)
        assert (looks, len(late.checks)) == (1, 1)
        assert len(await told(s, Action.CERTIFICATE_EXPIRING)) == 1
        again = await watching(s).run(["acme"])
        assert not again.looked
        # A daemon that has just begun knows how things stand all the same.
        assert again.states[CertificateState.EXPIRING] == 1

    tell(story, on_disk=True)


def test_an_answer_that_is_lost_is_told_as_unknown_and_not_asked_for_at_once() -> None:
    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", days=10)
        late.stuck = True
        s.world.fly.faults.add(Fault("lost", CHECKS))
        await live(s, watching(s), 0.5)
        (outcome,) = await told(s, Action.CERTIFICATE_CHECKED)
        assert outcome.outcome is Outcome.UNKNOWN
        assert len(late.checks) == 1
        assert late.expires_at > s.world.clock.now() + timedelta(days=80)
        assert len(await told(s, Action.CERTIFICATE_RENEWED)) == 1

    tell(story)


class Visitor:
    """Sees what a test says, or nothing."""

    def __init__(self, s: Story) -> None:
        self.clock, self.ends_at = s.world.clock, s.world.clock.now() + 20 * DAY
        self.reached = True

    async def shake(self, hostname: str) -> Handshake:
        now = self.clock.now()
        if not self.reached:
            return Handshake(Reach.UNREACHABLE, now, "no route")
        begun = self.ends_at - 90 * DAY
        served = ServedCertificate((hostname,), begun, self.ends_at, "CDN", "rsa", "0" * 64)
        return Handshake(Reach.SHAKEN, now, address="203.0.113.9", served=served)


def test_the_end_of_what_visitors_see_is_told_also_where_fly_has_another_one() -> None:
    async def story(s: Story) -> None:
        visitor, quiet = Visitor(s), watching(s)
        watch = replace(quiet, eyes=replace(quiet.eyes, prober=visitor))
        await live(s, watch, 14)
        visitor.reached = False
        await live(s, watch, 2)
        name = "certificate:web.example.com"
        expiring = await told(s, Action.CERTIFICATE_EXPIRING)
        assert [(e.target, e.detail["stage"][11:]) for e in expiring] == [
            (name, "2w served"),
            (name, "1w served"),
        ]
        assert expiring[0].detail["expires_at"] == visitor.ends_at.isoformat()
        # That nobody answers is no good news.
        assert await told(s, Action.CERTIFICATE_RENEWED) == []
        visitor.reached, visitor.ends_at = True, visitor.ends_at + 90 * DAY
        await live(s, watch, 2)
        assert len(await told(s, Action.CERTIFICATE_RENEWED)) == 1
        assert await told(s, Action.CERTIFICATE_CHECKING) == []

    tell(story)


def test_a_hostname_that_cant_be_read_again_goes_by_what_the_check_answered() -> None:
    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", "jobs", days=10)
        late.stuck = True
        watch = watching(s)
        again = Match(method="GET", path="/v1/apps/jobs/certificates/late*")
        check = watch.eyes.reader.check

        async def and_then_nothing(app: str, hostname: str) -> CheckAnswer:
            answer = await check(app, hostname)
            s.world.fly.faults.add(Fault("refused", again, times=9, status=403))
            return answer

        watch.eyes.reader.check = and_then_nothing  # type: ignore[method-assign]
        assert (await watch.run(["acme"])).asked == 1
        (outcome,) = await told(s, Action.CERTIFICATE_CHECKED)
        assert outcome.outcome is Outcome.OK
        assert outcome.reason == "Fly has renewed the certificate"

    tell(story)


def test_fly_is_not_asked_more_often_in_a_day_than_an_organisation_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recheck, "MOST_CHECKS_A_DAY_IN_ALL", 4)

    async def story(s: Story) -> None:
        for number in range(3):
            late = a_certificate(s, f"h{number}.example.com", days=10 + number / 10)
            late.stuck, late.checks_needed = True, 99
        await live(s, watching(s), 0.9)
        intents = await told(s, Action.CERTIFICATE_CHECKING)
        # The nearest ends are asked about first.
        assert [str(e.target)[-14:-12] for e in intents] == ["h0", "h1", "h2", "h0"]
        await live(s, watching(s), 0.3)
        assert len(await told(s, Action.CERTIFICATE_CHECKING)) > 4

    tell(story)


def test_what_was_refused_or_is_turned_off_is_not_asked_for() -> None:
    async def story(s: Story) -> None:
        late = a_certificate(s, "late.example.com", days=10)
        late.stuck = True
        await live(s, watching(s, ask=False), 1)
        assert await told(s, Action.CERTIFICATE_CHECKING) == []
        s.world.fly.faults.add(Fault("refused", CHECKS, status=403))
        await live(s, watching(s), 0.5)
        first, *_ = await told(s, Action.CERTIFICATE_CHECKED)
        assert first.outcome is Outcome.FAILED
        assert "403" in first.detail["error"]
        assert first.detail["next"] == f"Fly is asked again at {first.at + HOUR:%Y-%m-%d %H:%M}Z"

    tell(story)


def test_an_organisation_that_cant_be_read_is_tried_again_and_what_was_known_stays() -> None:
    async def story(s: Story) -> None:
        watch = watching(s)
        await watch.run(["acme"])
        await s.world.clock.sleep(2 * 86400)
        s.world.fly.faults.add(Fault("refused", Match(path="/graphql"), times=9, status=403))
        found = await watch.run(["acme"])
        assert (found.looked, found.states) == (False, {CertificateState.GOOD: 1})
        s.world.fly.faults.clear()
        await s.world.clock.sleep(3600)
        assert (await watch.run(["acme"])).looked

    tell(story)


def test_the_inspector_gives_findings_and_what_it_could_not_read() -> None:
    async def story(s: Story) -> None:
        a_certificate(s, "late.example.com", days=5).stuck = True
        imported = a_certificate(s, "own.example.com", "api")
        imported.custom_expires_at = s.world.clock.now() + timedelta(days=3)
        inspector = CertificateInspector(watching(s).eyes)
        scope, now = InspectionScope(("acme",)), s.world.clock.now()
        found = await inspector.inspect(scope, PosturePolicy(), now)
        assert sorted((f.rule.id, f.app, f.subject) for f in found.findings) == [
            ("certificate-custom-expiring", "api", "certificate:own.example.com"),
            ("certificate-expiring", "web", "certificate:late.example.com"),
        ]
        assert found.missing == ()
        one = await inspector.inspect(replace(scope, app="api"), PosturePolicy(), now)
        assert [f.app for f in one.findings] == ["api"]
        lists = Match(path="/v1/apps/api/certificates")
        s.world.fly.faults.add(Fault("refused", lists, times=9, status=403))
        half = await inspector.inspect(scope, PosturePolicy(), now)
        assert [(m.topic, m.app) for m in half.missing] == [(Topic.CERTIFICATES, "api")]
        gone = await inspector.inspect(replace(scope, app="nothing"), PosturePolicy(), now)
        assert [(m.app, m.organization) for m in gone.missing] == [("nothing", "acme")]

    tell(story)
