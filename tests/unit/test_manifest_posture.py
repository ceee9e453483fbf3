"""`[posture]` of the manifest: every bound can be set, and what can't be taken is told."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path

import pytest

from rotator.domain.posture.policy import OnLeaver, PosturePolicy, Scanner
from rotator.manifest import ManifestError, parse_manifest, sample_manifest
from tests.unit.builders import NOW

HEAD = 'organization = "acme"\n'
ALL = """
[posture]
token_max_life = "400d"
token_max_age = "2w"
secret_max_age = "3d"
peer_max_age = "4d"
peer_unused = "5d"
certificate_days = 30
deploy_tokens_an_app = 0
image_max_age = "6d"
scan_reports = "reports"
scan_max_age = "7d"
checkpoint_max_age = "8h"
clock_tolerance = "9s"
scanner = "grype"
on_leaver = "rotate"
"""


def policy(text: str) -> PosturePolicy:
    return parse_manifest(HEAD + text, "m", {}, {}, NOW, folder=Path("/etc/rotator")).posture


def test_every_bound_can_be_set() -> None:
    found = policy(ALL)
    assert found == PosturePolicy(
        token_max_life=timedelta(days=400),
        token_max_age=timedelta(days=14),
        secret_max_age=timedelta(days=3),
        peer_max_age=timedelta(days=4),
        peer_unused=timedelta(days=5),
        certificate_days=30,
        deploy_tokens_an_app=0,
        image_max_age=timedelta(days=6),
        scan_reports="/etc/rotator/reports",
        scan_max_age=timedelta(days=7),
        checkpoint_max_age=timedelta(hours=8),
        clock_tolerance=timedelta(seconds=9),
        scanner=Scanner.GRYPE,
        on_leaver=OnLeaver.ROTATE,
    )
    plain = PosturePolicy()
    same = [f.name for f in dataclasses.fields(plain) if vars(found)[f.name] == vars(plain)[f.name]]
    assert same == []
    assert policy("") == policy("[posture]\n") == plain


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('token_max_age = "soon"', r"m:3: posture\.token_max_age: 'soon' is not a span of time"),
        ('token_max_age = "0s"', r"m:3: posture\.token_max_age: is no time at all"),
        ("token_max_age = 90", r"m:3: .*a text is wanted, not a whole number"),
        ("certificate_days = 0", r"m:3: .*0 is not between 1 and 365"),
        ("deploy_tokens_an_app = -1", r"m:3: .*-1 is not between 0 and 100"),
        ('scan_reports = ""', r"m:3: .*is empty"),
        ('scanner = "snyk"', r"m:3: .*'snyk' is none of none, trivy, grype"),
        ('on_leaver = "fire"', r"m:3: .*'fire' is none of tell, rotate"),
        ('token_max_ages = "1d"', r"m:3: .*did you mean 'token_max_age'"),
    ],
)
def test_what_can_not_be_taken_is_told_with_its_line(line: str, told: str) -> None:
    with pytest.raises(ManifestError, match=told):
        policy(f"[posture]\n{line}\n")


def test_the_sample_shows_every_bound_and_each_can_be_taken() -> None:
    lines = sample_manifest("acme").splitlines()
    first = lines.index("# [posture]")
    shown = [line.removeprefix("# ") for line in lines[first : lines.index("", first)]]
    policy("\n".join(shown))
    names = {match[1] for line in shown if (match := re.match(r"(\w+) =", line))}
    assert names == {field.name for field in dataclasses.fields(PosturePolicy)}
