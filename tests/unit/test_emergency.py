"""Emergencies, as far as they are arithmetic: what is taken, in which order, and how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.credential import Credential, CredentialStatus, VersionState
from rotator.domain.leak import Course, course
from rotator.domain.rotation import RotationState
from rotator.domain.sweep import Pending, Scope, ordered, time_left
from tests.unit import builders

SECOND = timedelta(seconds=1)


def one(name: str, kind: str, app: str | None) -> Credential:
    """A credential of this kind that is delivered to this app."""
    made = builders.a_credential()
    spec = replace(made.spec, name=name, kind=kind, targets=(builders.a_target(app),))
    return replace(made, spec=spec)


def test_the_worst_goes_first_and_what_shares_an_app_stays_together() -> None:
    rows = (
        ("b-key", "secret", "b"),
        ("a-key", "secret", "a"),
        ("a-ssh", "ssh-token", "a"),
        ("wide", "org-token", "b"),
        ("peer", "wireguard-peer", None),
    )
    found = ordered(one(name, kind, app) for name, kind, app in rows)
    assert [c.name for c in found] == ["wide", "b-key", "peer", "a-ssh", "a-key"]


def test_an_app_gives_away_what_is_delivered_to_it_and_what_may_change_it() -> None:
    scope = Scope(app="web")
    delivered = one("k", "secret", "web").spec
    about = one("t", "deploy-token", "ci").spec
    assert scope.holds(delivered)
    assert scope.holds(replace(about, params={"app": "web"}))
    assert not scope.holds(about)
    assert Scope(organization=about.organization).holds(about)


def test_the_time_left_comes_from_what_has_been_seen() -> None:
    took = [10 * SECOND, 20 * SECOND, 90 * SECOND]
    assert time_left([], took, 8) == timedelta(0)
    one = Pending(5 * SECOND, rolls_out=True)
    assert time_left([one], took, 8) == 15 * SECOND
    assert time_left([replace(one, left=44 * SECOND)], took, 8) == 44 * SECOND
    queued = [Pending(None, rolls_out=True)] * 17
    assert time_left([one, *queued], took, 8) == (15 + 3 * 20) * SECOND
    late = Pending(300 * SECOND, rolls_out=True)
    assert time_left([late], took, 8) == 2 * SECOND


@pytest.mark.parametrize(
    ("state", "status", "newest", "expected"),
    [
        (VersionState.CURRENT, CredentialStatus.MANAGED, None, Course.ROTATE),
        (VersionState.CURRENT, CredentialStatus.MANAGED, RotationState.SUCCEEDED, Course.ROTATE),
        (VersionState.CURRENT, CredentialStatus.MANAGED, RotationState.RUNNING, Course.REVOKE),
        (VersionState.CURRENT, CredentialStatus.MANAGED, RotationState.PARKED, Course.REVOKE),
        (VersionState.CURRENT, CredentialStatus.UNMANAGED, None, Course.REVOKE),
        (VersionState.RETIRING, CredentialStatus.MANAGED, RotationState.RETIRING, Course.HASTEN),
        (VersionState.PENDING, CredentialStatus.MANAGED, RotationState.RUNNING, Course.TURN_BACK),
        (VersionState.REVOKED, CredentialStatus.MANAGED, None, Course.GONE),
        (VersionState.DISCARDED, CredentialStatus.UNMANAGED, None, Course.GONE),
    ],
)
def test_what_is_done_about_a_leaked_version(
    state: VersionState,
    status: CredentialStatus,
    newest: RotationState | None,
    expected: Course,
) -> None:
    version = replace(builders.a_version(promoted_at=builders.NOW), state=state)
    rotation = None if newest is None else replace(builders.a_rotation(), state=newest)
    assert course(version, status, rotation) is expected
