"""What the store keeps of findings, on both databases and in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rotator.domain.posture.finding import Topic
from rotator.domain.posture.record import FindingRecord, FindingState, PostureLook
from rotator.domain.risk import Risk
from rotator.store.store import SqlStore
from tests.integration.store_objects import HOUR, NOW, unset

LOOK = PostureLook("acme", NOW + HOUR, "w1", NOW + 2 * HOUR, NOW, ("tokens of acme: no",))
RECORD = FindingRecord(
    "1" * 32,
    "acme",
    "web",
    "secret-too-old",
    Topic.SECRETS,
    "secret:web/ü",
    Risk.CRITICAL,
    "it is old",
    "fly secrets set\n…",
    FindingState.RESOLVED,
    NOW,
    NOW + HOUR,
    NOW + 2 * HOUR,
    3,
    "a note",
)


def numbered(number: int, **changes: object) -> FindingRecord:
    return replace(RECORD, fingerprint=f"{number:032d}", **changes)  # type: ignore[arg-type]


async def test_records_and_looks_come_back_with_every_field(store: SqlStore) -> None:
    assert unset(RECORD) == unset(LOOK) == []
    async with store.unit() as unit:
        await unit.save_finding(replace(RECORD, state=FindingState.OPEN, note=""))
        await unit.save_finding(RECORD)
        await unit.save_posture_look(replace(LOOK, holder=None))
        await unit.save_posture_look(LOOK)
        await unit.save_posture_look(PostureLook("other", NOW))
    async with store.view() as unit:
        assert await unit.finding_records() == [RECORD]
        assert await unit.posture_look("acme") == LOOK
        assert await unit.posture_look("other") == PostureLook("other", NOW)
        assert await unit.posture_look("none") is None
        assert await unit.posture_looks() == [LOOK, PostureLook("other", NOW)]


async def test_a_look_is_begun_once(store: SqlStore) -> None:
    async with store.unit() as unit:
        assert await unit.begin_posture_look(LOOK) == LOOK
        later = replace(LOOK, due_at=NOW + 9 * HOUR)
        assert await unit.begin_posture_look(later) == LOOK


async def test_records_are_read_by_organisation_state_and_page(store: SqlStore) -> None:
    first = numbered(1, state=FindingState.OPEN)
    second = numbered(2, organization="other", state=FindingState.OPEN)
    third = numbered(3)
    async with store.unit() as unit:
        for record in (third, first, second):
            await unit.save_finding(record)
    opened = frozenset({FindingState.OPEN})
    async with store.view() as unit:
        assert await unit.finding_records() == [first, second, third]
        assert await unit.finding_records("acme") == [first, third]
        assert await unit.finding_records("acme", states=opened) == [first]
        assert await unit.finding_records(after=first.fingerprint, limit=1) == [second]
        wanted = [third.fingerprint, first.fingerprint, "9" * 32]
        assert await unit.findings_by(wanted) == [first, third]
        assert await unit.findings_by([]) == []


async def test_only_open_ones_are_counted(store: SqlStore) -> None:
    async with store.unit() as unit:
        for number, risk in enumerate((Risk.HIGH, Risk.HIGH, Risk.NOTE)):
            await unit.save_finding(numbered(number, state=FindingState.OPEN, severity=risk))
        await unit.save_finding(numbered(8, state=FindingState.SUPPRESSED))
        await unit.save_finding(numbered(9))
        assert await unit.count_findings() == {Risk.HIGH: 2, Risk.NOTE: 1}
        assert await unit.count_findings("acme") == {Risk.HIGH: 2, Risk.NOTE: 1}
        assert await unit.count_findings("other") == {}


async def test_what_was_resolved_long_ago_is_forgotten_a_few_at_a_time(store: SqlStore) -> None:
    late = NOW + timedelta(days=90)
    async with store.unit() as unit:
        for number in range(3):
            await unit.save_finding(numbered(number))
        await unit.save_finding(numbered(3, resolved_at=late))
        await unit.save_finding(numbered(4, state=FindingState.OPEN, resolved_at=None))
        assert await unit.forget_findings(late, 2) == 2
        assert await unit.forget_findings(late, 2) == 1
        assert await unit.forget_findings(late, 2) == 0
        assert len(await unit.finding_records()) == 2


async def test_no_value_is_kept_in_a_text(store: SqlStore) -> None:
    token = "fo1_" + "a" * 40
    texts = dict.fromkeys(("subject", "message", "mend", "note"), f"it is {token}")
    async with store.unit() as unit:
        await unit.save_finding(numbered(1, **texts))
        await unit.save_posture_look(replace(LOOK, missing=(token,)))
    async with store.view() as unit:
        assert token not in repr(await unit.finding_records())
        assert token not in repr(await unit.posture_look("acme"))
