"""The log as a tree: appended by several at once, proven, archived, sent out; on both databases."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from rotator.cli.verifying import kept_checkpoints
from rotator.domain.audit_archive import ArchiveHeader
from rotator.domain.audit_proof import check_proof
from rotator.domain.errors import InputError, NeedsHuman, Unavailable
from rotator.domain.events import Damage, Event, leaf_bytes
from rotator.domain.note import VerifierKey, parse_checkpoint, split_notes
from rotator.domain.ports import LogCursor
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.audit.archive import (
    archivable,
    check_archive,
    delete_archived,
    lines_of,
    record_archive,
)
from rotator.engine.audit.marker import NAME, save_marker
from rotator.engine.audit.prove import prove_consistency, prove_inclusion
from rotator.engine.audit.publish import publish
from rotator.engine.audit.verify import verify_log
from rotator.engine.checkpoint import sign_head
from rotator.manifest import parse_target
from rotator.sinks import FileSink, TargetSink, WebhookSink
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore
from rotator.targets.file import FileTarget
from tests.harness import tlog
from tests.integration.store_objects import (
    ANOTHER_KEY,
    HOUR,
    NOW,
    SettableClock,
    a_full_event,
    a_ring,
    an_event,
    minutes,
)

SIGNER = CheckpointSigner(a_ring())
WORKER = Actor("worker", "w")
PROCESSES = 3
TRANSACTIONS = 20
FORGED = (
    "INSERT INTO events (sequence, at, actor_kind, actor_name, action, outcome, reason, detail, "
    "previous, hash) VALUES (3, 0, 'user', 'x', 'step.done', 'ok', '', '{}', 'x', 'x')"
)
APPENDER = """
import asyncio, sys
from tests.integration.store_objects import SettableClock, a_ring, an_event
from rotator.store.store import SqlStore

async def main(url, worker):
    store = SqlStore(url, a_ring(), SettableClock())

    async def one(number):
        async with store.unit() as unit:
            await unit.append(*(an_event(reason=f"{worker}.{number} {half}") for half in "ab"))

    for number in range(0, {count}, 2):
        await asyncio.gather(one(number), one(number + 1))
    await store.aclose()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def events(count: int, start: int = 0) -> list[Event]:
    return [
        replace(a_full_event(), at=NOW + minutes(n), reason=f"event {n}")
        for n in range(start, start + count)
    ]


async def filled(store: SqlStore, *counts: int) -> list[str]:
    """A log with a checkpoint behind each of these counts of events."""
    notes, start = [], 0
    for count in counts:
        async with store.unit() as unit:
            await unit.append(*events(count, start))
        start += count
        signed = await sign_head(store, SIGNER, WORKER, NOW + minutes(start))
        assert signed is not None
        assert signed.note is not None
        notes.append(signed.note)
    return notes


async def leaves(store: SqlStore) -> list[bytes]:
    async with store.view() as unit:
        return [leaf_bytes(row) for row in await unit.log_rows(1, 10_000)]


async def key_of(store: SqlStore) -> VerifierKey:
    async with store.view() as unit:
        return VerifierKey((await unit.log_head()).origin, SIGNER.public_keys[0])


async def test_proofs_of_a_real_log_hold_by_the_second_implementation(store: SqlStore) -> None:
    notes = await filled(store, 10, 300, 270)
    key = str(await key_of(store))
    log = await leaves(store)
    for note in notes:
        _, size, root = tlog.open_checkpoint(note, key)
        assert tlog.tree_hash(log[:size]) == root
    for sequence in (1, 2, 256, 257, 311, 512, 582):
        proof = (await prove_inclusion(store, sequence, SIGNER)).to_json()
        assert tlog.proof_holds(proof, key)
        assert json.loads(proof)["leaf"].encode() == log[sequence - 1]
        assert check_proof(proof, [VerifierKey.parse(key)], "proof").trusted
    for old, new in itertools.combinations(notes, 2):
        assert tlog.proof_holds((await prove_consistency(store, old, new, SIGNER)).to_json(), key)
    proof = (await prove_consistency(store, 10, None, SIGNER)).to_json()
    assert tlog.proof_holds(proof, key)


async def test_what_no_checkpoint_covers_is_told_how_to_be_proven(store: SqlStore) -> None:
    await filled(store, 3)
    with pytest.raises(InputError, match="no checkpoint covers that yet"):
        await prove_inclusion(store, 4, SIGNER)
    with pytest.raises(InputError, match="there is no event 9: the log has 4"):
        await prove_inclusion(store, 9, SIGNER)
    with pytest.raises(InputError, match="no checkpoint stands at event 2"):
        await prove_consistency(store, 2, None, SIGNER)


async def test_processes_that_append_at_once_make_one_log(
    postgresql_url: str, tmp_path: Path
) -> None:
    script = APPENDER.replace("{count}", str(TRANSACTIONS))
    command = [sys.executable, "-c", script, postgresql_url]
    processes = [subprocess.Popen([*command, str(n)]) for n in range(PROCESSES)]
    assert [await asyncio.to_thread(p.wait, 60) for p in processes] == [0] * PROCESSES
    store = SqlStore(postgresql_url, a_ring(), None)  # type: ignore[arg-type]
    found = await verify_log(store, None)
    assert found.fault is None
    assert found.events == PROCESSES * TRANSACTIONS * 2
    async with store.view() as unit:
        reasons = [logged.event.reason for logged in await unit.events_after(0, 1000)]
    await store.aclose()
    wanted = {f"{p}.{n} {h}" for p in range(PROCESSES) for n in range(TRANSACTIONS) for h in "ab"}
    assert set(reasons) == wanted
    assert [r[:-1] for r in reasons[::2]] == [r[:-1] for r in reasons[1::2]]


async def test_a_verification_goes_on_where_the_last_one_ended(
    store: SqlStore, raw: AsyncEngine
) -> None:
    await filled(store, 300)
    whole = await verify_log(store, SIGNER)
    assert whole.marker is not None
    assert whole.marker.size == 256
    await save_marker(store, SIGNER, whole.marker)
    await filled(store, 5)
    again = await verify_log(store, SIGNER, incremental=True)
    assert (again.fault, again.since, again.events) == (None, 256, 307)
    assert again.root == (await verify_log(store, SIGNER)).root


async def test_a_marker_that_nobody_of_ours_signed_is_not_believed(store: SqlStore) -> None:
    await filled(store, 300)
    whole = await verify_log(store, SIGNER)
    assert whole.marker is not None
    stranger = CheckpointSigner(a_ring(ANOTHER_KEY))
    await save_marker(store, stranger, whole.marker)
    assert (await verify_log(store, SIGNER, incremental=True)).since == 0
    async with store.unit() as unit:
        await unit.save_log_cursor(LogCursor(NAME, 256, note="nonsense"))
    assert (await verify_log(store, SIGNER, incremental=True)).since == 0


async def test_signatures_of_a_key_that_is_gone_are_told_as_not_checked(store: SqlStore) -> None:
    await filled(store, 3)
    stranger = CheckpointSigner(a_ring(ANOTHER_KEY))
    found = await verify_log(store, stranger)
    key = await key_of(store)
    assert (found.fault, found.unknown_keys) == (None, (key.id.hex(),))
    assert (await verify_log(store, stranger, more_keys=[key])).checkpoints == 1


async def header_and_lines(store: SqlStore) -> tuple[ArchiveHeader, list[str]]:
    """What can be archived of the events before the 250th minute."""
    found = await archivable(store, NOW + minutes(249))
    assert found is not None
    lines = [line async for line in lines_of(store, found.header)]
    return ArchiveHeader.parse(lines[0], "archive"), lines[1:]


async def test_events_are_archived_without_breaking_a_proof(store: SqlStore) -> None:
    notes = await filled(store, 300, 20)
    before = await verify_log(store, SIGNER)
    log, key = await leaves(store), str(await key_of(store))
    header, lines = await header_and_lines(store)
    assert (header.first, header.last, len(lines)) == (1, 249, 249)
    assert await check_archive(store, header, lines, "archive") == 249

    await record_archive(store, header, sha256="ab", file="a.gz", actor=WORKER, now=NOW + HOUR)
    assert await delete_archived(store) == 249
    assert await delete_archived(store) == 0

    after = await verify_log(store, SIGNER)
    assert (after.fault, after.archived, after.events) == (None, 249, before.events + 1)
    assert await check_archive(store, header, lines, "archive") == 249
    proof = (await prove_inclusion(store, 260, SIGNER)).to_json()
    assert tlog.proof_holds(proof, key)
    row = tuple(json.loads(lines[4]))
    proof = (await prove_inclusion(store, 5, SIGNER, archived=row)).to_json()
    assert tlog.proof_holds(proof, key)
    assert json.loads(proof)["leaf"].encode() == log[4]
    assert tlog.proof_holds((await prove_consistency(store, *notes, SIGNER)).to_json(), key)
    with pytest.raises(InputError, match=r"event 5 was archived in a\.gz"):
        await prove_inclusion(store, 5, SIGNER)
    # The log goes on, and the next archive begins where this one ended.
    await filled(store, 3)
    more = await archivable(store, NOW + minutes(10_000))
    assert more is not None
    assert more.header.first == 250
    assert more.header.previous == header.hash


async def test_an_archive_that_was_changed_is_refused(store: SqlStore) -> None:
    await filled(store, 300)
    header, lines = await header_and_lines(store)
    changed = {
        "event 7 of the archive was edited": [*lines[:6], lines[6].replace("web", "api")],
        "event 7 is missing": lines[:6] + lines[7:],
        "ends at event 248 instead of 249": lines[:-1],
        "event 7 of the archive can't be read": [*lines[:6], "nonsense"],
    }
    for message, damaged in changed.items():
        with pytest.raises(InputError, match=message):
            await check_archive(store, header, damaged, "archive")
    forged = json.loads(lines[0])
    forged[13] = "nothing happened"
    data = leaf_bytes(tuple(forged))
    forged[2] = tlog.sha(bytes(32), tlog.sha(b"\x00", data)).hex()
    one = replace(header, last=1, hash=forged[2])
    with pytest.raises(InputError, match="event 1 of the archive is not the one that the log had"):
        await check_archive(store, one, [json.dumps(forged)], "archive")


async def test_a_damaged_log_is_not_archived(store: SqlStore, raw: AsyncEngine) -> None:
    await filled(store, 300)
    await past_the_guards(raw, "UPDATE events SET reason = 'nothing' WHERE sequence = 20")
    with pytest.raises(NeedsHuman, match="event 20 is not what was written"):
        await header_and_lines(store)


async def past_the_guards(raw: AsyncEngine, *statements: str) -> None:
    """What somebody can do who owns the database."""
    async with raw.begin() as connection:
        if raw.dialect.name == "postgresql":
            await connection.execute(text("SET session_replication_role = replica"))
        else:
            names = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (name,) in (await connection.execute(text(names))).all():
                await connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            await connection.execute(text(statement))


async def test_a_deletion_that_only_looks_like_an_archive_is_found(
    store: SqlStore, raw: AsyncEngine
) -> None:
    await filled(store, 20)
    async with store.view() as unit:
        (row,) = await unit.log_rows(5, 5)
    async with raw.begin() as connection:
        values = f"(1, 5, '{row[2]}', 'ab', 'none', 0)"
        await connection.execute(
            text(
                "INSERT INTO archives (first, last, hash, sha256, file, archived_at) "
                f"VALUES {values}"
            )
        )
        await connection.execute(text("DELETE FROM events WHERE sequence <= 5"))
    found = await verify_log(store, SIGNER)
    assert found.fault is not None
    assert (found.fault.damage, found.fault.sequence) == (Damage.DELETED, 1)
    assert "no event tells of their archive" in found.fault.message


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tree_nodes SET position = 9 WHERE position = 1",
        "DELETE FROM tree_nodes",
        "DELETE FROM checkpoints",
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM event_actors",
        "DELETE FROM events WHERE sequence = 250",
        FORGED,
        "UPDATE archives SET last = 300",
        "DELETE FROM archives",
    ],
)
async def test_the_database_refuses_to_change_what_proves_the_log(
    store: SqlStore, raw: AsyncEngine, statement: str
) -> None:
    await filled(store, 300)
    header, _ = await header_and_lines(store)
    await record_archive(store, header, sha256="ab", file="a.gz", actor=WORKER, now=NOW)
    await delete_archived(store)
    with pytest.raises(DBAPIError, match="the audit log is append-only"):
        async with raw.begin() as connection:
            await connection.execute(text(statement.replace(":", "\\:")))
    assert (await verify_log(store, SIGNER)).fault is None


class FlakySink:
    """A place that fails as often as it is told to."""

    name = "flaky"
    newest_only = False

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.got: list[str] = []

    async def send(self, note: str) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("it is down")
        self.got.append(note)


async def test_checkpoints_wait_for_a_place_that_fails_and_come_in_order(store: SqlStore) -> None:
    sink, now = FlakySink(2), NOW
    notes = await filled(store, 3)
    assert [sent.count for sent in await publish(store, [sink], WORKER, now)] == [0]
    notes += await filled(store, 3)
    assert (await publish(store, [sink], WORKER, now))[0].error == "waits after a failure"
    assert sink.failures == 1
    for _ in range(3):
        now += minutes(1)
        await publish(store, [sink], WORKER, now)
    assert sink.got == notes
    notes += await filled(store, 3)
    # Another process goes on where this one was.
    later = FlakySink(0)
    await publish(store, [later], WORKER, now)
    assert later.got == notes[-1:]


async def test_a_file_of_checkpoints_shows_that_the_end_was_cut_off(
    store: SqlStore, raw: AsyncEngine, tmp_path: Path
) -> None:
    sink = FileSink(tmp_path / "kept.txt")
    await filled(store, 3)
    await publish(store, [sink], WORKER, NOW)
    notes = await filled(store, 3)
    await publish(store, [sink], WORKER, NOW)
    kept = kept_checkpoints(tmp_path / "kept.txt")
    assert kept[-1].note == parse_checkpoint(notes[0])[1]
    assert len(split_notes((tmp_path / "kept.txt").read_text())) == 2
    found = await verify_log(store, SIGNER, outside=kept)
    assert (found.fault, found.outside) == (None, 2)
    await past_the_guards(
        raw,
        "DELETE FROM events WHERE sequence > 5",
        "DELETE FROM checkpoints WHERE sequence > 5",
        "DELETE FROM tree_nodes WHERE position >= 5",
        "UPDATE event_head SET sequence = 5",
    )
    found = await verify_log(store, SIGNER, outside=kept)
    assert found.fault is not None
    assert (found.fault.damage, found.fault.sequence) == (Damage.TRUNCATED, 6)


async def test_a_file_that_can_t_be_written_is_told_and_tried_again(
    store: SqlStore, tmp_path: Path
) -> None:
    await filled(store, 3)
    (sent,) = await publish(store, [FileSink(tmp_path / "missing" / "kept.txt")], WORKER, NOW)
    assert sent.error is not None
    assert "can't be written" in sent.error


async def test_a_target_holds_the_newest_checkpoint_and_verifies_the_log(
    store: SqlStore, raw: AsyncEngine, tmp_path: Path
) -> None:
    path = tmp_path / "witness"
    targets = {"file": FileTarget()}
    spec = parse_target(f'{{ type = "file", path = "{path}" }}', "SETTING", targets)
    sink = TargetSink(targets["file"], spec)
    await filled(store, 3)
    await publish(store, [sink], WORKER, NOW)
    notes = await filled(store, 3, 3)
    (sent,) = await publish(store, [sink], WORKER, NOW)
    assert (sent.count, sent.error) == (1, None)
    assert path.read_text() == notes[-1]
    await past_the_guards(
        raw,
        "DELETE FROM events WHERE sequence > 5",
        "DELETE FROM checkpoints WHERE sequence > 5",
        "DELETE FROM tree_nodes WHERE position >= 5",
        "UPDATE event_head SET sequence = 5",
    )
    found = await verify_log(store, SIGNER, outside=kept_checkpoints(path))
    assert found.fault is not None
    assert found.fault.damage is Damage.TRUNCATED


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("witness.txt", "SETTING: not a table of TOML"),
        ("3", "SETTING: not a table of TOML"),
        ('{ type = "cloud" }', "'cloud' is none of file"),
        ('{ type = "file", path = "witness" }', "must be absolute"),
    ],
)
def test_a_setting_that_is_no_target_is_one_clear_line(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        parse_target(text, "SETTING", {"file": FileTarget()})
    assert len(str(caught.value).splitlines()) == 1


async def answered(status: int) -> tuple[Sequence[str], str]:
    """What a webhook got, and what was said about it."""
    got: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        got.append((await reader.readexactly(length)).decode())
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            await WebhookSink(
                Secret(f"http://127.0.0.1:{port}/hook?token=t"), SettableClock()
            ).send("note\n")
        except NeedsHuman as error:
            return got, str(error)
    return got, ""


async def test_a_webhook_gets_the_checkpoint_and_its_refusal_is_told() -> None:
    assert await answered(204) == (["note\n"], "")
    assert await answered(500) == (["note\n"], "the webhook answered 500")
    with pytest.raises(Unavailable, match="can't be reached"):
        await WebhookSink(Secret("http://127.0.0.1:1/"), SettableClock()).send("note\n")


async def test_an_event_with_a_token_in_its_reason_is_kept_without_it(store: SqlStore) -> None:
    token = "fo1_" + "a" * 40
    async with store.unit() as unit:
        await unit.append(an_event(reason=f"leaked {token} \0 \ud800"))
    async with store.view() as unit:
        logged = await unit.event_at(1)
    assert logged is not None
    assert logged.event.reason == "leaked fo1_[redacted] \ufffd ?"
    assert (await verify_log(store, SIGNER)).fault is None
