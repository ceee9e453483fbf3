"""Rows to domain types and back, one pair of functions a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from rotator.domain.credential import Credential, CredentialStatus, Version, VersionState
from rotator.domain.lineage import LINEAGE
from rotator.domain.rotation import (
    Actor,
    MachineRestart,
    Mode,
    RestartState,
    Rollout,
    RolloutState,
    RolloutWish,
    Rotation,
    RotationState,
    Step,
    StepName,
    StepState,
)
from rotator.redaction import kept
from rotator.store.codec import (
    dump_detail,
    issued_document,
    load_detail,
    parked_document,
    policy_document,
    spec_document,
)

Values = Mapping[str, object]
AnyRow = Row[Any]


def credential_values(credential: Credential) -> Values:
    """A row of `credentials`."""
    spec = credential.spec
    return {
        "id": credential.id,
        "name": spec.name,
        "kind": spec.kind,
        "place": spec.place,
        "spec": spec_document().dump(spec),
        "status": credential.status.value,
        "due_at": credential.due_at,
        "created_at": credential.created_at,
        "updated_at": credential.updated_at,
    }


def to_credential(row: AnyRow) -> Credential:
    """From a row of `credentials`."""
    return Credential(
        id=row.id,
        spec=spec_document().load(row.spec),
        status=CredentialStatus(row.status),
        due_at=row.due_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def version_values(version: Version) -> Values:
    """A row of `versions`; the sealed value has a table of its own."""
    issued = version.issued
    return {
        "id": version.id,
        "credential_id": version.credential_id,
        "rotation_id": version.rotation_id,
        "state": version.state.value,
        "issued": issued_document().dump(issued) if issued else None,
        "expires_at": issued.expires_at if issued else None,
        "lineage": issued.facts.get(LINEAGE) if issued else None,
        "created_at": version.created_at,
        "promoted_at": version.promoted_at,
        "revoke_at": version.revoke_at,
        "ended_at": version.ended_at,
    }


def to_version(row: AnyRow) -> Version:
    """From a row of `versions` with the column `is_sealed` joined to it."""
    return Version(
        id=row.id,
        credential_id=row.credential_id,
        rotation_id=row.rotation_id,
        state=VersionState(row.state),
        issued=issued_document().load(row.issued) if row.issued else None,
        sealed=bool(row.is_sealed),
        created_at=row.created_at,
        promoted_at=row.promoted_at,
        revoke_at=row.revoke_at,
        ended_at=row.ended_at,
    )


def rotation_values(rotation: Rotation) -> Values:
    """A row of `rotations`, without the claim and the request to abort."""
    return {
        "id": rotation.id,
        "credential_id": rotation.credential_id,
        "credential_name": rotation.credential_name,
        "state": rotation.state.value,
        "mode": rotation.mode.value,
        "actor_kind": rotation.actor.kind,
        "actor_name": rotation.actor.name,
        "reason": kept(rotation.reason),
        "reason_code": rotation.reason_code,
        "old_version_id": rotation.old_version_id,
        "new_version_id": rotation.new_version_id,
        "requested_at": rotation.requested_at,
        "resume_at": rotation.resume_at,
        "started_at": rotation.started_at,
        "ended_at": rotation.ended_at,
        "remints": rotation.remints,
        "parked": parked_document().dump(rotation.parked) if rotation.parked else None,
        "api_calls": rotation.api_calls,
    }


def to_rotation(row: AnyRow) -> Rotation:
    """From a row of `rotations`."""
    return Rotation(
        id=row.id,
        credential_id=row.credential_id,
        credential_name=row.credential_name,
        state=RotationState(row.state),
        mode=Mode(row.mode),
        actor=Actor(row.actor_kind, row.actor_name),
        reason=row.reason,
        reason_code=row.reason_code,
        old_version_id=row.old_version_id,
        new_version_id=row.new_version_id,
        requested_at=row.requested_at,
        resume_at=row.resume_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        remints=row.remints,
        parked=parked_document().load(row.parked) if row.parked else None,
        api_calls=row.api_calls,
        abort_requested_at=row.abort_requested_at,
    )


def step_values(step: Step) -> Values:
    """A row of `steps`."""
    return {
        "id": step.id,
        "rotation_id": step.rotation_id,
        "position": step.position,
        "name": step.name.value,
        "subject": step.subject,
        "state": step.state.value,
        "attempt": step.attempt,
        "intent_at": step.intent_at,
        "outcome_at": step.outcome_at,
        "not_before": step.not_before,
        "detail": dump_detail(step.detail),
        "error": None if step.error is None else kept(step.error),
        "request_id": step.request_id,
    }


def to_step(row: AnyRow) -> Step:
    """From a row of `steps`."""
    return Step(
        id=row.id,
        rotation_id=row.rotation_id,
        position=row.position,
        name=StepName(row.name),
        subject=row.subject,
        state=StepState(row.state),
        attempt=row.attempt,
        intent_at=row.intent_at,
        outcome_at=row.outcome_at,
        not_before=row.not_before,
        detail=load_detail(row.detail),
        error=row.error,
        request_id=row.request_id,
    )


def rollout_values(rollout: Rollout) -> Values:
    """A row of `rollouts`, without the wish that a person may have about it."""
    return {
        "id": rollout.id,
        "app": rollout.app,
        "secrets_version": rollout.secrets_version,
        "policy": policy_document().dump(rollout.policy),
        "state": rollout.state.value,
        "waves": rollout.waves,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "error": None if rollout.error is None else kept(rollout.error),
        "organization": rollout.organization,
        "release_id": rollout.release_id,
        "release_version": rollout.release_version,
        "release_asked_at": rollout.release_asked_at,
    }


def to_rollout(row: AnyRow) -> Rollout:
    """From a row of `rollouts`."""
    return Rollout(
        id=row.id,
        app=row.app,
        secrets_version=row.secrets_version,
        policy=policy_document().load(row.policy),
        state=RolloutState(row.state),
        waves=row.waves,
        started_at=row.started_at,
        ended_at=row.ended_at,
        error=row.error,
        organization=row.organization,
        release_id=row.release_id,
        release_version=row.release_version,
        release_asked_at=row.release_asked_at,
        wish=RolloutWish(row.wish) if row.wish else None,
    )


def restart_values(restart: MachineRestart, app: str) -> Values:
    """A row of `machine_restarts`."""
    return {
        "rollout_id": restart.rollout_id,
        "machine_id": restart.machine_id,
        "app": app,
        "machine_name": restart.machine_name,
        "region": restart.region,
        "process_group": restart.process_group,
        "wave": restart.wave,
        "state": restart.state.value,
        "old_instance_id": restart.old_instance_id,
        "new_instance_id": restart.new_instance_id,
        "secrets_version": restart.secrets_version,
        "leased_at": restart.leased_at,
        "updated_at": restart.updated_at,
        "started_at": restart.started_at,
        "healthy_at": restart.healthy_at,
        "ended_at": restart.ended_at,
        "admitted_at": restart.admitted_at,
        "drained_at": restart.drained_at,
        "stopped_at": restart.stopped_at,
        "released_at": restart.released_at,
        "replaced_by": restart.replaced_by,
        "note": kept(restart.note),
    }


def to_restart(row: AnyRow) -> MachineRestart:
    """From a row of `machine_restarts`."""
    return MachineRestart(
        rollout_id=row.rollout_id,
        machine_id=row.machine_id,
        machine_name=row.machine_name,
        region=row.region,
        process_group=row.process_group,
        wave=row.wave,
        state=RestartState(row.state),
        old_instance_id=row.old_instance_id,
        new_instance_id=row.new_instance_id,
        secrets_version=row.secrets_version,
        leased_at=row.leased_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        healthy_at=row.healthy_at,
        ended_at=row.ended_at,
        admitted_at=row.admitted_at,
        drained_at=row.drained_at,
        stopped_at=row.stopped_at,
        released_at=row.released_at,
        replaced_by=row.replaced_by,
        note=row.note,
    )
