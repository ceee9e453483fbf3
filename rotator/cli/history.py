"""`rotator rotate show`: the record of what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rotator.cli.record import record_data
from rotator.cli.rollout_view import headline
from rotator.cli.rotating import full_id
from rotator.cli.session import opened
from rotator.cli.snapshot import RotationView, read_rotation, told_state
from rotator.cli.styles import styled
from rotator.cli.text import elapsed, moment, print_json, say, show
from rotator.domain.errors import InputError
from rotator.domain.rotation import Rotation

if TYPE_CHECKING:
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
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        async with rotator.store.view() as unit:
            view = await read_rotation(unit, await full_id(unit, given), now)
    assert view is not None
    if as_json:
        print_json(
            {
                "rotation": view.rotation,
                "steps": view.steps,
                "rollouts": [record_data(rollout, now) for rollout in view.rollouts],
            }
        )
        return 0
    for line in _rotation_lines(view):
        say(line)
    show(_steps_table(view))
    for rollout in view.rollouts:
        say(f"{headline(rollout, now)}, see `rotator rollout show {rollout.rollout.id}`")
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
