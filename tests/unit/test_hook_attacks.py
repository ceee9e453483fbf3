"""Requests to hooks from people who mean no good: what they get, and what they never get."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotator.domain.alert import Alert, AlertState
from rotator.domain.errors import InputError
from rotator.domain.events import Action, Event
from rotator.domain.hook import MOST_SECRETS, HookFormat, HookSpec, RequestOutcome
from rotator.domain.leak import Found
from rotator.domain.lineage import Trace
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.alerts.rejections import INTERVAL
from rotator.engine.alerts.telling import Responder
from rotator.engine.parts import Parts
from rotator.store.memory import MemoryStore
from rotator.store.sealing import KeyRing, new_key
from rotator.system import SystemEntropy
from rotator.web.hooks import HookHandler
from rotator.web.http import Receiver
from rotator.web.limits import Buckets, Rates, source_of
from rotator.web.signatures import hmac_sha256, hook_of
from tests.harness.hooking import (
    OTHER_SECRET,
    STANDARD_SECRET,
    TEXT_SECRET,
    Reply,
    exchange,
    fly,
    github,
    github_alert,
    mac,
    parsed,
    request,
    standard,
)
from tests.simulation.virtual_time import VirtualLoop, run_virtually

VALUE = "fm2_" + "TheValueThatLeaked" * 3
BODY = json.dumps({"token": VALUE, "url": "https://pastes.example/1"}).encode()
GITHUB = HookSpec("github", HookFormat.GITHUB, "x-hub-signature-256", "S")
FLY = HookSpec("flyer", HookFormat.FLY, "x-fly-signature", "S")
STANDARD = HookSpec("standard", HookFormat.STANDARD, "webhook-signature", "S")
BASE64 = HookSpec("base", HookFormat.BASE64, "x-sig", "S", timestamp_header="x-time")


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class NoTokens:
    """Fly knows of nothing."""

    def traces(self, value: Secret) -> Sequence[Trace]:
        return ()

    def is_token(self, value: Secret) -> bool:
        return False

    def is_own(self, value: Secret) -> bool:
        return False

    async def accepted(self, value: Secret) -> Sequence[str] | None:
        raise AssertionError("no call is made while a request is answered")

    async def listed(self, value: Secret, organizations: Sequence[str]) -> Sequence[Found]:
        raise AssertionError("no call is made while a request is answered")

    async def revoke(self, value: Secret, found: Found | None) -> str:
        raise AssertionError("no call is made while a request is answered")


@dataclass
class Hooked:
    """A receiver of hooks before a store in memory."""

    clock: Hands = field(default_factory=Hands)
    counted: Counter[tuple[str, RequestOutcome]] = field(default_factory=Counter)
    hashed: int = 0
    trusts: bool = False

    def __post_init__(self) -> None:
        ring = KeyRing([Secret(new_key(os.urandom))], os.urandom)
        self.store = MemoryStore(ring, self.clock)
        nothing = cast("Any", None)
        parts = Parts(
            store=self.store,
            kinds={},
            targets={},
            fleet=nothing,
            releases=nothing,
            prober=nothing,
            authority=nothing,
            calls=nothing,
            clock=self.clock,
            entropy=SystemEntropy(),
            worker_id="w",
            actor=Actor("worker", "w"),
        )
        self.handler = HookHandler(
            Responder(parts, NoTokens()),
            self._count,
            trust_fly_client_ip=self.trusts,
            mac=self._mac,
        )
        secrets = {STANDARD.name: STANDARD_SECRET}
        self.handler.configure(
            [
                hook_of(spec, [Secret(secrets.get(spec.name, TEXT_SECRET))])
                for spec in (GITHUB, FLY, STANDARD, BASE64)
            ]
        )
        self.receiver = Receiver(self.handler)

    def _count(self, hook: str, outcome: RequestOutcome) -> None:
        self.counted[hook, outcome] += 1

    def _mac(self, key: bytes, data: bytes) -> bytes:
        self.hashed += 1
        return hmac_sha256(key, data)

    async def post(
        self, body: bytes, headers: dict[str, str], path: str = "flyer", **more: Any
    ) -> Reply:
        return await exchange(self.receiver, request(body, headers, path=f"/hooks/{path}"), **more)

    async def alerts(self) -> Sequence[Alert]:
        async with self.store.view() as unit:
            return await unit.alerts(frozenset(AlertState), 100)

    async def events(self) -> Sequence[Event]:
        async with self.store.view() as unit:
            return [e.event for e in reversed(await unit.events(EventQuery(limit=1000)))]


def in_the_hours(story: Callable[[Hooked], Awaitable[None]]) -> None:
    """Tell a story that waits, in virtual time."""

    async def live(_: VirtualLoop) -> None:
        await story(Hooked())

    run_virtually(live)


async def test_each_format_takes_what_its_senders_sign_and_answers_what_will_happen() -> None:
    h = Hooked()
    stamp = str(int(h.clock.now().timestamp()))
    timed = mac(TEXT_SECRET, f"{stamp}.".encode() + BODY)
    ways = {
        "flyer": fly(BODY),
        "standard": standard(BODY, h.clock.now()),
        "base": {
            "Content-Type": "application/json; charset=utf-8",
            "X-Time": stamp,
            "X-Sig": base64.b64encode(timed).decode(),
        },
    }
    for path, headers in ways.items():
        reply = await h.post(BODY, headers, path)
        assert reply.status == 202, (path, reply)
        (told,) = cast("list[dict[str, str]]", reply.json["alerts"])
        assert told["action"] == "look-up"
        assert h.counted[path, RequestOutcome.ACCEPTED] == 1
    body = github_alert(secret=VALUE)
    assert (await h.post(body, github(body), "github")).status == 202
    several = standard(BODY, h.clock.now(), sent_id="msg_2")
    several["webhook-signature"] = f"v1a,AAAA v1,AAAA {several['webhook-signature']}"
    assert (await h.post(BODY, several, "standard")).status == 202
    prefixed = fly(b"[]")
    prefixed["x-fly-signature"] = f"sha256={prefixed['x-fly-signature'].upper()}"
    assert (await h.post(b"[]", prefixed)).json == {"action": "ignored"}
    assert len(await h.alerts()) == 5
    assert all(
        alert.place in ("https://pastes.example/1", "acme/web, secret scanning alert 42")
        for alert in await h.alerts()
    )


async def test_secrets_rotate_and_a_repeat_under_the_new_one_is_known() -> None:
    h = Hooked()
    body = github_alert()
    first = await h.post(body, github(body), "github")
    both = [Secret(OTHER_SECRET), Secret(TEXT_SECRET)]
    h.handler.configure([hook_of(GITHUB, both)])
    again = await h.post(body, github(body, secret=OTHER_SECRET, delivery="anew"), "github")
    assert (again.status, again.body) == (first.status, first.body)
    h.handler.configure([hook_of(GITHUB, both[:1])])
    assert (await h.post(body, github(body), "github")).status == 401
    assert len(await h.alerts()) == 1


async def test_a_signature_that_is_not_right_changes_nothing() -> None:
    h = Hooked()
    body = github_alert()
    right = github(body)["X-Hub-Signature-256"]
    wrong = (
        "",
        "sha256=",
        right[:-2],
        right + "00",
        right.removeprefix("sha256="),
        right.replace("sha256", "sha1"),
        f"sha256={mac(OTHER_SECRET, body).hex()}",
        f"sha256={mac(TEXT_SECRET, body + b' ').hex()}",
        f"sha256={hmac_sha256(b'', body).hex()}",
        "sha256=" + "0" * 64,
        "sha256=" + "é" * 64,
        "sha256=" + "zz" * 32,
    )
    for signature in wrong:
        headers = {**github(body), "X-Hub-Signature-256": signature}
        reply = await h.post(body, headers, "github")
        assert (reply.status, reply.json) == (401, {"error": "the signature is not right"})
    unsigned = {k: v for k, v in github(body).items() if k != "X-Hub-Signature-256"}
    assert (await h.post(body, unsigned, "github")).status == 401
    assert await h.alerts() == []
    (event,) = await h.events()
    assert (event.action, event.detail["requests"]) == (Action.HOOK_REJECTED, "1")
    h.clock.at += INTERVAL
    await h.handler.rejections.flush()
    (_, later) = await h.events()
    assert later.detail["requests"] == str(len(wrong))
    assert h.counted["github", RequestOutcome.WRONG_SIGNATURE] == len(wrong) + 1


async def test_a_signature_of_another_time_is_refused() -> None:
    h = Hooked()
    for minutes in (-6, 6, -1_000_000):
        sent = standard(BODY, h.clock.now() + timedelta(minutes=minutes))
        reply = await h.post(BODY, sent, "standard")
        assert reply.status == 400
    for minutes in (-4, 4):
        sent = standard(BODY, h.clock.now() + timedelta(minutes=minutes), sent_id=f"m{minutes}")
        assert (await h.post(BODY, sent, "standard")).status == 202
    moved = standard(BODY, h.clock.now() - timedelta(hours=1), sent_id="old")
    moved["webhook-timestamp"] = str(int(h.clock.now().timestamp()))
    assert (await h.post(BODY, moved, "standard")).status == 401
    for stamp in ("", "-5", "1e9", "9" * 40, "٣٣"):
        headers = {**standard(BODY, h.clock.now(), sent_id="odd"), "webhook-timestamp": stamp}
        content = f"odd.{stamp}.".encode() + BODY
        signed = base64.b64encode(mac(STANDARD_SECRET, content)).decode()
        assert (
            await h.post(BODY, headers | {"webhook-signature": f"v1,{signed}"}, "standard")
        ).status in (400, 401)


async def test_a_replayed_request_does_nothing_twice() -> None:
    h = Hooked()
    body, other = github_alert(1, secret=VALUE), github_alert(2, secret=VALUE)
    first = await h.post(body, github(body), "github")
    again = await h.post(body, github(body), "github")
    elsewhere = await h.post(body, github(body, delivery="another"), "github")
    assert first.body == again.body == elsewhere.body
    conflict = await h.post(other, github(other), "github")
    assert conflict.status == 409
    assert len(await h.alerts()) == 1
    sent = standard(BODY, h.clock.now())
    await h.post(BODY, sent, "standard")
    retried = standard(BODY, h.clock.now() + timedelta(minutes=2))
    assert (await h.post(BODY, retried, "standard")).status == 202
    assert len(await h.alerts()) == 2
    both = await asyncio.gather(*(h.post(BODY, fly(BODY)) for _ in range(5)))
    assert len({reply.body for reply in both}) == 1
    assert len(await h.alerts()) == 3


async def test_every_hook_and_every_stranger_cost_the_same_work() -> None:
    h = Hooked()
    h.handler.configure(
        [
            hook_of(GITHUB, [Secret(TEXT_SECRET), Secret(OTHER_SECRET)]),
            hook_of(FLY, [Secret(TEXT_SECRET)]),
        ]
    )
    work = []
    for path in ("github", "flyer", "nobody", "..", "github/", "%67ithub"):
        h.hashed = 0
        headers = github(BODY, secret="not the secret of anybody")
        reply = await h.post(BODY, headers, path)
        assert reply.status == (401 if path in ("github", "flyer") else 404)
        work.append(h.hashed)
    assert set(work) == {MOST_SECRETS}


TRICKS = (
    "/hooks/github/",
    "/hooks//github",
    "//hooks/github",
    "/hooks/../hooks/github",
    "/hooks/%67ithub",
    "/HOOKS/github",
    "/hooks/GITHUB",
    "/hooks/github?x=1",
    "/hooks/github#x",
    "/hooks/github;x",
    "/hooks/github%00",
    "/hooks/",
    "/hooks",
    "/",
    "/metrics",
    "http://rotator.example/hooks/github",
    "*",
    "/hooks/" + "a" * 5000,
)


async def test_a_path_is_taken_by_the_letter_and_only_to_be_posted_to() -> None:
    h = Hooked()
    body = github_alert()
    for target in TRICKS:
        reply = await exchange(h.receiver, request(body, github(body), path=target))
        assert reply.status == 404, target
        assert target not in reply.body.decode() or target in ("/", "*")
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", "TRACE", "PROPFIND"):
        reply = await exchange(h.receiver, request(body, github(body), method=method))
        assert reply.status == 405
        assert "Allow: POST" in reply.head
    assert await h.alerts() == []


def chunked(body: bytes, size: int = 1000) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in parts) + b"0\r\n\r\n"


def head(headers: dict[str, str], *more: str) -> bytes:
    lines = ["POST /hooks/github HTTP/1.1", "Host: rotator.example", *more]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    async def story(h: Hooked) -> None:
        headers = github(b"")
        for size in ("262145", "99999999999999999999"):
            declared = head(headers, f"Content-Length: {size}")
            reply = await exchange(h.receiver, declared, hang_up=False)
            assert (reply.status, reply.json) == (413, {"error": "the body is too large"})
        endless = head(headers, "Transfer-Encoding: chunked") + chunked(b"x" * 300_000)
        assert (await exchange(h.receiver, endless)).status == 413
        spiced = head(headers, "Transfer-Encoding: chunked") + b"1;" + b"e" * 20_000 + b"\r\nx\r\n"
        assert (await exchange(h.receiver, spiced)).status in (400, 413, 431)
        many = head(headers | {f"X-{n}": "y" * 90 for n in range(300)}, "Content-Length: 2")
        assert (await exchange(h.receiver, many + b"{}")).status == 431
        assert (await exchange(h.receiver, b"POST /" + b"a" * 70_000)).status == 431
        body = github_alert()
        small = head(github(body), "Transfer-Encoding: chunked") + chunked(body, 7)
        assert (await exchange(h.receiver, small)).status == 202
        waits = head(
            github(body, delivery="w"), f"Content-Length: {len(body)}", "Expect: 100-continue"
        )
        assert (await exchange(h.receiver, waits, body)).status == 202

    in_the_hours(story)


def test_who_sends_slowly_is_cut_off() -> None:
    async def story(h: Hooked) -> None:
        body = github_alert()
        data = request(body, github(body))
        drops = [data[at : at + 1] for at in range(40)]
        reply = await exchange(h.receiver, *drops, pause_seconds=1.0)
        assert (reply.status, reply.json) == (408, {"error": "the request came too slowly"})
        whole, rest = data[:-10], [data[at : at + 1] for at in range(-10, -1)]
        reply = await exchange(h.receiver, whole, *rest, pause_seconds=3.0)
        assert reply.status == 408
        began = asyncio.get_running_loop().time()
        assert (await exchange(h.receiver, hang_up=False)).status == 408
        assert asyncio.get_running_loop().time() - began < 13
        assert await exchange(h.receiver) == Reply(0, "", b"")
        assert h.counted["unknown", RequestOutcome.TOO_SLOW] == 3

    in_the_hours(story)


def test_one_source_that_dawdles_behind_a_proxy_leaves_room_for_the_others() -> None:
    async def story(h: Hooked) -> None:
        body = github_alert()
        data = request(body, github(body) | {"Fly-Client-IP": "198.51.100.1"})
        slow = [
            asyncio.create_task(exchange(h.receiver, data[:-5], pause_seconds=9, hang_up=False))
            for _ in range(16)
        ]
        await asyncio.sleep(1)
        assert (await exchange(h.receiver, data)).status == 429
        other = data.replace(b"198.51.100.1", b"198.51.100.2")
        assert (await exchange(h.receiver, other)).status == 202
        assert {(await each).status for each in slow} == {408}
        assert not h.receiver._sources

    async def live(_: VirtualLoop) -> None:
        await story(Hooked(trusts=True))

    run_virtually(live)


async def test_an_error_inside_is_answered_without_a_word_of_the_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def breaks(*_: object) -> None:
        raise LookupError(VALUE)

    monkeypatch.setattr("rotator.web.hooks.accept", breaks)
    h = Hooked()
    reply = await h.post(BODY, fly(BODY))
    assert (reply.status, reply.json) == (503, {"error": "it could not be kept; send it again"})
    told = capsys.readouterr()
    assert "LookupError" in told.out + told.err
    assert VALUE not in told.out + told.err


AMBIGUOUS = (
    ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ("Content-Length: 5", "Content-Length: 6"),
    ("Content-Length: 5, 6",),
    ("Content-Length: +5",),
    ("Content-Length: -1",),
    ("Content-Length: 0x5",),
    ("Content-Length : 5",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding: chunked, chunked",),
    ("Transfer-Encoding: gzip, chunked",),
    ("Content-Length: 5", "Host: elsewhere"),
    ("Content-Length: 5", "Content-Type: application/json"),
    ("Content-Length: 5", "X-Nul: a\0b"),
    ("Content-Length: 5", "X Y: z"),
)


async def test_what_two_readers_could_read_in_two_ways_is_refused() -> None:
    h = Hooked()
    body = github_alert()
    for lines in AMBIGUOUS:
        reply = await exchange(h.receiver, head(github(body), *lines) + b"0\r\n\r\n" + body)
        assert reply.status in (400, 501), lines
    hidden = request(body, github(body))
    cover = request(b"[]", fly(b"[]"), path="/hooks/flyer")
    reply = await exchange(h.receiver, cover + hidden)
    assert reply.json == {"action": "ignored"}
    assert reply.body.count(b"HTTP/1.1") == 0
    bare = request(body, github(body)).replace(b"\r\n", b"\n", 4)
    assert (await exchange(h.receiver, bare)).status in (202, 400)
    assert len(await h.alerts()) <= 1
    for name in ("X-Hub-Signature-256", "X-GitHub-Delivery", "X-GitHub-Event"):
        other = github_alert(9)
        twice = request(other, github(other)).replace(
            b"\r\n\r\n", f"\r\n{name}: x\r\n\r\n".encode(), 1
        )
        assert (await exchange(h.receiver, twice)).status == 400


async def test_bodies_that_are_no_json_of_ours_are_refused_without_a_word_of_them() -> None:
    h = Hooked()
    for body in (
        b"",
        b"\xff\xfe{\0}\0",
        b'{"token":"\xc3\x28"}',
        b'{"token":"\\ud800"}',
        b"NaN",
        b"{",
        b"[" * 500 + b"]" * 500,
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" + b"0," * 30_000 + b"0]",
        gzip.compress(BODY),
        b"payload=%7B%7D",
        json.dumps([{"token": "x" * 17_000}]).encode(),
        json.dumps([{"token": f"value {n}"} for n in range(51)]).encode(),
    ):
        reply = await h.post(body, fly(body))
        assert reply.status == 400, body[:40]
    for body in (
        b"[]",
        b"null",
        b'{"repository":{"full_name":"x"}}',
        b'{"alert":{"number":"VALUE"}}',
    ):
        reply = await h.post(body, github(body), "github")
        assert reply.status == 400
        assert b"VALUE" not in reply.body
    for more in (
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
    ):
        assert (await h.post(BODY, fly(BODY) | more)).status == 415
    assert await h.alerts() == []


async def test_shapes_of_many_scanners_are_understood() -> None:
    shapes: tuple[tuple[Any, int], ...] = (
        ([{"token": "v", "type": "t", "url": "https://x.example", "source": "content"}], 1),
        ([{"RuleID": "fly", "Secret": "v", "File": "a.env"}, {"Secret": "w"}], 2),
        ({"DetectorName": "FlyIO", "Raw": "v"}, 1),
        ({"type": "leak.found", "data": {"secret": "v"}}, 1),
        ({"findings": [{"value": "v"}, {"value": ""}, "text"]}, 1),
        ({"text": f"look: {VALUE}, and FlyV1 {VALUE}2"}, 2),
        ({"text": "nothing"}, 0),
        ({"credential": "ci-web"}, 1),
        ({"credential": "Not A Name"}, 0),
        ({"token": 5}, 0),
        ({"token": "v", "url": "https://x.example/v?token=v"}, 1),
        ({"token": "v\u0000w", "url": f"https://x.example/{VALUE}", "type": "\u0000"}, 1),
    )
    for data, count in shapes:
        h = Hooked()
        body = json.dumps(data).encode()
        reply = await h.post(body, fly(body))
        assert reply.status == (202 if count else 200), data
        alerts = await h.alerts()
        assert len(alerts) == count, data
        assert all(VALUE not in alert.place and "\0" not in alert.sort for alert in alerts)


def test_strangers_are_limited_and_senders_that_prove_themselves_are_not() -> None:
    async def story(h: Hooked) -> None:
        for number in range(65):
            body = github_alert(number + 1)
            sent = github(body, delivery=f"d{number}")
            assert (await h.post(body, sent, "github")).status == 202
        guesses = [await h.post(BODY, fly(BODY, secret=OTHER_SECRET)) for _ in range(62)]
        assert Counter(reply.status for reply in guesses) == {401: 60, 429: 2}
        assert "Retry-After: 5" in guesses[-1].head
        assert (await h.post(BODY, fly(BODY), peer="198.51.100.9")).status == 202
        h.clock.at += timedelta(seconds=1)
        assert (await h.post(BODY, fly(BODY))).status == 202

    in_the_hours(story)


def test_a_source_is_what_can_be_believed_and_the_memory_of_them_is_bounded() -> None:
    assert source_of("203.0.113.7", None) == "203.0.113.7"
    assert source_of("203.0.113.7", "198.51.100.1") == "198.51.100.1"
    assert source_of("203.0.113.7", "nonsense\r\n") == "203.0.113.7"
    assert source_of("2001:db8::1", None) == source_of("2001:db8::ffff:2", None)
    assert source_of("::ffff:203.0.113.7", None) == "203.0.113.7"
    buckets, now = Buckets(Rates(1.0, 2), most=10), datetime(2026, 1, 1, tzinfo=UTC)
    assert [buckets.take("a", now) for _ in range(3)] == [True, True, False]
    for number in range(1000):
        buckets.take(str(number), now)
    assert len(buckets) == 10
    assert buckets.take("999", now)
    assert not buckets.take("999", now - timedelta(hours=1))


async def test_the_header_of_flys_proxy_counts_only_where_it_is_configured() -> None:
    for trusts, served in ((False, 60), (True, 65)):
        h = Hooked(trusts=trusts)
        replies = [
            await h.post(b"", fly(b"", secret=OTHER_SECRET) | {"Fly-Client-IP": f"198.51.100.{n}"})
            for n in range(65)
        ]
        assert sum(reply.status == 401 for reply in replies) == served


def test_so_many_connections_and_no_more_are_held_open() -> None:
    async def live(_: VirtualLoop) -> None:
        h = Hooked()
        port = await h.receiver.listen("127.0.0.1", 0)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        await asyncio.sleep(0.1)
        cut = 0
        for reader, _writer in idle:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    with contextlib.suppress(ConnectionError):
                        await reader.read(1)
                    cut += 1
        assert cut == 4
        for _reader, writer in idle:
            writer.close()
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(BODY, fly(BODY), path="/hooks/flyer"))
        writer.write_eof()
        assert parsed(await reader.read()).status == 202
        await h.receiver.close()
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", port), timeout=1)

    run_virtually(live)


async def test_no_value_is_ever_answered_or_written_to_the_log() -> None:
    h = Hooked()
    body = json.dumps(
        {"token": VALUE, "type": VALUE, "url": f"https://x.example/{VALUE}", VALUE: VALUE}
    ).encode()
    sent = standard(body, h.clock.now(), sent_id=VALUE)
    replies = [await h.post(body, fly(body)), await h.post(body, sent, "standard")]
    replies.append(await h.post(body, {**fly(body), "x-fly-signature": VALUE}))
    told = "".join(reply.head + reply.body.decode() for reply in replies)
    assert VALUE not in told + repr(await h.events()) + repr(await h.alerts())
    assert VALUE.encode() not in repr(h.store._database.deliveries.rows).encode()


VALID = request(github_alert(), github(github_alert()))
MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(VALID)), st.integers(0, 12), st.binary(max_size=24)), max_size=6
)
CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ANSWERS = frozenset({0, 200, 202, 400, 401, 404, 405, 408, 409, 413, 415, 429, 431, 501})


def answered(data: bytes) -> Reply:
    found: list[Reply] = []

    async def story(h: Hooked) -> None:
        found.append(await exchange(h.receiver, data))

    in_the_hours(story)
    return found[0]


@CALM
@given(st.binary(max_size=400))
def test_any_bytes_are_answered_or_dropped_and_never_said_back(data: bytes) -> None:
    reply = answered(data)
    assert reply.status in ANSWERS - {200, 202}
    assert len(data) < 6 or data not in reply.body


@CALM
@given(MUTATIONS)
def test_any_change_of_a_good_request_is_answered(changes: list[tuple[int, int, bytes]]) -> None:
    data = VALID
    for at, gone, put in changes:
        data = data[:at] + put + data[at + gone :]
    reply = answered(data)
    assert reply.status in ANSWERS
    assert (
        reply.status == 202 or reply.status == 0 or "error" in reply.json or "action" in reply.json
    )


def test_a_hook_without_a_fitting_secret_is_refused() -> None:
    cases: tuple[tuple[HookSpec, list[str], str], ...] = (
        (GITHUB, [], "has no secret"),
        (GITHUB, ["fifteen letters"], "shorter than 16 bytes"),
        (GITHUB, [TEXT_SECRET] * 5, "at most 4 secrets"),
        (STANDARD, ["whsec_AAAA"], "24 to 64 bytes"),
        (STANDARD, ["whsec_!"], "24 to 64 bytes"),
        (replace(STANDARD, secrets_env="X"), [TEXT_SECRET], "X: secret 1"),
    )
    for spec, secrets, told in cases:
        with pytest.raises(InputError, match=told) as raised:
            hook_of(spec, [Secret(each) for each in secrets])
        assert not any(each in str(raised.value) for each in secrets)
