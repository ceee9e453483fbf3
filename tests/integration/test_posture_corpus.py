"""What the rules find in the corpus of apps' files, to the line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.config_files import inspect_paths
from rotator.domain.posture.catalogue import RULES
from rotator.domain.posture.finding import Inspected
from rotator.domain.posture.rules_config import RULES as CONFIG_RULES
from tests.harness.posture_corpus import Filled, expectations
from tests.unit.secret_corpus import NOW


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    return Filled(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def inspected(corpus: Filled) -> dict[str, Inspected]:
    return {case.name: inspect_paths([case], NOW) for case in corpus.cases()}


def test_each_rule_finds_what_is_expected_and_nothing_else(
    corpus: Filled, inspected: dict[str, Inspected]
) -> None:
    found = []
    for each in inspected.values():
        for finding in each.findings:
            region = finding.region
            assert region is not None
            path = Path(region.path).relative_to(corpus.folder).as_posix()
            found.append(f"{path}:{region.line}:{region.column} {finding.rule.id}")
    assert sorted(found) == sorted(expectations())


def test_the_corpus_is_large_and_has_something_for_every_rule(corpus: Filled) -> None:
    forms = {".toml", ".json", ".yaml", ".yml"}
    files = [
        p for p in corpus.folder.rglob("*") if p.suffix in forms and "node_modules" not in p.parts
    ]
    assert len(files) >= 60
    assert {line.split()[1] for line in expectations()} == {rule.id for rule in CONFIG_RULES}
    assert all(RULES[rule.id] is rule for rule in CONFIG_RULES)


def test_no_finding_shows_a_value(corpus: Filled, inspected: dict[str, Inspected]) -> None:
    shown = repr(inspected)
    assert corpus.secrets
    assert [secret for secret in corpus.secrets if secret in shown] == []


def test_every_finding_has_a_way_out_and_a_fingerprint_of_its_own(
    inspected: dict[str, Inspected],
) -> None:
    findings = [finding for each in inspected.values() for finding in each.findings]
    assert all(finding.mend and finding.message and finding.rule.page for finding in findings)
    assert len({finding.fingerprint for finding in findings}) == len(findings)


def test_a_region_ends_where_the_text_does(corpus: Filled, inspected: dict[str, Inspected]) -> None:
    for each in inspected.values():
        for finding in each.findings:
            region = finding.region
            assert region is not None
            lines = Path(region.path).read_text("utf-8").split("\n")
            end = lines[region.end_line - 1]
            assert (region.line, region.column) < (region.end_line, region.end_column)
            assert region.end_column <= len(end) + 1
            assert lines[region.line - 1][region.column - 1 :][:1].strip()


def test_a_dockerfile_that_can_not_be_looked_at_is_told(inspected: dict[str, Inspected]) -> None:
    (missing,) = inspected["remote-build"].missing
    assert missing.app == "remote-build"
    assert missing.why.endswith("not here but at raw.githubusercontent.com")
