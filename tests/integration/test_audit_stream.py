"""Events sent out: at least once, in order, signed, and never in the way; on both databases."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.cli.main import _run
from rotator.domain.errors import InputError, NeedsHuman, OutcomeUnknown, RotatorError, Unavailable
from rotator.domain.events import Action
from rotator.domain.ports import Batch, LogCursor
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.audit import stream
from rotator.engine.audit.archive import archivable
from rotator.engine.audit.cursor import LASTING
from rotator.engine.audit.stream import Streamer, sent_to_all
from rotator.engine.checkpoint import sign_head
from rotator.sinks import EventFileSink, EventWebhookSink, secret_bytes
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore
from tests.integration.store_objects import NOW, SettableClock, a_ring, an_event, minutes

WORKER = Actor("worker", "w")
KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_KEY = base64.b64encode(bytes(range(32, 64))).decode()


@dataclass
class Place:
    """A place that keeps what it gets, and fails when it is told to."""

    name: str = "place"
    failure: Callable[[], BaseException] | None = None
    after_taking: bool = False
    batches: list[Batch] = field(default_factory=list)

    async def send(self, batch: Batch) -> None:
        if self.failure is None or self.after_taking:
            self.batches.append(batch)
        if self.failure is not None:
            raise self.failure()

    @property
    def numbers(self) -> list[int]:
        """The events that came, in the order in which they came."""
        lines = [json.loads(line) for batch in self.batches for line in batch.lines]
        return [line["metadata"]["sequence"] for line in lines]


def streamer(store: SqlStore, clock: SettableClock, *, stopping: bool = False) -> Streamer:
    return Streamer(store, WORKER, "0.1.0", clock.now, lambda: stopping)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten events at once instead of a hundred."""
    monkeypatch.setattr(stream, "EVENTS_AT_ONCE", 10)


async def told(store: SqlStore, count: int) -> None:
    async with store.unit() as unit:
        await unit.append(*(an_event(n) for n in range(count)))


async def cursor(store: SqlStore, name: str = "events:place") -> LogCursor:
    async with store.view() as unit:
        found = await unit.log_cursor(name)
    assert found is not None
    return found


async def test_every_event_comes_once_and_in_order(store: SqlStore, clock: SettableClock) -> None:
    place, sender = Place(), streamer(store, clock)
    await sender.run([place])
    assert place.batches == []
    await told(store, 25)
    await sender.run([place])
    await sender.run([place])
    await told(store, 3)
    await sender.run([place])
    assert place.numbers == list(range(1, 29))
    assert [len(batch.lines) for batch in place.batches] == [10, 10, 5, 3]
    assert len({batch.id for batch in place.batches}) == 4
    assert all("." not in batch.id for batch in place.batches)


async def test_a_batch_is_bounded_by_its_size_too(
    store: SqlStore, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BYTES_AT_ONCE", 2500)
    await told(store, 6)
    place = Place()
    await streamer(store, clock).run([place])
    assert place.numbers == [1, 2, 3, 4, 5, 6]
    assert all(sum(len(line) for line in batch.lines) <= 2500 for batch in place.batches)
    assert len(place.batches) > 1


class Killed(BaseException):
    """The process dies here."""


async def test_a_crash_between_delivery_and_cursor_repeats_the_batch_and_loses_nothing(
    store: SqlStore, clock: SettableClock
) -> None:
    await told(store, 5)
    place = Place(failure=Killed, after_taking=True)
    with pytest.raises(BaseExceptionGroup):
        await streamer(store, clock).run([place])
    await told(store, 2)
    place.failure = None
    assert (await streamer(store, clock).run([place]))[0].count == 0
    clock.advance(timedelta(seconds=61))
    await streamer(store, clock).run([place])
    assert place.numbers == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7]
    assert place.batches[0].id == place.batches[1].id
    assert place.batches[0].lines == place.batches[1].lines


async def test_a_crash_before_delivery_loses_nothing(store: SqlStore, clock: SettableClock) -> None:
    await told(store, 5)
    place = Place(failure=Killed)
    with pytest.raises(BaseExceptionGroup):
        await streamer(store, clock).run([place])
    place.failure = None
    clock.advance(timedelta(seconds=61))
    await streamer(store, clock).run([place])
    assert place.numbers == [1, 2, 3, 4, 5]


async def test_a_place_that_fails_is_tried_later_and_later_and_holds_up_no_other(
    store: SqlStore, clock: SettableClock
) -> None:
    await told(store, 5)
    bad, good = Place("bad", lambda: NeedsHuman("no")), Place("good")
    for pause in (10, 20, 40):
        sent = await streamer(store, clock).run([bad, good])
        assert sent[0].error == "no"
        found = await cursor(store, "events:bad")
        assert found.resume_at == clock.now() + timedelta(seconds=pause)
        assert (found.position, found.note) == (0, "5")
        assert (await streamer(store, clock).run([bad]))[0].error is None
        clock.advance(timedelta(seconds=pause))
    assert good.numbers == [1, 2, 3, 4, 5]


async def test_the_other_side_s_wish_to_wait_is_kept_to(
    store: SqlStore, clock: SettableClock
) -> None:
    await told(store, 1)
    place = Place(failure=lambda: Unavailable("busy", after_seconds=300))
    await streamer(store, clock).run([place])
    assert (await cursor(store)).resume_at == clock.now() + minutes(5)
    place.failure = lambda: Unavailable("busy", after_seconds=10**9)
    clock.advance(minutes(5))
    await streamer(store, clock).run([place])
    assert (await cursor(store)).resume_at == clock.now() + timedelta(hours=1)


async def test_a_lasting_failure_and_its_end_are_told_once(
    store: SqlStore, clock: SettableClock
) -> None:
    await told(store, 1)
    place = Place(failure=lambda: OutcomeUnknown("no answer"))
    for _ in range(LASTING + 3):
        await streamer(store, clock).run([place])
        clock.advance(timedelta(hours=1))
    place.failure = None
    await streamer(store, clock).run([place])
    await streamer(store, clock).run([place])
    async with store.view() as unit:
        events = [logged.event for logged in await unit.events_after(1, 10)]
    assert [event.action for event in events] == [
        Action.DELIVERY_FAILING,
        Action.DELIVERY_RESUMED,
    ]
    assert events[0].detail["error"] == "no answer"
    assert events[1].detail["failures"] == str(LASTING + 3)
    assert place.numbers == [1, 2, 3]


async def test_one_who_stops_ends_with_the_batch_in_hand(
    store: SqlStore, clock: SettableClock
) -> None:
    await told(store, 25)
    place = Place()
    await streamer(store, clock, stopping=True).run([place])
    assert len(place.numbers) == 10


async def test_two_workers_that_follow_one_log_do_not_send_the_same(
    store: SqlStore, clock: SettableClock
) -> None:
    place = Place()
    await told(store, 1)
    await streamer(store, clock).run([place])
    await told(store, 35)
    await asyncio.gather(*(streamer(store, clock).run([place]) for _ in range(3)))
    assert place.numbers == list(range(1, 37))


async def test_what_was_not_sent_is_not_archived(store: SqlStore, clock: SettableClock) -> None:
    await told(store, 25)
    await sign_head(store, CheckpointSigner(a_ring()), WORKER, NOW)
    place = Place()
    assert await sent_to_all(store, []) is None
    assert await sent_to_all(store, [place]) == 0
    await streamer(store, clock, stopping=True).run([place])
    sent = await sent_to_all(store, [place])
    assert sent == 10
    found = await archivable(store, NOW + minutes(999), sent=sent)
    assert found is not None
    assert found.header.last == 10


def test_events_go_to_a_file_as_lines_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = EventFileSink(path)
    for number in (1, 2):
        asyncio.run(sink.send(Batch(f"b-{number}", number, number, [f'{{"n":{number}}}'])))
    assert path.read_text() == '{"n":1}\n{"n":2}\n'
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Unavailable, match="can't be written"):
        asyncio.run(EventFileSink(Path("/dev/full")).send(Batch("b", 1, 1, ["{}"])))


@asynccontextmanager
async def a_receiver(answer: str) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that gives one answer; its address and what it got."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        headers = {key.lower(): value for key, value in pairs}
        got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?token=t", got


A_BATCH = Batch("rotator-ab-1-2", 1, 2, ['{"n":1}', '{"n":"ü"}'])


def is_signed(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """Whether a receiver of Standard Webhooks would take it, by the specification's words."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return f"v1,{wanted}" in headers["webhook-signature"].split(" ")


async def test_a_webhook_is_signed_with_every_key_and_sent_as_json() -> None:
    async with a_receiver("204 No Content") as (url, got):
        sink = EventWebhookSink(Secret(url), [Secret(KEY), Secret(OLD_KEY)], SettableClock())
        await sink.send(A_BATCH)
    ((headers, body),) = got
    assert headers["webhook-id"] == A_BATCH.id
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["content-type"] == "application/json"
    assert is_signed(headers, body, bytes(range(32)))
    assert is_signed(headers, body, bytes(range(32, 64)))
    assert not is_signed(headers, body + b" ", bytes(range(32)))
    assert json.loads(body)["data"] == {"events": [{"n": 1}, {"n": "ü"}]}


ANSWERS = [
    ("500 X", NeedsHuman, None),
    ("302 Found\r\nlocation: http://127.0.0.1:1/", NeedsHuman, None),
    ("429 Slow\r\nretry-after: 120", Unavailable, 120),
    ("503 Busy\r\nretry-after: Sun, 01 Mar 2026 12:31:15 GMT", Unavailable, 59),
]


@pytest.mark.parametrize(("answer", "error", "seconds"), ANSWERS)
async def test_an_answer_that_is_no_success_is_an_error_with_the_wish_to_wait(
    answer: str, error: type[RotatorError], seconds: int | None
) -> None:
    async with a_receiver(answer) as (url, got):
        sink = EventWebhookSink(Secret(url), [Secret(KEY)], SettableClock())
        with pytest.raises(error, match=f"answered {answer[:3]}") as caught:
            await sink.send(A_BATCH)
    assert len(got) == 1
    assert "token" not in str(caught.value)
    wish = getattr(caught.value, "after_seconds", None)
    assert (wish is None) if seconds is None else (int(wish) == seconds)


@pytest.mark.parametrize(
    ("key", "told"), [("nonsense!", "not base64"), ("whsec_c2hvcnQ=", "has 5 bytes")]
)
def test_a_secret_that_signs_nothing_is_told_without_being_shown(key: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        secret_bytes(Secret(key))
    assert key not in str(caught.value)


def test_the_places_are_listed_with_what_waits_and_what_fails(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = SettableClock()

    async def fill() -> None:
        store = SqlStore(sqlite_url, a_ring(), clock)
        await told(store, 25)
        bad = Place("webhook", lambda: NeedsHuman("no"))
        await streamer(store, clock, stopping=True).run([Place("file"), bad])
        await store.aclose()

    asyncio.run(fill())
    monkeypatch.setenv("ROTATOR_DATABASE_URL", sqlite_url)
    assert _run(["audit", "places"]) == 0
    assert "ROTATOR_EVENTS_FILE" in capfd.readouterr().out
    monkeypatch.setenv("ROTATOR_EVENTS_FILE", "/dev/null")
    monkeypatch.setenv("ROTATOR_EVENTS_WEBHOOK", "http://127.0.0.1:1/?token=hidden")
    monkeypatch.setenv("ROTATOR_EVENTS_WEBHOOK_SECRET", KEY)
    assert _run(["audit", "places"]) == 0
    out = capfd.readouterr().out
    assert [line.split()[:3] for line in out.splitlines() if line.strip().startswith("events")] == [
        ["events:file", "10", "15"],
        ["events:webhook", "0", "25"],
    ]
    assert "failing, 1 try" in out
    assert "hidden" not in out
    monkeypatch.delenv("ROTATOR_EVENTS_WEBHOOK_SECRET")
    assert _run(["audit", "places"]) == 2
    assert "ROTATOR_EVENTS_WEBHOOK_SECRET" in capfd.readouterr().err
