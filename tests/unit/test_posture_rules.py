"""The catalogue of rules: ids that last, texts that help, and a page that is made of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from rotator.cli.posturing.data import as_data
from rotator.cli.posturing.rules import rules_markdown
from rotator.domain.posture import catalogue
from rotator.domain.posture.catalogue import RULES
from rotator.domain.posture.policy import PosturePolicy
from tests.unit.builders import NOW
from tests.unit.posture_support import in_file, judged

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_is_what_rotator_posture_rules_prints() -> None:
    how = "run `rotator posture --rules --format markdown > docs/rules.md`"
    assert PAGE.read_text(encoding="utf-8") == rules_markdown(tuple(RULES.values())), how


def test_the_document_names_every_key_of_json_and_every_bound() -> None:
    document = (PAGE.parent / "posture.md").read_text(encoding="utf-8")
    data: Any = as_data(judged(in_file()), NOW, "0.1.0", failed=True)
    bounds = [field.name for field in dataclasses.fields(PosturePolicy)]
    keys = (*data, *data["summary"], *data["findings"][0], *data["findings"][0]["region"], *bounds)
    assert [key for key in keys if f"`{key}`" not in document] == []


def test_every_rule_has_an_id_of_its_own_and_says_why_and_how() -> None:
    every = [rule for rules in catalogue._ALL for rule in rules]
    assert len(every) == len(RULES)
    for rule in every:
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", rule.id), rule.id
        assert len(rule.id) <= 64
        assert all((rule.title, rule.why, rule.mend)), rule.id
        assert not rule.title.endswith("."), rule.id
        assert rule.page.startswith("https://"), rule.id
