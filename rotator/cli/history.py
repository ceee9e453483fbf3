"""`rotator rotate show` and `rotator rollout show`: the record of what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rotator.cli.progress import rollout_table, styled
from rotator.cli.rotating import full_id
from rotator.cli.session import opened
from rotator.cli.snapshot import RolloutView, RotationView, read_rollout, read_rotation, told_state
from rotator.cli.text import elapsed, moment, print_json, say, show
from rotator.domain.errors import InputError
from rotator.domain.rotation import MachineRestart, Rollout, Rotation

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table


async def show_rotations(credential: str | None, limit: int, *, as_json: bool) -> int:
    """The newest rotations."""
    async with opened() as rotator, rotator.store.view() as unit:
        credential_id = None
        if credential is not None:
            known = await unit.credential(credential)
            if known is None:
                raise InputError(f"there is no credential {credential!r}")
            credential_id = known.id
        found = await unit.rotations(credential_id=credential_id, limit=limit)
    if as_json:
        print_json({"rotations": found})
    elif not found:
        say("nothing has been rotated yet")
    else:
        show(rotations_table(found))
    return 0


def rotations_table(rotations: Sequence[Rotation]) -> Table:
    """A line for each rotation."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (
        "rotation",
        "credential",
        "state",
        "mode",
        "asked",
        "took",
        "calls",
        "by",
        "why",
    ):
        table.add_column(column, no_wrap=column not in ("why", "by"))
    for each in rotations:
        took = elapsed(each.ended_at - each.requested_at) if each.ended_at else "-"
        table.add_row(
            each.id,
            each.credential_name,
            styled(each.state.value),
            each.mode.value,
            moment(each.requested_at),
            took,
            str(each.api_calls),
            str(each.actor),
            each.reason,
        )
    return table


async def show_rotation(given: str, *, as_json: bool) -> int:
    """One rotation with its steps."""
    async with opened() as rotator, rotator.store.view() as unit:
        view = await read_rotation(unit, await full_id(unit, given))
    assert view is not None
    if as_json:
        print_json(
            {
                "rotation": view.rotation,
                "steps": view.steps,
                "rollouts": [_rollout_data(rollout) for rollout in view.rollouts],
            }
        )
        return 0
    for line in _rotation_lines(view):
        say(line)
    show(_steps_table(view))
    for rollout in view.rollouts:
        say(f"rollout {rollout.rollout.id}, see `rotator rollout show {rollout.rollout.id}`")
    return 0


def _rotation_lines(view: RotationView) -> Iterator[str]:
    rotation = view.rotation
    yield f"rotation {rotation.id} of {rotation.credential_name}: {told_state(view)}"
    yield f"  asked {moment(rotation.requested_at)} by {rotation.actor} ({rotation.mode.value})"
    if rotation.reason:
        yield f"  why: {rotation.reason}"
    if rotation.ended_at is not None:
        yield (
            f"  ended {moment(rotation.ended_at)} after "
            f"{elapsed(rotation.ended_at - rotation.requested_at)}, {rotation.api_calls} API calls"
        )
    elif rotation.resume_at is not None:
        yield f"  goes on {moment(rotation.resume_at)}"
    if rotation.parked is not None:
        yield f"  cause: {rotation.parked.cause}"
        yield f"  safe: {rotation.parked.safe}"
        yield f"  next: {rotation.parked.next_command}"


def _steps_table(view: RotationView) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("step", "subject", "state", "tries", "intent", "outcome", "evidence"):
        table.add_column(column, no_wrap=column in ("step", "state", "intent", "outcome"))
    for step in view.steps:
        told = step.error if step.error and not step.ended else _evidence(dict(step.detail))
        table.add_row(
            step.name.value,
            step.subject,
            styled(step.state.value),
            str(step.attempt),
            moment(step.intent_at),
            moment(step.outcome_at),
            told,
        )
    return table


def _evidence(detail: dict[str, str]) -> str:
    for key in ("evidence", "revoked", "machines"):
        if detail.get(key):
            return detail[key]
    return "; ".join(f"{key} {value}" for key, value in detail.items() if value)


async def show_rollouts(app: str | None, limit: int, *, as_json: bool) -> int:
    """The newest rollouts."""
    from rich import box
    from rich.table import Table

    async with opened() as rotator, rotator.store.view() as unit:
        found = await unit.rollouts(app=app, limit=limit)
    if as_json:
        print_json({"rollouts": found})
        return 0
    if not found:
        say("there has been no rollout yet")
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("rollout", "app", "secrets version", "state", "waves", "began", "took"):
        table.add_column(column, no_wrap=True)
    for each in found:
        table.add_row(
            each.id,
            each.app,
            str(each.secrets_version),
            styled(each.state.value),
            str(each.waves),
            moment(each.started_at),
            _took(each),
        )
    show(table)
    return 0


async def show_rollout(given: str, *, as_json: bool) -> int:
    """One rollout: every machine's times and outcome."""
    async with opened() as rotator:
        async with rotator.store.view() as unit:
            rollout = await unit.rollout(given.upper())
            if rollout is None:
                raise InputError(
                    f"there is no rollout {given!r}", next_step="`rotator rollout show` lists them"
                )
            view = await read_rollout(unit, rollout)
            rotations = await unit.rotations_of(rollout.id)
        now = rotator.parts.clock.now()
    if as_json:
        print_json(_rollout_data(view) | {"rotations": rotations})
        return 0
    for line in rollout_lines(rollout, list(rotations)):
        say(line)
    show(rollout_table(view, now), record_table(view))
    return 0


def rollout_lines(rollout: Rollout, rotations: list[str]) -> Iterator[str]:
    """What a rollout was about."""
    policy = rollout.policy
    yield f"rollout {rollout.id} of {rollout.app} to secrets version {rollout.secrets_version}"
    yield f"  {rollout.state.value}, {rollout.waves} waves, {_took(rollout)}"
    yield (
        f"  max_unavailable {policy.max_unavailable}, canary {policy.canary}, "
        f"stagger {elapsed(policy.stagger)}, on failure {policy.on_failure.value}"
    )
    yield f"  serves rotations {', '.join(rotations)}"
    if rollout.error:
        yield f"  {rollout.error}"


def record_table(view: RolloutView) -> Table:
    """Every time that each machine passed."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = (
        "machine",
        "wave",
        "leased",
        "updated",
        "started",
        "healthy",
        "instance before/after",
    )
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1])
    for each in view.restarts:
        table.add_row(each.machine_id, str(each.wave), *_times(each), _instances(each))
    return table


def _times(restart: MachineRestart) -> Iterator[str]:
    for at in (restart.leased_at, restart.updated_at, restart.started_at, restart.healthy_at):
        yield _time(at)


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%H:%M:%S.%f}"[:-5]


def _instances(restart: MachineRestart) -> str:
    return f"{restart.old_instance_id[-8:]} / {(restart.new_instance_id or '-')[-8:]}"


def _took(rollout: Rollout) -> str:
    return elapsed(rollout.ended_at - rollout.started_at) if rollout.ended_at else "under way"


def _rollout_data(view: RolloutView) -> dict[str, object]:
    return {"rollout": view.rollout, "machines": view.restarts}
