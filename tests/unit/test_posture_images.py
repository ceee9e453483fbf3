"""Rules on images and what scanners say of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.posture.finding import Topic
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_images import (
    RULES,
    UNREADABLE,
    ScanRecord,
    check_images,
    no_scans,
    unreadable,
)
from rotator.domain.posture.scans import ScanReport, Severity, Unreadable, Vulnerability
from rotator.domain.risk import Risk
from tests.unit.builders import NOW
from tests.unit.running_builders import DIGEST, OTHER, WEB, an_app, an_image, running

DAY = timedelta(days=1)
GROUP = "group:web/app"
HOLE = Vulnerability(Severity.CRITICAL, "CVE-2026-0001", "openssl", "3.0.11", "3.0.15")
CLEAN = ScanReport("ci/web.json", "Trivy", "web", frozenset({DIGEST}), NOW - DAY)
BAD = replace(
    CLEAN,
    counts=((Severity.MEDIUM, 40), (Severity.HIGH, 3), (Severity.CRITICAL, 2)),
    worst=(HOLE,),
    fixable=4,
)
HIGH_ONLY = replace(BAD, counts=((Severity.HIGH, 1),))
MEDIUM_ONLY = replace(BAD, counts=((Severity.MEDIUM, 1),))


def hub(given: str, tag: str) -> object:
    registry = "registry-1.docker.io"
    return running(
        WEB,
        image=an_image(
            given, registry=registry, repository="library/postgres", tag=tag, built_at=None
        ),
    )


def with_image(digest: str = DIGEST, **more: object) -> object:
    return running(WEB, image=an_image(digest=digest), **more)  # type: ignore[arg-type]


def built(ago: timedelta) -> object:
    return running(WEB, image=an_image(built_at=NOW - ago))


def known(*reports: ScanReport) -> ScanRecord:
    return ScanRecord({digest: each for each in reports for digest in each.digests}, wanted=True)


NOBODY_LOOKS = ScanRecord()
CASES = {
    "what flyctl built and named": ([with_image()], NOBODY_LOOKS, set()),
    "a tag": ([hub("postgres:16", "16")], NOBODY_LOOKS, {"image-by-tag"}),
    "no tag at all": ([hub("postgres", "")], NOBODY_LOOKS, {"image-by-tag"}),
    "a tag with a digest": ([hub(f"postgres:16@{DIGEST}", "16")], NOBODY_LOOKS, set()),
    "a deployment's tag of another registry": (
        [hub("ghcr.io/a/b:deployment-01HEPA330HZ37A78TK080NAK1M", "16")],
        NOBODY_LOOKS,
        {"image-by-tag"},
    ),
    "two digests in a group": (
        [with_image(), with_image(OTHER)],
        NOBODY_LOOKS,
        {"image-digests-differ"},
    ),
    "two digests in two groups": (
        [with_image(), with_image(OTHER, group="worker")],
        NOBODY_LOOKS,
        set(),
    ),
    "two digests in the middle of a deploy": (
        [with_image(), with_image(OTHER, made_at=NOW - timedelta(minutes=10))],
        NOBODY_LOOKS,
        set(),
    ),
    "a machine that nobody deploys": (
        [with_image(), with_image(OTHER, managed=False)],
        NOBODY_LOOKS,
        set(),
    ),
    "a digest that Fly does not tell": ([with_image(), with_image("")], NOBODY_LOOKS, set()),
    "built long ago": ([built(91 * DAY)], NOBODY_LOOKS, {"image-old"}),
    "built of late": ([built(89 * DAY)], NOBODY_LOOKS, set()),
    "built long ago by the report": (
        [hub(f"postgres@{DIGEST}", "")],
        known(replace(CLEAN, built_at=NOW - 400 * DAY)),
        {"image-old"},
    ),
    "a clean report": ([with_image()], known(CLEAN), set()),
    "no report": ([with_image()], known(), {"scan-missing"}),
    "no report of one of two": (
        [with_image(), with_image(OTHER, group="worker")],
        known(CLEAN),
        {"scan-missing"},
    ),
    "no report of an image without a digest": ([with_image("")], known(), set()),
    "a report from long ago": (
        [with_image()],
        known(replace(CLEAN, at=NOW - 31 * DAY)),
        {"scan-old"},
    ),
    "a report without a date": ([with_image()], known(replace(CLEAN, at=None)), set()),
    "serious holes": ([with_image()], known(BAD), {"image-vulnerable"}),
    "holes that are not serious": ([with_image()], known(MEDIUM_ONLY), set()),
    "a distribution that has ended": (
        [with_image()],
        known(replace(CLEAN, base="debian 10", base_ended=True)),
        {"base-image-ended"},
    ),
    "a machine out of reach": (
        [running(WEB, image=an_image("postgres", digest=""), config=None)],
        known(),
        set(),
    ),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case)
def test_a_rule_is_found_where_it_should_be_and_only_there(case: str) -> None:
    machines, scans, expected = CASES[case]
    found = list(check_images(an_app(*machines), scans, PosturePolicy(), NOW))  # type: ignore[arg-type]
    assert {each.rule.id for each in found} == expected
    assert {each.subject for each in found} <= {GROUP, "group:web/worker"}


def test_every_rule_is_found_somewhere_and_is_about_images() -> None:
    found = {rule for *_, expected in CASES.values() for rule in expected}
    assert found | {UNREADABLE.id} == {rule.id for rule in RULES}
    assert {rule.topic for rule in RULES} == {Topic.IMAGES}


def test_an_image_by_tag_is_mended_by_the_digest_that_runs() -> None:
    (finding,) = check_images(
        an_app(hub("postgres", "")),  # type: ignore[arg-type]
        NOBODY_LOOKS,
        PosturePolicy(),
        NOW,
    )
    assert finding.severity is Risk.MEDIUM
    assert finding.mend == (
        f'in fly.toml: [build] image = "postgres@{DIGEST}"; then fly deploy --app web'
    )


def test_holes_are_told_with_the_worst_and_what_mends_it() -> None:
    (finding,) = check_images(an_app(with_image()), known(BAD), PosturePolicy(), NOW)  # type: ignore[arg-type]
    assert finding.message == (
        "group app of web has 2 critical and 3 high vulnerabilities, 4 of them with a fix, by "
        "ci/web.json: CVE-2026-0001 in openssl 3.0.11 (fixed in 3.0.15)"
    )
    assert finding.severity is Risk.HIGH
    (less,) = check_images(an_app(with_image()), known(HIGH_ONLY), PosturePolicy(), NOW)  # type: ignore[arg-type]
    assert less.severity is Risk.MEDIUM


def test_where_nobody_looks_for_reports_it_is_noted_once_for_the_organisation() -> None:
    finding = no_scans("acme")
    assert (finding.rule.id, finding.subject, finding.app) == (
        "scan-missing",
        "organization:acme",
        "",
    )
    assert finding.severity is Risk.NOTE


def test_a_file_that_is_no_report_is_named() -> None:
    finding = unreadable("acme", Unreadable("ci/web.json", "no JSON at line 1, column 2"))
    assert finding.subject == "report:ci/web.json"
    assert finding.message == "ci/web.json is no report: no JSON at line 1, column 2"
