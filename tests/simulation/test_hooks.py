"""From a hook to a dead token, in virtual time: accepted, recognised, approved, revoked, proven."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from rotator.domain.alert import ENDED_ALERTS, Alert, AlertState
from rotator.domain.credential import VersionState
from rotator.domain.errors import InputError, NotFound, Unavailable
from rotator.domain.events import Action, Event
from rotator.domain.hook import (
    GithubAlert,
    HookFormat,
    HookSpec,
    RequestOutcome,
    Respond,
    Untracked,
)
from rotator.domain.ports import EventQuery, Store, Unit
from rotator.domain.rotation import Mode, RotationState
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.alerts import accept
from rotator.engine.alerts.carry import LEASE, carry_on
from rotator.engine.alerts.deciding import approve, followed, refuse, waiting
from rotator.engine.alerts.telling import Responder
from rotator.engine.leak import REFUSAL_PATIENCE
from rotator.fly.leaks import LeakedTokens
from rotator.simulator import tokens as simulated
from rotator.web.hooks import HookHandler
from rotator.web.http import Receiver
from rotator.web.signatures import hook_of
from tests.harness.hooking import TEXT_SECRET, Reply, exchange, github, github_alert, mac, request
from tests.simulation.story import Story, tell
from tests.simulation.test_leaked_copies import narrowed
from tests.simulation.test_leaks import a_client, begin, the
from tests.simulation.world import OPERATOR

GITHUB = HookSpec("github", HookFormat.GITHUB, "x-hub-signature-256", "S")
SCANNER = HookSpec("scanner", HookFormat.HEX, "x-signature", "S")
GOAL = timedelta(seconds=10)


@dataclass
class Values:
    """GitHub's API, as the engine knows it."""

    held: dict[str, Secret] = field(default_factory=dict)
    failures: int = 0

    async def value(self, alert: GithubAlert) -> Secret:
        if self.failures:
            self.failures -= 1
            raise Unavailable("GitHub did not answer")
        if str(alert) not in self.held:
            raise NotFound(f"GitHub knows of no alert {alert}")
        return self.held[str(alert)]


@dataclass
class Hooked:
    """A story with a receiver beside its worker."""

    story: Story
    responder: Responder
    receiver: Receiver
    values: Values
    counted: Counter[RequestOutcome]
    tokens: LeakedTokens

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        return await exchange(self.receiver, request(body, headers, path=f"/hooks/{path}"))

    async def scanned(self, **leak: str) -> Reply:
        """What a scanner of ours says."""
        body = json.dumps({"findings": [leak]}).encode()
        headers = {"Content-Type": "application/json", "X-Signature": mac(TEXT_SECRET, body).hex()}
        return await self.post("scanner", body, headers)

    async def work(self) -> None:
        """What a daemon does, until nothing is left to do."""
        async with asyncio.TaskGroup() as group:
            carried = group.create_task(carry_on(self.responder))
            while not carried.done():
                await self.story.work()
                await self.story.parts.clock.sleep(0.5)
        await self.story.work()

    async def alert(self) -> Alert:
        async with self.story.parts.store.view() as unit:
            (newest,) = await unit.alerts(frozenset(AlertState), 1)
        return newest

    async def value_held(self, alert: Alert) -> Secret | None:
        async with self.story.parts.store.view() as unit:
            return await unit.unseal_leaked(alert.id)

    async def events(self, *actions: Action) -> list[Event]:
        async with self.story.parts.store.view() as unit:
            found = await unit.events(EventQuery(limit=1000))
        return [e.event for e in reversed(found) if e.event.action in actions]


def hooked(
    story: Callable[[Hooked], Awaitable[None]],
    *specs: HookSpec,
    with_github: bool = True,
) -> None:
    """Tell a story of these hooks, with a tracked and rotated token at hand."""

    async def told(s: Story) -> None:
        await begin(s)
        await s.rotate("robot")
        tokens, values = a_client(s).leaked, Values()
        responder = Responder(s.parts, tokens, values if with_github else None)
        counted: Counter[RequestOutcome] = Counter()

        def count(_hook: str, outcome: RequestOutcome) -> None:
            counted[outcome] += 1

        handler = HookHandler(responder, count)
        handler.configure([hook_of(spec, [Secret(TEXT_SECRET)]) for spec in specs or (SCANNER,)])
        await story(Hooked(s, responder, Receiver(handler), values, counted, tokens))

    tell(told)


def first(reply: Reply) -> dict[str, str]:
    alerts = reply.json["alerts"]
    assert isinstance(alerts, list)
    found: dict[str, str] = alerts[0]
    return found


def test_a_reported_copy_of_a_tracked_token_is_refused_by_fly_within_ten_seconds() -> None:
    async def story(h: Hooked) -> None:
        s = h.story
        version, value = await the(s, VersionState.CURRENT)
        before = s.parts.clock.now()
        copy = narrowed(value)
        reply = await h.scanned(token=copy.reveal(), type="fly", url="https://pastes.example/1")
        told = first(reply)
        assert (reply.status, told["action"]) == (202, "rotate")
        assert told["poll"] == f"rotator rotate show {told['rotation']}"
        assert (await s.rotation(told["rotation"])).mode is Mode.REVOKE_FIRST
        again = await h.scanned(token=copy.reveal(), type="fly", url="https://pastes.example/1")
        assert (again.status, again.body) == (reply.status, reply.body)
        await h.work()
        assert version.issued is not None
        token = s.world.fly.tokens[version.issued.ref]
        assert token.revoked_at is not None
        assert token.revoked_at - before < GOAL
        assert (await s.rotation(told["rotation"])).state is RotationState.SUCCEEDED
        alert = await h.alert()
        assert alert.state is AlertState.DONE
        assert "Fly was seen to refuse it" in alert.note
        assert await h.value_held(alert) is None
        assert len(await h.events(Action.HOOK_RECEIVED)) == 1
        (ended,) = await h.events(Action.LEAK_ENDED)
        assert ended.detail["place"] == "https://pastes.example/1"
        (asked,) = [
            e for e in await h.events(Action.ROTATION_REQUESTED) if e.actor.kind == "webhook"
        ]
        assert asked.actor.name == "scanner"
        assert h.counted == {RequestOutcome.ACCEPTED: 1, RequestOutcome.DUPLICATE: 1}

        # Said once more in other words: the value is dead, so nothing is rotated for it.
        reply = await h.scanned(token=copy.reveal(), url="https://pastes.example/2")
        rotations = len(await h.events(Action.ROTATION_REQUESTED))
        await h.work()
        assert len(await h.events(Action.ROTATION_REQUESTED)) == rotations
        assert (await h.alert()).state is AlertState.DONE

    hooked(story)


def test_the_value_of_githubs_alert_is_asked_of_github_also_when_it_answers_late() -> None:
    async def story(h: Hooked) -> None:
        version, value = await the(h.story, VersionState.CURRENT)
        h.values.held["acme/web#42"], h.values.failures = value, 2
        before = h.story.parts.clock.now()
        body = github_alert()
        reply = await h.post("github", body, github(body))
        assert (reply.status, first(reply)["action"]) == (202, "look-up")
        await carry_on(h.responder)
        await h.work()
        assert version.issued is not None
        token = h.story.world.fly.tokens[version.issued.ref]
        assert token.revoked_at is not None
        assert token.revoked_at - before < GOAL
        alert = await h.alert()
        assert (alert.state, alert.place) == (
            AlertState.DONE,
            "acme/web, secret scanning alert 42",
        )
        again = await h.post("github", body, github(body))
        assert again.body == reply.body

    hooked(story, GITHUB)


def test_what_github_does_not_tell_is_told_to_people() -> None:
    async def unknown(h: Hooked) -> None:
        body = github_alert(7)
        await h.post("github", body, github(body))
        await h.work()
        alert = await h.alert()
        assert alert.state is AlertState.TOLD
        assert "GitHub knows of no alert acme/web#7" in alert.note
        (told,) = await h.events(Action.LEAK_REPORTED)
        assert told.detail["why"] == alert.note
        pushing = json.dumps(
            {
                "action": "created",
                "exemption_request": {"number": 3, "requester_login": "octocat"},
                "repository": {"full_name": "acme/web"},
            }
        ).encode()
        event = "bypass_request_secret_scanning"
        reply = await h.post("github", pushing, github(pushing, event=event, delivery="d2"))
        assert first(reply)["action"] == "tell"
        for action in ("resolved", "assigned"):
            body = github_alert(7, action=action)
            reply = await h.post("github", body, github(body, delivery=action))
            assert (reply.status, reply.json) == (200, {"action": "ignored"})
        reply = await h.post("github", b'{"zen":"."}', github(b'{"zen":"."}', event="ping"))
        assert (reply.status, reply.json) == (200, {"action": "pong"})

    hooked(unknown, GITHUB)

    async def without_a_token(h: Hooked) -> None:
        body = github_alert()
        await h.post("github", body, github(body))
        await h.work()
        assert "ROTATOR_GITHUB_TOKEN" in (await h.alert()).note

    hooked(without_a_token, GITHUB, with_github=False)


def test_a_person_approves_once_and_it_is_known_who() -> None:
    async def story(h: Hooked) -> None:
        s = h.story
        _, value = await the(s, VersionState.CURRENT)
        told = first(await h.scanned(token=value.reveal()))
        assert told["action"] == "wait-for-approval"
        assert told["approve"] == f"rotator rotate approve {told['id']}"
        await h.work()
        assert await h.tokens.accepted(value) is not None
        second = first(await h.scanned(token=value.reveal(), url="https://other.example"))
        assert (await h.alert()).note == f"the same value waits as {told['id']} already"
        assert second["id"] != told["id"]
        (one,) = await waiting(s.parts)
        assert one.credential is not None
        assert (one.alert.id, one.credential.name) == (told["id"], "robot")

        alert = await approve(h.responder, told["id"], OPERATOR, "it is real")
        assert alert.rotation_id is not None
        await h.work()
        assert (await followed(h.responder, told["id"], carry=False)).state is AlertState.DONE
        assert await h.tokens.accepted(value) is None
        assert (await s.rotation(alert.rotation_id)).state is RotationState.SUCCEEDED
        (event,) = await h.events(Action.LEAK_APPROVED)
        assert (event.actor, event.reason) == (OPERATOR, "it is real")
        for decide in (approve(h.responder, told["id"], OPERATOR, ""), refused(h, told["id"])):
            assert "does not wait for anybody any more" in await complaint(decide)
        assert "there is no alert" in await complaint(refused(h, "01ARZ3NDEKTSV4RRFFQ69G5FAV"))

    hooked(story, replace(SCANNER, respond=Respond.APPROVE))


async def refused(h: Hooked, alert_id: str) -> Alert:
    return await refuse(h.story.parts, alert_id, OPERATOR, "a test of ours")


async def complaint(decide: Awaitable[Alert]) -> str:
    try:
        await decide
    except InputError as error:
        return str(error)
    raise AssertionError("it was taken")


def test_what_nobody_approves_lapses_and_what_is_refused_stays() -> None:
    async def story(h: Hooked) -> None:
        _, value = await the(h.story, VersionState.CURRENT)
        told = first(await h.scanned(token=value.reveal()))
        await refused(h, told["id"])
        alert = await h.alert()
        assert (alert.state, await h.value_held(alert)) == (AlertState.REFUSED, None)
        told = first(await h.scanned(token=value.reveal(), url="https://other.example"))
        await h.story.parts.clock.sleep(3601)
        assert "nobody approved it in time" in await complaint(
            approve(h.responder, told["id"], OPERATOR, "")
        )
        await carry_on(h.responder)
        alert = await h.alert()
        assert (alert.state, await h.value_held(alert)) == (AlertState.LAPSED, None)
        assert len(await h.events(Action.LEAK_LAPSED)) == 1
        assert await h.tokens.accepted(value) is not None

    short = timedelta(hours=1)
    hooked(story, replace(SCANNER, respond=Respond.APPROVE, approve_within=short))


def a_stranger(s: Story) -> Secret:
    """A token that rotator does not track."""
    fly = s.world.fly
    token = simulated.create(
        fly,
        fly.organizations["acme"],
        name="by hand",
        profile="deploy_organization",
        app=None,
        lifetime=timedelta(days=30),
    )
    return Secret(simulated.header(token))


def test_a_token_that_nobody_tracks_is_told_or_revoked_by_policy() -> None:
    async def told(h: Hooked) -> None:
        value = a_stranger(h.story)
        assert first(await h.scanned(token=value.reveal()))["action"] == "look-up"
        await h.work()
        alert = await h.alert()
        assert alert.state is AlertState.TOLD
        assert "'by hand' at Fly" in alert.note
        assert await h.tokens.accepted(value) is not None

    async def revoked(h: Hooked) -> None:
        value, before = a_stranger(h.story), h.story.parts.clock.now()
        await h.scanned(token=value.reveal())
        await carry_on(h.responder)
        assert await h.tokens.accepted(value) is None
        assert h.story.parts.clock.now() - before < GOAL
        assert (await h.alert()).state is AlertState.DONE
        own = h.story.world.token
        await h.scanned(token=own.reveal())
        await carry_on(h.responder)
        assert "rotator's own API token" in (await h.alert()).note
        assert await h.tokens.accepted(own) is not None

    async def approved(h: Hooked) -> None:
        value = a_stranger(h.story)
        await h.scanned(token=value.reveal())
        await carry_on(h.responder)
        (one,) = await waiting(h.story.parts)
        await approve(h.responder, one.alert.id, OPERATOR, "")
        assert (await followed(h.responder, one.alert.id, carry=True)).state is AlertState.DONE
        assert await h.tokens.accepted(value) is None

    hooked(told)
    hooked(revoked, replace(SCANNER, untracked=Untracked.REVOKE))
    hooked(approved, replace(SCANNER, untracked=Untracked.APPROVE))


def test_a_value_that_nobody_knows_is_never_shown_to_fly() -> None:
    async def story(h: Hooked) -> None:
        before = len(h.story.world.fly.log)
        await h.scanned(secret="AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7EXAMPLE")
        await h.work()
        assert len(h.story.world.fly.log) == before
        alert = await h.alert()
        assert alert.state is AlertState.TOLD
        assert "no value that rotator holds" in alert.note
        told = first(await h.scanned(credential="robot"))
        assert told["action"] == "rotate"
        await h.scanned(credential="nobody")
        await h.work()
        assert "'nobody'" in (await h.alert()).note

    hooked(story)


class Killed(BaseException):
    """As a process ends: nothing is caught, nothing is cleaned up."""


def test_a_crash_between_acceptance_and_start_is_made_up_for() -> None:
    async def story(h: Hooked) -> None:
        version, value = await the(h.story, VersionState.CURRENT)
        body = json.dumps({"token": value.reveal()}).encode()
        headers = {"Content-Type": "application/json", "X-Signature": mac(TEXT_SECRET, body).hex()}
        begun = accept._begun

        async def dies(*_: object) -> Alert:
            raise Killed

        accept._begun = dies  # type: ignore[assignment]
        try:
            await h.post("scanner", body, headers)
        except Killed:
            pass
        finally:
            accept._begun = begun
        alert = await h.alert()
        assert alert.state is AlertState.ACCEPTED
        reply = await h.post("scanner", body, headers)
        assert (reply.status, first(reply)["id"]) == (202, alert.id)
        await h.story.parts.clock.sleep(4)
        await h.work()
        alert = await h.alert()
        assert alert.state is AlertState.DONE
        assert version.issued is not None
        token = h.story.world.fly.tokens[version.issued.ref]
        assert token.revoked_at is not None
        assert token.revoked_at - alert.received_at < GOAL

    hooked(story)


class Dying:
    """A store whose process ends behind the n-th transaction that it commits."""

    def __init__(self, store: Store, commits: int) -> None:
        self._store, self.left = store, commits

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        async with self._store.unit() as unit:
            yield unit
        self.left -= 1
        if self.left == 0:
            raise Killed

    def view(self) -> AbstractAsyncContextManager[Unit]:
        return self._store.view()


def test_a_death_behind_any_commit_of_an_alert_costs_no_more_than_time() -> None:
    deaths: list[bool] = []

    async def story(h: Hooked) -> None:
        commits = len(deaths) + 1
        _, value = await the(h.story, VersionState.CURRENT)
        dying = Dying(h.story.parts.store, commits)
        mortal = replace(h.responder, parts=replace(h.story.parts, store=dying))
        handler = HookHandler(mortal, lambda *_: None)
        handler.configure([hook_of(SCANNER, [Secret(TEXT_SECRET)])])
        alive, h.receiver = h.receiver, Receiver(handler)
        with suppress(Killed, BaseExceptionGroup):
            await h.scanned(token=narrowed(value).reveal())
            async with asyncio.TaskGroup() as group:
                group.create_task(h.story.work())
                await carry_on(mortal)
        deaths.append(dying.left <= 0)
        h.receiver = alive
        await h.scanned(token=narrowed(value).reveal())
        for _ in range(3):
            await h.work()
            await h.story.parts.clock.sleep(LEASE.total_seconds())
        alert = await h.alert()
        assert (alert.state, await h.value_held(alert)) == (AlertState.DONE, None)
        assert await h.tokens.accepted(value) is None
        asked = await h.events(Action.ROTATION_REQUESTED)
        assert [e.actor.kind for e in asked] == ["user", "webhook"]
        assert len(await h.events(Action.HOOK_RECEIVED)) == 1

    while not deaths or deaths[-1]:
        hooked(story)
    assert len(deaths) > 6


def test_fly_out_of_reach_is_waited_for_and_a_token_that_lives_on_is_told() -> None:
    async def story(h: Hooked) -> None:
        value = a_stranger(h.story)
        await h.scanned(token=value.reveal())
        living = h.story.world.fly
        living.switches = replace(living.switches, revocation_lag_seconds=3600.0)
        await carry_on(h.responder)
        alert = await h.alert()
        assert alert.state is AlertState.FAILED
        assert "Fly still accepts it" in alert.note
        assert h.story.parts.clock.now() - alert.received_at >= REFUSAL_PATIENCE
        (ended,) = await h.events(Action.LEAK_ENDED)
        assert "rotator rotate now --leaked" in ended.detail["error"]

    hooked(story, replace(SCANNER, untracked=Untracked.REVOKE))


def test_what_is_only_observed_or_named_no_more_is_not_rotated() -> None:
    async def story(h: Hooked) -> None:
        s = h.story
        _, value = await the(s, VersionState.CURRENT)
        await s.apply("")
        told = first(await h.scanned(token=value.reveal()))
        assert told["action"] == "tell"
        assert await h.tokens.accepted(value) is not None
        assert (await h.alert()).state in ENDED_ALERTS
        assert await jobs.find_due(s.parts) is not None

    hooked(story)
