"""`rotator report` over a year's log: what it says, and that every command in it gives its rows."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import shlex
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rotator.cli.auditing import as_row
from rotator.cli.event_filters import query_of
from rotator.cli.evidence.command import asked_period
from rotator.cli.evidence.gather import EVENT_SECTIONS, Report, gather
from rotator.cli.evidence.page import write_page
from rotator.cli.evidence.plain import write_csv, write_json
from rotator.cli.main import _run
from rotator.domain.ages import Standing
from rotator.domain.controls import CONTROLS, TITLES, Section
from rotator.domain.courses import Ending, Period
from rotator.domain.errors import InputError
from rotator.domain.events import Action, Outcome
from rotator.domain.ports import EventQuery
from rotator.domain.rotation import Actor, RotationState
from rotator.engine.checkpoint import sign_head
from rotator.engine.request import abort
from rotator.store.sealing import CheckpointSigner
from rotator.store.store import SqlStore
from tests.harness.year import YEAR_END, Year
from tests.integration.store_objects import (
    A_KEY,
    NOW,
    SettableClock,
    a_credential,
    a_ring,
    a_rotation,
    an_event,
)

SIGNER = CheckpointSigner(a_ring())
CREDENTIALS = 30
PERIOD = Period(YEAR_END - timedelta(days=190), YEAR_END)
VOID = {"meta", "br", "wbr"}


@pytest.fixture(scope="module")
def year(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that 200 days of work have gone through."""
    file = tmp_path_factory.mktemp("year") / "rotator.db"
    file.write_bytes(migrated_file.read_bytes())

    async def fill() -> None:
        store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
        await Year(credentials=CREDENTIALS, days=200).write(store)
        await sign_head(store, SIGNER, Actor("worker", "w"), YEAR_END)
        await store.aclose()

    asyncio.run(fill())
    return file


def gathered(file: Path, period: Period = PERIOD) -> Report:
    async def read() -> Report:
        store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
        try:
            return await gather(store, SIGNER, period, YEAR_END)
        finally:
            await store.aclose()

    return asyncio.run(read())


@pytest.fixture(scope="module")
def report(year: Path) -> Report:
    return gathered(year)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    parts: list[str] = []
    write_page(report, parts.append)
    return "".join(parts)


@pytest.fixture(scope="module")
def document(report: Report) -> Any:
    parts: list[str] = []
    write_json(report, parts.append)
    return json.loads("".join(parts))


@pytest.fixture
def at_the_year(year: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory whose settings point at the year's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROTATOR_DATABASE_URL", f"sqlite:///{year}")
    monkeypatch.setenv("ROTATOR_KEYS", A_KEY)
    return tmp_path


class Outline(HTMLParser):
    """Whether every element that is opened is closed, and what stands in them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> Sequence[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def outlined(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    return outline


def test_the_page_is_whole_and_needs_nothing_else(page: str) -> None:
    outline = outlined(page)
    assert not [tag for tag, attributes in outline.found if "src" in attributes]
    assert all((a["href"] or "").startswith("#") for a in outline.all("a"))
    assert not outline.all("link")
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_can_be_read_without_seeing_it(page: str) -> None:
    outline = outlined(page)
    charts = outline.all("svg")
    assert len(charts) == 5
    for chart in charts:
        names = (chart["aria-labelledby"] or "").split()
        assert chart["role"] == "img"
        assert all(f'id="{name}"' in page for name in names)
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all(head.get("scope") in ("col", "row") for head in outline.all("th"))
    assert {a["href"] for a in outline.all("a")} <= {f"#{a.get('id')}" for _, a in outline.found}


def test_what_people_wrote_is_text_and_not_markup(page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 1


def test_the_same_log_and_period_give_the_same_report(year: Path, page: str) -> None:
    parts: list[str] = []
    write_page(gathered(year), parts.append)
    assert "".join(parts) == page


def test_every_section_and_every_control_is_there(page: str, document: Any) -> None:
    for title in TITLES.values():
        assert f"<h2>{title}</h2>" in page
    assert [control["number"] for control in document["controls"]] == [
        "CC6.1",
        "CC6.6",
        "8.3.9",
        "8.6.3",
        "3.7.4",
        "A.5.17",
        "5.3",
    ]
    for control in document["controls"]:
        assert control["queries"]
    assert all(document[section.value]["rows"] for section in Section)


def events_of_commands(file: Path, commands: dict[Section, str]) -> dict[Section, list[Any]]:
    """What the commands print, read by what parses and answers them."""

    async def read() -> dict[Section, list[Any]]:
        store = SqlStore(f"sqlite:///{file}", a_ring(), SettableClock())
        found: dict[Section, list[Any]] = {}
        async with store.view() as unit:
            for section, words in commands.items():
                options = words.removeprefix("rotator audit ").removesuffix(" --json")
                query = replace(query_of(options, YEAR_END), limit=10_000)
                found[section] = [as_row(logged) for logged in await unit.events(query)]
        await store.aclose()
        return found

    return asyncio.run(read())


def test_each_command_of_the_report_gives_the_events_behind_its_rows(
    year: Path, document: Any
) -> None:
    commands = {section: document[section.value]["query"] for section in Section}
    given = events_of_commands(year, commands)
    numbers = {section: [event["sequence"] for event in given[section]] for section in Section}
    ids = {section: {event["rotation_id"] for event in given[section]} for section in Section}
    for section in EVENT_SECTIONS:
        rows = document[section.value]["rows"]
        assert [row["sequence"] for row in rows] == numbers[section]
    asked = document["emergencies"]["rows"]
    assert [row["first"] for row in asked] == numbers[Section.EMERGENCIES]
    failed = document["failures"]["rows"]
    told = {trouble["sequence"] for row in failed for trouble in row["troubles"]}
    assert told == set(numbers[Section.FAILURES])
    rotations = document["rotations"]["rows"]
    assert {row["rotation"] for row in rotations} == ids[Section.ROTATIONS]
    assert {row["last"] for row in rotations} <= set(numbers[Section.ROTATIONS])
    tracked = document["inventory"]["rows"]
    assert len(tracked) == CREDENTIALS
    assert {row["evidence"] for row in tracked} <= set(numbers[Section.INVENTORY])


def test_a_command_of_the_report_runs_as_it_stands(
    document: Any, at_the_year: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(document["people"]["query"])
    assert words.pop(0) == "rotator"
    assert _run(words) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    rows = document["people"]["rows"]
    assert [event["sequence"] for event in events] == [row["sequence"] for row in rows]


def test_the_numbers_are_those_of_the_log(report: Report, document: Any) -> None:
    courses = list(report.courses)
    assert len({course.rotation for course in courses}) == len(courses) == report.tally.total
    assert sum(count.total() for count in report.tally.bins.values()) == report.tally.total
    assert document["summary"]["rotations"] == len(courses)
    assert {c.ending for c in courses} >= {Ending.SUCCEEDED, Ending.PARKED, Ending.ROLLED_BACK}
    assert report.standings[Standing.OVER] >= 1
    people = {line.by for line in report.events[Section.PEOPLE]}
    assert "user:ann@laptop (uid 501)" in people
    assert report.log.checkpoint is not None
    assert report.log.verification.fault is None


def test_the_trend_is_that_of_the_log(report: Report, document: Any) -> None:
    trend = document["posture_trend"]
    opened = sum(sum(point["opened"].values()) for point in trend["points"])
    resolved = sum(sum(point["resolved"].values()) for point in trend["points"])
    actions = [row["action"] for row in document["posture"]["rows"]]
    assert actions.count("posture.opened") == opened > 0
    assert actions.count("posture.resolved") == resolved > 0
    assert trend["points"][0]["open"] is None
    last = trend["points"][-1]["open"]
    assert sum(last.values()) == opened - resolved > 0
    assert report.trend.standing is not None
    assert list(last) == ["critical", "high", "medium", "low", "note"]


def test_a_period_in_which_nobody_looked_begins_with_the_look_before_it(year: Path) -> None:
    end = YEAR_END - timedelta(days=150)
    then = gathered(year, Period(end - timedelta(hours=5), end - timedelta(hours=4)))
    point = list(then.trend.points())[-1]
    assert point.standing is not None
    assert sum(point.standing.values()) > 0
    early = Period(YEAR_END - timedelta(days=200), YEAR_END - timedelta(days=190))
    assert gathered(year, early).trend.standing is None


def test_a_report_of_the_past_says_how_things_stood_then(year: Path) -> None:
    end = YEAR_END - timedelta(days=100)
    start = end - timedelta(days=60)
    then = gathered(year, Period(start, end))
    begun_before = [c for c in then.courses if c.asked_at < start]
    assert begun_before
    assert all(c.ended_at is None or c.ended_at >= start for c in begun_before)
    assert not then.standings[Standing.UNMANAGED]
    assert all(row.born is None or row.born < end for row in then.inventory)
    assert all(c.ended_at is None or c.ended_at < end for c in then.courses)


def test_an_empty_log_makes_a_whole_page(migrated_file: Path) -> None:
    parts: list[str] = []
    write_page(gathered(migrated_file), parts.append)
    page = "".join(parts)
    outlined(page)
    assert page.count("None in this period.") == len(Section)
    assert "No checkpoint is signed yet" in page


def test_csv_is_one_table_that_no_spreadsheet_takes_for_formulas(report: Report) -> None:
    parts: list[str] = []
    write_csv(report, parts.append)
    rows = list(csv.DictReader(io.StringIO("".join(parts))))
    assert {row["section"] for row in rows} == set(Section)
    counted = [row for row in rows if row["section"] == Section.ROTATIONS]
    assert len(counted) == report.tally.total
    assert all(None not in row and not row["reason"].startswith("=") for row in rows)


def test_a_report_goes_to_a_file_for_its_owner_alone(
    at_the_year: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "--from", "2026-04-01", "--to", "2026-09-30", "--output", "q.html"]
    assert _run(words) == 0
    assert "2026-04-01 up to 2026-10-01 UTC: 30 credentials" in capfd.readouterr().out
    file = at_the_year / "q.html"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text(encoding="utf-8").endswith("</html>\n")
    assert [each.name for each in at_the_year.iterdir()] == ["q.html"]


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("soon", None, "--from: 'soon' is no time"),
        ("2026-03-01", "2026-02-01", "--to: the period ends before it begins"),
        ("2999-01-01", "2999-02-01", "--from: the period has not begun yet"),
    ],
)
def test_a_period_that_is_none_is_told_so(since: str, until: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        asked_period(since, until, YEAR_END)


def test_a_date_as_the_end_includes_its_day_but_nothing_that_lies_ahead() -> None:
    march = asked_period("2026-03-01", "2026-03-31", YEAR_END)
    assert march.until == datetime(2026, 4, 1, tzinfo=UTC)
    assert asked_period("7d", "2026-10-01", YEAR_END).until == YEAR_END
    assert asked_period("7d", None, YEAR_END) == Period(YEAR_END - timedelta(days=7), YEAR_END)


def test_a_report_without_a_place_is_one_clear_line(
    at_the_year: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _run(["report", "--output", "no/such/place.html"]) == 2
    told = "rotator: no/such/place.html: its directory is not there\n"
    assert capfd.readouterr().err == told


def test_a_damaged_log_is_said_so_on_the_page_and_by_the_exit_code(
    year: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(year.read_bytes())
    with closing(sqlite3.connect(damaged)) as connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET reason = 'nothing' WHERE sequence = 9")
        connection.commit()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROTATOR_DATABASE_URL", f"sqlite:///{damaged}")
    monkeypatch.setenv("ROTATOR_KEYS", A_KEY)
    assert _run(["report", "--from", "2026-09-01"]) == 1
    captured = capfd.readouterr()
    assert "damaged at event 9 (edited)" in captured.out
    assert "the audit log is damaged at event 9" in captured.err
    assert re.search(r'class="card bad"><dt>Audit log</dt><dd>damaged', captured.out)


async def test_a_parked_rotation_that_is_given_up_untouched_has_an_end_in_the_log(
    store: SqlStore,
) -> None:
    parked = a_rotation(state=RotationState.PARKED, resume_at=None, ended_at=NOW)
    async with store.unit() as unit:
        await unit.save_credential(a_credential())
        await unit.add_rotation(parked, [])
    parts: Any = SimpleNamespace(store=store, clock=SettableClock(), new_id=str)
    await abort(parts, parked.id, Actor("user", "ann"), "not worth it")
    async with store.view() as unit:
        told = [logged.event for logged in await unit.events(EventQuery())]
    assert [event.action for event in told] == [
        Action.ROTATION_ROLLED_BACK,
        Action.ROTATION_ABORTED,
    ]
    assert told[0].outcome is Outcome.OK


def test_the_controls_name_sections_that_there_are() -> None:
    for control in CONTROLS:
        assert control.sections
        assert control.asks.endswith(".")


def test_several_processes_verify_a_log_as_one_does(
    at_the_year: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _run(["audit", "verify"]) == 0
    alone = capfd.readouterr().out
    monkeypatch.setattr("rotator.engine.audit.verify.SEGMENT", 256)
    monkeypatch.setattr("rotator.cli.verifying.ALONE_BELOW", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert _run(["audit", "verify"]) == 0
    assert capfd.readouterr().out == alone


def test_the_end_of_an_id_will_do_for_a_filter(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rotation = a_rotation()

    async def fill() -> None:
        store = SqlStore(sqlite_url, a_ring(), SettableClock())
        async with store.unit() as unit:
            await unit.save_credential(a_credential())
            await unit.add_rotation(rotation, [])
            await unit.append(an_event(rotation_id=rotation.id))
        await store.aclose()

    asyncio.run(fill())
    monkeypatch.setenv("ROTATOR_DATABASE_URL", sqlite_url)
    assert _run(["audit", "--rotation", rotation.id[-5:].lower(), "--json"]) == 0
    assert rotation.id in capfd.readouterr().out
    assert _run(["audit", "--rotation", "ZZZZZZ"]) == 2
    assert "there is no rotation 'ZZZZZZ'" in capfd.readouterr().err
