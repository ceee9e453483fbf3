"""Domain objects with what a test cares about; the rest is plain."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from rotator.domain.credential import (
    Credential,
    CredentialSpec,
    CredentialStatus,
    Issued,
    TargetSpec,
    Version,
    VersionState,
)
from rotator.domain.machines import Check, Machine, RawConfig
from rotator.domain.policy import Policy, RolloutPolicy, Share
from rotator.domain.rotation import Actor, Mode, Rotation, RotationState

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def new_id() -> str:
    """A fresh id."""
    return f"{next(_numbers):026d}"


def a_spec(*targets: TargetSpec, policy: Policy | None = None) -> CredentialSpec:
    """A credential that is delivered to these targets."""
    return CredentialSpec(
        "session",
        "secret",
        "acme",
        "secret:session",
        {},
        targets or (a_target("web"),),
        policy or Policy(every=timedelta(days=30)),
    )


def a_target(app: str | None, *, rollout: RolloutPolicy | None = None) -> TargetSpec:
    """An app secret, or a file where no app is given."""
    if app is None:
        return TargetSpec("file", "file:/etc/value", {"path": "/etc/value"})
    params = {"app": app, "name": "KEY"}
    return TargetSpec(
        "fly-secret", f"fly-secret:{app}/KEY", params, app, rollout or RolloutPolicy()
    )


def a_credential(policy: Policy | None = None, *, due_at: datetime | None = NOW) -> Credential:
    """A managed credential."""
    spec = a_spec(policy=policy)
    return Credential(new_id(), spec, CredentialStatus.MANAGED, due_at, NOW, NOW)


def a_version(*, promoted_at: datetime | None, sealed: bool = True) -> Version:
    """A current version."""
    return Version(
        new_id(),
        "credential",
        "rotation",
        VersionState.CURRENT,
        Issued("ref", "name", created_at=promoted_at),
        sealed,
        promoted_at or NOW,
        promoted_at,
    )


def a_rotation(state: RotationState = RotationState.RUNNING, mode: Mode = Mode.NORMAL) -> Rotation:
    """A rotation."""
    actor = Actor("user", "tester")
    return Rotation(
        new_id(), "credential", "session", state, mode, actor, "", "manual", None, None, NOW, NOW
    )


def a_machine(
    machine_id: str = "",
    *,
    state: str = "started",
    region: str = "fra",
    group: str = "app",
    healthy: bool = True,
    **more: object,
) -> Machine:
    """A machine of `web`."""
    values: dict[str, object] = {
        "id": machine_id or f"{next(_numbers):014x}",
        "name": "machine",
        "app": "web",
        "state": state,
        "region": region,
        "instance_id": new_id(),
        "process_group": group,
        "host_status": "ok",
        "metadata": {},
        "config": RawConfig({}),
        "created_at": NOW,
        "updated_at": NOW,
        "checks": (Check("http", "passing" if healthy else "critical"),),
        "expects_checks": True,
    }
    return Machine(**(values | more))  # type: ignore[arg-type]


def a_policy(share: Share | None = None, **more: object) -> RolloutPolicy:
    """A rollout policy."""
    return RolloutPolicy(max_unavailable=share or Share(percent=33), **more)  # type: ignore[arg-type]


def minutes(count: float) -> timedelta:
    """A span."""
    return timedelta(minutes=count)
