"""The description of events is made from the code, and is about all of it."""

from __future__ import annotations

from pathlib import Path

from rotator.domain.event_fields import DETAILS, FIELDS, OUTCOMES, markdown, typed_detail
from rotator.domain.events import LEAF_COLUMNS, Action, Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"


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
