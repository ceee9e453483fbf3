"""What a manifest says of how far rotator may go, and of what comes from what."""

from __future__ import annotations

import pytest

from rotator.domain.credential import CredentialMode
from rotator.manifest import parse_manifest
from tests.unit.builders import NOW
from tests.unit.token_support import from_manifest, wrong

SECRET = 'kind = "secret"\n'
TARGETS = 'targets = [ { type = "file", path = "/data/x" } ]\n'


def test_what_is_only_observed_needs_no_target() -> None:
    spec = from_manifest(SECRET + 'mode = "observe"\n')
    assert spec.observed
    assert spec.targets == ()
    assert from_manifest(SECRET + TARGETS).mode is CredentialMode.ROTATE
    assert "where shall the value go" in wrong(SECRET)
    assert "where shall the value go" in wrong(SECRET + 'mode = "rotate"\n')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('mode = "watch"\n', "'watch' is none of rotate, observe"),
        ('derived_from = ["ci"]\n', "names the credential itself"),
        ('derived_from = ["other"]\n', "'other' is no credential of this manifest"),
        ("derived_from = [1]\n", "names of credentials are wanted"),
        ('derived_from = "other"\n', "a list is wanted"),
    ],
)
def test_what_can_not_be_is_told(text: str, told: str) -> None:
    assert told in wrong(SECRET + text + TARGETS)


@pytest.mark.parametrize(
    ("head", "mode"),
    [("", CredentialMode.ROTATE), ('[defaults]\nmode = "observe"\n', CredentialMode.OBSERVE)],
)
def test_a_manifest_knows_whether_it_only_observes(head: str, mode: CredentialMode) -> None:
    text = f'organization = "acme"\n{head}'
    assert parse_manifest(text, "rotator.toml", {}, {}, NOW).mode is mode
