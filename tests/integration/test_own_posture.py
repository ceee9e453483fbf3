"""Rotator looks at itself: real files and a real database, and Fly's time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from rotator.domain.errors import InputError
from rotator.domain.ports import Checkpoint, LogCursor
from rotator.domain.posture.finding import Inspected, Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.posture.rotator_facts import OwnFile
from rotator.domain.rotation import Actor
from rotator.domain.secret import Secret
from rotator.engine.posture.rotator import RotatorInspector
from rotator.own_posture import OwnPosture
from rotator.settings import Settings
from rotator.simulator.faults import Fault, Match
from rotator.store.sealing import new_key
from rotator.store.store import SqlStore
from rotator.system import SystemEntropy
from rotator.wiring import open_rotator
from tests.contract.conversation import Conversation, conversation
from tests.integration.store_objects import (
    A_KEY,
    ANOTHER_KEY,
    a_credential,
    a_ring,
    a_version,
    an_event,
)

POLICY = PosturePolicy()
ALL = InspectionScope(("acme",))


@dataclass
class Place:
    """A folder with rotator in it, and a Fly to talk with."""

    said: Conversation
    file: Path
    store: SqlStore
    sinks: Sequence[str] = ()

    @property
    def own(self) -> OwnPosture:
        settings = Settings(manifest=self.file.parent / "rotator.toml")
        return OwnPosture(settings, self.store, self.said.client, lambda: self.sinks)

    async def inspect(self, scope: InspectionScope = ALL) -> Inspected:
        return await RotatorInspector(self.own).inspect(scope, POLICY, self.said.clock.now())

    async def rules(self) -> set[str]:
        return {each.rule.id for each in (await self.inspect()).findings}


@pytest.fixture
async def place(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.chdir(sqlite_file.parent)
    for name in ("rotator.toml", ".env"):
        (sqlite_file.parent / name).write_text("")
    async with conversation() as said:
        store = SqlStore(f"sqlite:///{sqlite_file}", a_ring(A_KEY, ANOTHER_KEY), said.clock)
        made = Place(said, sqlite_file, store)
        yield made
        await made.store.aclose()


async def test_the_modes_of_its_files_are_looked_at(place: Place) -> None:
    names = {OwnFile.MANIFEST: "rotator.toml", OwnFile.ENVIRONMENT: ".env"}
    for file in (place.file, *(place.file.parent / name for name in names.values())):
        file.chmod(0o600)
    assert not {rule for rule in await place.rules() if rule.endswith("-exposed")}
    for file, rule in (
        (place.file, "rotator-database-exposed"),
        (place.file.parent / "rotator.toml", "rotator-manifest-exposed"),
        (place.file.parent / ".env", "rotator-env-exposed"),
    ):
        file.chmod(0o644)
        assert {r for r in await place.rules() if r.endswith("-exposed")} == {rule}
        file.chmod(0o600)


async def test_a_file_that_is_not_there_is_open_to_nobody(place: Place) -> None:
    for name in (".env", "rotator.toml"):
        (place.file.parent / name).unlink()
    place.file.chmod(0o600)
    assert not {rule for rule in await place.rules() if rule.endswith("-exposed")}


async def test_values_under_a_key_that_is_gone_are_counted(place: Place) -> None:
    credential = a_credential()
    version = a_version(of=credential)
    async with place.store.unit() as unit:
        await unit.save_credential(credential)
        await unit.save_version(version)
        await unit.seal(version.id, Secret("a value"))
    assert "rotator-key-missing" not in await place.rules()
    await place.store.aclose()
    place.store = SqlStore(f"sqlite:///{place.file}", a_ring(ANOTHER_KEY), place.said.clock)
    found = (await place.inspect()).findings
    (missing,) = [each for each in found if each.rule.id == "rotator-key-missing"]
    assert missing.message.startswith("1 value can't be opened: the key ")
    assert "rotator-one-key" not in {each.rule.id for each in found}


async def test_the_clock_is_held_against_flys_answers(place: Place) -> None:
    assert "rotator-clock-off" not in await place.rules()
    assert len(place.said.said) == 1, "one call, as nothing else was asked of Fly before"
    assert "rotator-clock-off" not in await place.rules()
    assert len(place.said.said) == 1, "what was answered a short while ago tells it as well"
    place.said.world.switches.clock_ahead_seconds = 60
    place.said.clock.at += timedelta(minutes=11)
    found = (await place.inspect()).findings
    (off,) = [each for each in found if each.rule.id == "rotator-clock-off"]
    assert off.message.startswith("this machine's clock is 60.0s or more behind Fly's")


async def test_a_fly_that_is_down_leaves_the_clock_unknown_and_the_rest_told(place: Place) -> None:
    down = Fault(match=Match(path="/graphql"), kind="refused", status=503, times=99)
    place.said.world.faults.add(down)
    found = await place.inspect()
    (missing,) = found.missing
    assert (missing.topic, missing.organization) == (Topic.ROTATOR, "")
    assert found.findings


async def test_places_that_lag_and_a_log_that_nobody_verified_are_told(place: Place) -> None:
    place.sinks = ("file:elsewhere",)
    now = place.said.clock.now()
    async with place.store.unit() as unit:
        await unit.append(an_event())
    async with place.store.unit() as unit:
        head = await unit.log_head()
        signed = Checkpoint(
            head.size, head.hash, now - timedelta(days=2), "key", "signature", "note"
        )
        await unit.save_checkpoint(signed)
    assert {"rotator-checkpoint-late", "rotator-log-unverified"} <= await place.rules()
    async with place.store.unit() as unit:
        await unit.save_log_cursor(LogCursor("checkpoints:file:elsewhere", head.size))
        await unit.save_log_cursor(LogCursor("verified", head.size))
    rules = await place.rules()
    assert not {"rotator-checkpoint-late", "rotator-log-unverified"} & rules
    place.sinks = ()
    assert "rotator-checkpoints-stay" in await place.rules()


async def test_a_place_that_can_not_be_taken_is_missing(place: Place) -> None:
    def sinks() -> Sequence[str]:
        raise InputError("the target is none", where="ROTATOR_CHECKPOINT_TARGET")

    own = OwnPosture(Settings(), place.store, place.said.client, sinks)
    facts = await own.read(place.said.clock.now())
    assert [each.why for each in facts.missing] == ["ROTATOR_CHECKPOINT_TARGET: the target is none"]


async def test_where_one_app_is_looked_at_rotator_is_not(place: Place) -> None:
    assert await place.inspect(InspectionScope(("acme",), "web")) == Inspected()
    assert place.said.said == []


async def test_the_program_has_an_inspector_for_each_of_these_topics(sqlite_file: Path) -> None:
    key = SecretStr(new_key(SystemEntropy().token_bytes))
    settings = Settings(database_url=f"sqlite:///{sqlite_file}", keys=(key,))
    actor = Actor("user", "tester")
    async with open_rotator(settings, actor=actor, worker_id="w", online=False) as rotator:
        topics = {topic for inspector in rotator.inspectors() for topic in inspector.topics}
    assert {Topic.TOKENS, Topic.PEERS, Topic.PEOPLE, Topic.ROTATOR} <= topics
