"""What the audit log tells of a change of the manifest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rotator.domain.policy import Share
from rotator.domain.spec_changes import spec_changes
from tests.integration.store_objects import a_full_spec


def test_nothing_is_told_of_what_stayed() -> None:
    assert spec_changes(a_full_spec(), a_full_spec()) == ""


def test_each_field_is_told_as_people_write_it() -> None:
    old = a_full_spec()
    policy = replace(old.policy, every=timedelta(days=90), window=None)
    told = spec_changes(old, replace(old, policy=policy, owner=None)).split("; ")
    assert told[0] == f"owner: {old.owner} → none"
    assert told[1] == "policy.every: 45d1h → 90d"
    assert "policy.window.days: 0, 4, 6 → none" in told


def test_a_target_is_told_by_its_key() -> None:
    old = a_full_spec()
    kept, gone = old.targets[0], old.targets[1]
    rollout = replace(kept.rollout, max_unavailable=Share(percent=5))
    new = replace(old, targets=(replace(kept, rollout=rollout), replace(gone, key="file:/new")))
    was = kept.rollout.max_unavailable
    assert sorted(spec_changes(old, new).split("; ")) == sorted(
        [
            f"target {gone.key}: removed",
            "target file:/new: added",
            f"target {kept.key} rollout.max_unavailable: {was} → 5%",
        ]
    )
