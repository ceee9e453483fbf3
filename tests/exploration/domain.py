"""Between the explorer's rows and the engine's own types and functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

from rotator.domain.credential import (
    Credential,
    CredentialSpec,
    CredentialStatus,
    Issued,
    TargetSpec,
    Version,
)
from rotator.domain.machines import MARK_ROLLOUT, MARK_SECRETS_VERSION, Machine, MachineEvent
from rotator.domain.machines import RawConfig as Config
from rotator.domain.policy import Policy, RolloutPolicy, Share
from rotator.domain.protocol import BEFORE, latest_pass
from rotator.domain.rotation import Actor, Mode, Parked, Rotation, Step, StepName, StepState
from rotator.engine.deliver import SECRETS_VERSION
from rotator.engine.retire import REVOKED
from tests.exploration.state import Journal, MachineRow, StepRow, VersionRow

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
PAST = NOW - timedelta(days=30)
APP, KEY, SECRET = "web", "fly-secret:web/KEY", "KEY"
MOST_ATTEMPTS = 2
"""More tries than this differ in nothing but their number."""

TARGET = TargetSpec(
    "fly-secret",
    KEY,
    {"app": APP, "name": SECRET},
    APP,
    RolloutPolicy(max_unavailable=Share(count=1), canary=0),
)
SPEC = CredentialSpec(
    "ci", "deploy-token", "acme", "deploy-token:ci", {}, (TARGET,), Policy(every=LATER - NOW)
)
CREDENTIAL = Credential("credential", SPEC, CredentialStatus.MANAGED, NOW, PAST, PAST)


def new_id() -> str:
    """Ids do not matter: a step is known by its position."""
    return ""


@cache
def steps_of(rows: tuple[StepRow, ...]) -> tuple[Step, ...]:
    """The journal's steps as the engine reads them."""
    return tuple(_step(row) for row in rows)


def _step(row: StepRow) -> Step:
    detail = {BEFORE: "digest"} if row.before else {}
    if row.floor:
        detail[SECRETS_VERSION] = str(row.floor)
    if row.revoked:
        detail[REVOKED] = "yes"
    ended = row.state is StepState.DONE
    return Step(
        id=str(row.position),
        rotation_id="rotation",
        position=row.position,
        name=row.name,
        subject=row.subject,
        state=row.state,
        attempt=row.attempt,
        outcome_at=NOW if ended else None,
        not_before=LATER if row.late else None,
        detail=detail,
    )


def row_of(step: Step) -> StepRow:
    """The other way round."""
    return StepRow(
        step.position,
        step.name,
        step.subject,
        step.state,
        min(step.attempt, MOST_ATTEMPTS),
        step.not_before is not None,
        BEFORE in step.detail,
        int(step.detail.get(SECRETS_VERSION, "0")),
        REVOKED in step.detail,
    )


def pass_of(journal: Journal) -> tuple[Step, ...]:
    """The steps that the engine loads."""
    steps = steps_of(journal.steps)
    return latest_pass(steps) or steps


def rotation_of(journal: Journal, mode: Mode) -> Rotation:
    """The journal's rotation as the engine reads it."""
    return Rotation(
        "rotation",
        CREDENTIAL.id,
        CREDENTIAL.name,
        journal.state,
        mode,
        Actor("user", "explorer"),
        "",
        "manual",
        "0",
        None if journal.new is None else str(journal.new),
        NOW,
        NOW,
        started_at=NOW if journal.started else None,
        remints=journal.remints,
        parked=Parked("", "", "") if journal.parked else None,
        abort_requested_at=NOW if journal.abort else None,
    )


@cache
def version_of(rows: tuple[VersionRow, ...], index: int) -> Version:
    """A version as the engine reads it."""
    row = rows[index]
    name = str(row.value)
    issued = None if row.value is None else Issued(name, name, created_at=PAST)
    return Version(str(index), CREDENTIAL.id, None, row.state, issued, row.sealed, PAST)


def changed(journal: Journal, steps: Sequence[Step]) -> Journal:
    """The journal with these steps replaced or added."""
    rows = {row.position: row for row in journal.steps}
    rows |= {step.position: row_of(step) for step in steps}
    return journal._replace(steps=tuple(rows[position] for position in sorted(rows)))


def noted(step: Step, *, floor: int, revoked: bool) -> Step:
    """The step with what its try has found out, kept whatever the outcome."""
    detail = dict(step.detail)
    if floor:
        detail[SECRETS_VERSION] = str(floor)
    if revoked:
        detail[REVOKED] = "yes"
    return replace(step, detail=detail)


@cache
def machines_of(rows: tuple[MachineRow, ...]) -> tuple[Machine, ...]:
    """The machines as Fly's list shows them."""
    return tuple(_machine(number, row) for number, row in enumerate(rows))


def _machine(number: int, row: MachineRow) -> Machine:
    events = [MachineEvent("launch", "started", "user", LATER)] if row.renewed else []
    events += [MachineEvent("start", "started", "proxy", NOW)] if row.booted else []
    marks = {MARK_SECRETS_VERSION: str(row.mark), MARK_ROLLOUT: f"rollout to {row.mark}"}
    return Machine(
        id=str(number),
        name=f"m{number}",
        app=APP,
        state="started" if row.up else "starting",
        region="fra",
        instance_id=str(row.instance),
        process_group="app",
        host_status="ok",
        metadata={"fly_release_version": str(row.release), **(marks if row.mark else {})},
        config=Config({}),
        created_at=PAST,
        updated_at=PAST,
        events=tuple(events),
    )


def deliveries(steps: Sequence[Step], name: StepName) -> tuple[Step, ...]:
    """The writes of this pass that have ended."""
    return tuple(s for s in steps if s.name is name and s.ended)
