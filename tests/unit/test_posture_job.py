"""The daily look: what is opened, still there, resolved and back; told once, whoever looks."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from rotator.daemon import Daemon
from rotator.domain.errors import ClaimLost, InputError, NotAllowed, Unavailable
from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.posture.finding import Missing, RotationWish, Topic
from rotator.domain.posture.record import FindingState
from rotator.domain.reasons import ReasonCode
from rotator.domain.risk import Risk
from rotator.engine.posture import job
from rotator.settings import Settings
from rotator.store.memory import MemoryStore
from tests.integration.store_objects import HOUR, NOW, SettableClock, a_credential, a_ring
from tests.unit.posture_support import SECRET, a_suppression, at_fly, in_file
from tests.unit.posture_world import DAY, Company, FakeInspector, at_once

CI = at_fly("ci")
OLD = at_fly("old", app="api")
HIDE = a_suppression(rule=CI.rule.id, subject="token:web/*")


@pytest.fixture
def company() -> Company:
    clock = SettableClock()
    return Company(MemoryStore(a_ring(), clock), clock)


async def test_a_finding_is_told_once_for_as_long_as_it_is_there(company: Company) -> None:
    first = await company.look_now(CI)
    assert (first.opened, await company.actions()) == (1, ["opened"])
    for _ in range(3):
        assert (await company.look_now(replace(CI, message="now 91 days old"))).opened == 0
    assert await company.actions() == ["opened"]
    record = (await company.records())[CI.subject]
    assert (record.state, record.message) == (FindingState.OPEN, "now 91 days old")
    assert record.opened_at == NOW + HOUR
    assert record.seen_at == NOW + 4 * HOUR


async def test_what_is_gone_is_resolved_and_what_comes_back_is_told_again(
    company: Company,
) -> None:
    await company.look_now(CI, OLD)
    told = await company.look_now(OLD)
    assert told.turns["resolved"] == 1
    resolved = (await company.records())[CI.subject]
    assert (resolved.state, resolved.resolved_at) == (FindingState.RESOLVED, NOW + 2 * HOUR)
    await company.look_now(OLD)
    assert (await company.look_now(CI, OLD)).opened == 1
    assert await company.actions() == ["opened", "opened", "resolved", "reopened"]
    back = (await company.records())[CI.subject]
    assert (back.state, back.times, back.opened_at) == (FindingState.OPEN, 2, NOW + 4 * HOUR)
    assert back.resolved_at is None


async def test_what_could_not_be_read_stays_as_it_was(company: Company) -> None:
    await company.look_now(CI, OLD)
    web = Missing(Topic.TOKENS, "acme", "web", "Fly did not answer")
    await company.look_now(missing=[web])
    states = {subject: r.state for subject, r in (await company.records()).items()}
    assert states == {CI.subject: FindingState.OPEN, OLD.subject: FindingState.RESOLVED}
    await company.look_now(missing=[Missing(Topic.TOKENS, "acme", "", "no right to")])
    await company.look_now(missing=[Missing(Topic.IMAGES, "acme", "", "no report")])
    assert await company.actions() == ["opened", "opened", "resolved", "resolved"]


async def test_what_nobody_looks_at_any_more_stays_as_it_was(company: Company) -> None:
    await company.look_now(CI)
    company.inspector.topics = frozenset({Topic.IMAGES})
    await company.look_now()
    assert (await company.records())[CI.subject].state is FindingState.OPEN


@pytest.mark.parametrize(
    "error", [Unavailable("Fly is down"), NotAllowed("no right to"), InputError("no such folder")]
)
async def test_an_inspector_that_fails_leaves_the_others_their_say(
    company: Company, error: Exception
) -> None:
    await company.look_now(CI)
    company.inspector.error = error
    company.others = [FakeInspector([in_file()], topics=frozenset({Topic.CONFIG}))]
    await company.look_now()
    records = await company.records()
    assert {r.state for r in records.values()} == {FindingState.OPEN}
    assert len(records) == 2
    async with company.store.view() as unit:
        look = await unit.posture_look("acme")
    assert look is not None
    assert f"tokens: {error}" in look.missing


async def test_a_change_of_severity_is_told_and_one_of_words_is_not(company: Company) -> None:
    await company.look_now(CI)
    await company.look_now(replace(CI, risk=Risk.LOW))
    await company.look_now(replace(CI, risk=Risk.LOW, message="other words"))
    assert await company.actions() == ["opened", "changed"]
    changed = (await company.told())[-1]
    assert (changed.detail["was"], changed.detail["severity"]) == ("critical", "low")


async def test_a_suppressed_one_is_told_as_such_and_opens_when_that_ends(
    company: Company,
) -> None:
    company.suppressions = [replace(HIDE, until=date(2026, 3, 2))]
    assert (await company.look_now(CI)).opened == 0
    await company.look_now(CI)
    assert await company.actions() == ["suppressed"]
    record = (await company.records())[CI.subject]
    assert (record.state, record.note) == (FindingState.SUPPRESSED, "a public key")
    company.clock.advance(2 * DAY)
    assert (await company.look_now(CI)).opened == 1
    assert await company.actions() == ["suppressed", "reopened"]
    assert (await company.told())[-1].detail["why"] == "its suppression has ended"
    company.suppressions = [HIDE]
    await company.look_now(CI)
    assert (await company.records())[CI.subject].state is FindingState.SUPPRESSED
    await company.look_now()
    assert (await company.actions())[-2:] == ["suppressed", "resolved"]


async def test_an_event_has_what_a_person_needs_and_a_look_tells_its_sum(
    company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await company.look_now(CI, in_file())
    event = (await company.told())[0]
    assert event.action is Action.POSTURE_OPENED
    assert (event.organization, event.app, event.reason) == ("acme", "web", CI.message)
    assert event.detail == {
        "finding": CI.fingerprint,
        "rule": CI.rule.id,
        "severity": "critical",
        "subject": CI.subject,
        "mend": CI.mend,
    }
    async with company.store.view() as unit:
        looked = (await unit.events(EventQuery(action="posture.looked")))[0].event
    counts = {key: value for key, value in looked.detail.items() if value != "0"}
    assert counts == {"open_critical": "1", "open_high": "1", "opened": "2"}
    line = f"posture: critical {CI.rule.id} at token:web/ci: ci works for ever (mend: fly tokens"
    assert line in caplog.text
    assert "posture of acme: 2 opened, 0 resolved, 2 open, 0 parts not read" in caplog.text


async def test_it_looks_once_a_day_and_not_at_each_start(company: Company) -> None:
    assert await company.look() is None
    company.clock.advance(timedelta(minutes=15))
    assert await company.look("started again") is not None
    for hours, worker in ((1, "w2"), (12, "w3"), (10, "w4")):
        company.clock.advance(timedelta(hours=hours))
        assert await company.look(worker) is None
    company.clock.advance(timedelta(hours=2))
    assert await company.look("w5") is not None
    assert len(company.inspector.scopes) == 2
    company.every = timedelta(hours=1)
    company.clock.advance(timedelta(hours=2))
    assert await company.look("w6") is not None


async def test_of_several_workers_one_looks_and_tells(company: Company) -> None:
    company.inspector.findings = [CI]
    await company.make_due()
    results = await at_once(*(company.look(f"w{n}") for n in range(5)))
    assert sum(result is not None for result in results) == 1
    assert await company.actions() == ["opened"]


async def test_who_was_overtaken_writes_nothing(company: Company) -> None:
    company.inspector.findings = [CI]

    async def a_day_passes() -> None:
        company.inspector.meanwhile = None
        company.clock.advance(DAY)
        assert await company.look("w2") is not None
        await company.make_due()
        async with company.store.unit() as unit:
            look = await unit.posture_look("acme")
            assert look is not None
            await unit.save_posture_look(replace(look, holder="w3", held_until=NOW + 9 * DAY))

    company.inspector.meanwhile = a_day_passes
    await company.make_due()
    with pytest.raises(ClaimLost):
        await company.look("w1")
    assert await company.actions() == ["opened"]


async def test_a_failure_is_tried_again_in_an_hour_and_a_crash_in_three(company: Company) -> None:
    await company.make_due()

    async def broken() -> None:
        raise RuntimeError

    company.inspector.meanwhile = broken
    with pytest.raises(RuntimeError):
        await company.look()
    company.inspector.meanwhile = None
    company.clock.advance(timedelta(minutes=59))
    assert await company.look() is None
    company.clock.advance(timedelta(minutes=1))
    assert await company.look() is not None
    await company.make_due()
    async with company.store.unit() as unit:
        look = await unit.posture_look("acme")
        assert look is not None
        held = replace(look, holder="dead", held_until=company.clock.now() + job.HELD_FOR)
        await unit.save_posture_look(held)
    company.clock.advance(timedelta(hours=2))
    assert await company.look() is None
    company.clock.advance(timedelta(hours=1))
    assert await company.look() is not None


async def test_a_worker_that_stops_does_not_wait_for_a_look(company: Company) -> None:
    company.inspector.meanwhile = asyncio.Event().wait
    parts = company.parts()
    await company.make_due()
    looking = asyncio.create_task(company.look(parts=parts))
    while not company.inspector.scopes:
        await asyncio.sleep(0)
    parts.stopping.set()
    assert await looking is None
    company.inspector.meanwhile = None
    assert await company.look("the next one") is not None


async def test_what_the_policy_asks_for_is_begun_once(company: Company) -> None:
    credential = a_credential()
    wish = RotationWish(credential.name, ReasonCode.CREATOR_LEFT, "Jo left on 2026-03-01")
    company.inspector.wishes = [wish, wish]
    async with company.store.unit() as unit:
        await unit.save_credential(credential)
    for _ in range(2):
        await company.look_now()
    async with company.store.view() as unit:
        rotations = await unit.rotations()
    assert [(r.reason_code, r.reason) for r in rotations] == [("creator-left", wish.reason)]


async def test_too_many_findings_are_cut_and_the_least_bad_are_left_out(
    company: Company, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(job, "MOST_FINDINGS", 6)
    monkeypatch.setattr(job, "BATCH", 4)
    monkeypatch.setattr(job, "MOST_LINES", 2)
    many = [in_file(str(n), rule=replace(SECRET, risk=Risk.LOW)) for n in range(6)]
    assert (await company.look_now(*many)).opened == 6
    assert "4 more findings are new; `rotator posture --history`" in caplog.text
    told = await company.look_now(*many, CI)
    assert (told.opened, told.turns["resolved"]) == (1, 0)
    assert told.missing == ["the least bad of too many findings: 1"]


async def test_what_was_resolved_long_ago_is_forgotten(company: Company) -> None:
    await company.look_now(CI)
    await company.look_now()
    company.clock.advance(91 * DAY)
    await company.look_now()
    assert await company.records() == {}


@pytest.mark.parametrize(("seconds", "looks"), [(86_400, True), (0, False)])
async def test_the_daemon_looks_unless_that_is_turned_off(
    company: Company, seconds: int, *, looks: bool
) -> None:
    rotator: Any = SimpleNamespace(
        parts=company.parts(),
        settings=Settings(posture_seconds=seconds, _env_file=None),  # type: ignore[call-arg]
        store=SimpleNamespace(url=make_url("sqlite://")),
        sinks=tuple,
        event_sinks=tuple,
        responder=lambda: None,
    )
    jobs = {each.id for each in Daemon(rotator)._scheduler().get_jobs()}
    assert ("posture" in jobs) is looks
    assert "heartbeat" in jobs
