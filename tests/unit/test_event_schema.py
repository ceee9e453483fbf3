"""The description of events is made from the code, and is about all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotator.domain.event_fields import DETAILS, FIELDS, OUTCOMES, markdown, typed_detail
from rotator.domain.events import LEAF_COLUMNS, Action, LoggedEvent, Outcome
from rotator.domain.ocsf import ocsf_event, severity_of
from rotator.domain.ocsf_table import ACTIVITIES, MAPPING, STEPS, OcsfClass, ocsf_markdown
from rotator.domain.rotation import Actor, StepName
from tests.integration.store_objects import NOW, a_full_event, an_event

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "events.md"


def test_the_document_is_what_rotator_audit_schema_prints() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == markdown()


def test_every_field_outcome_and_action_is_described() -> None:
    assert set(FIELDS) == set(LEAF_COLUMNS)
    assert set(OUTCOMES) == set(Outcome)
    assert all(f"`{action}`" in markdown() for action in Action)


def test_a_detail_has_numbers_where_numbers_are_meant() -> None:
    told = typed_detail({"attempt": "2", "step": "2", "wave": "many", "other": "3"})
    assert told == {"attempt": 2, "step": "2", "wave": "many", "other": "3"}
    assert DETAILS["attempt"].type == "number"


def test_the_mapping_to_ocsf_is_what_the_document_says_and_leaves_no_action_out() -> None:
    assert (DOCS / "ocsf.md").read_text(encoding="utf-8") == ocsf_markdown()
    assert set(MAPPING) == set(Action)
    assert set(STEPS) == set(StepName)


WHO = (
    Actor("user", "ann@laptop", host="laptop", uid=501),
    Actor("worker", "w", host="h", machine="148e", region="fra"),
    Actor("schedule", "policy"),
)
REQUIRED = {
    OcsfClass.ENTITY_MANAGEMENT: ("entity",),
    OcsfClass.COMPLIANCE_FINDING: ("finding_info", "compliance"),
    OcsfClass.API_ACTIVITY: ("actor", "api", "src_endpoint"),
    OcsfClass.APPLICATION_LIFECYCLE: ("app",),
    OcsfClass.EVENT_LOG_ACTIVITY: ("log_name",),
}
"""What the schema requires of each class beside what it requires of all (OCSF 1.5.0)."""


def record(action: Action, outcome: Outcome, actor: Actor, **detail: str) -> Any:
    event = replace(a_full_event(), action=action, outcome=outcome, actor=actor, detail=detail)
    logged = LoggedEvent(7, event, "0" * 64, "1" * 64)
    return ocsf_event(logged, origin="rotator/ab", version="0.1.0")


@pytest.mark.parametrize("action", Action)
def test_an_event_has_what_ocsf_requires(action: Action) -> None:
    for outcome in Outcome:
        for actor in WHO:
            found = record(action, outcome, actor, step="mint", error="e")
            kind = OcsfClass(found["class_uid"])
            assert found["category_uid"] == kind // 1000
            assert found["type_uid"] == kind * 100 + found["activity_id"]
            assert found["activity_id"] == 99 or found["activity_id"] in ACTIVITIES[kind]
            assert found["time"] == int(a_full_event().at.timestamp() * 1000)
            assert found["severity_id"] in (1, 2, 3, 4)
            assert found["status_id"] in ((1, 2, 3, 4) if kind == 2003 else (0, 1, 2, 99))
            assert found["metadata"]["version"] == "1.5.0"
            assert found["metadata"]["product"]["name"] == "rotator"
            assert found["metadata"]["uid"] == "rotator/ab/7"
            assert all(found[name] for name in REQUIRED[kind])
            assert found["unmapped"]["hash"] == "1" * 64


def test_a_step_is_the_call_that_it_makes() -> None:
    minted = record(Action.STEP_DONE, Outcome.OK, WHO[1], step="mint")
    assert (minted["class_name"], minted["activity_name"]) == ("API Activity", "Create")
    assert minted["api"]["operation"] == "mint"
    assert minted["api"]["request"] == {"uid": "01REQUEST-fra"}
    assert {"type": "credential", "name": "session"} in minted["resources"]
    assert record(Action.STEP_DONE, Outcome.OK, WHO[1], step="retire")["activity_id"] == 4


def test_a_person_is_a_user_and_a_worker_is_the_service() -> None:
    person = record(Action.ROTATION_REQUESTED, Outcome.INFO, WHO[0])
    assert person["actor"]["user"] == {
        "name": "ann@laptop",
        "type_id": 1,
        "type": "User",
        "uid": "501",
    }
    assert person["comment"] == "event 1"
    worker = record(Action.VERSION_REVOKED, Outcome.OK, WHO[1], version="v1")
    assert worker["actor"]["user"]["type"] == "System"
    assert worker["entity"] == {"name": "session", "type": "version", "uid": "v1"}
    assert worker["src_endpoint"] == {"hostname": "h", "uid": "148e", "svc_name": "rotator"}


def test_what_waits_for_a_person_is_severe() -> None:
    parked = an_event(action=Action.ROTATION_PARKED, outcome=Outcome.FAILED, at=NOW)
    assert severity_of(parked) == 4
    assert severity_of(replace(parked, action=Action.STEP_FAILED)) == 3
    assert severity_of(an_event(action=Action.STEP_DONE, outcome=Outcome.OK)) == 1
