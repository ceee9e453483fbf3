"""Live progress: a table that redraws itself on a terminal, plain lines everywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rotator.cli.drawing import draw_rollout
from rotator.cli.lines import wrapped_lines
from rotator.cli.rollout_view import RolloutView, headline, standing_lines
from rotator.cli.snapshot import RotationView, Snapshot, changes, settled, take, told_state
from rotator.cli.styles import state_style
from rotator.cli.text import Canvas, canvas_of, console, elapsed, say
from rotator.domain.ports import Clock, Store
from rotator.domain.rotation import RotationState, StepState

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

POLL_SECONDS: Final = 0.3
"""How often the database is read; no call to Fly is made for progress."""
_TABLE_LINES: Final = 5
_FEWEST_LINES: Final = 8


class Progress:
    """Shows snapshots as they come."""

    def __init__(self, *, live: bool | None = None) -> None:
        self._wants_live = sys.stdout.isatty() if live is None else live
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._wants_live:
            from rich.live import Live

            self._live = Live(console=console(), auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, draw: Callable[[Canvas], RenderableType], lines: Iterable[str]) -> None:
        """Show how things stand: a picture that fits the terminal, or a line for what is new."""
        if self._live is not None:
            canvas = canvas_of(self._live.console)
            self._live.update(draw(canvas), refresh=True)
            return
        for line in lines:
            say(line)


async def follow(
    store: Store,
    clock: Clock,
    rotation_ids: Sequence[str],
    stop: asyncio.Event,
    *,
    until: Callable[[RotationView, datetime], bool] = settled,
    live: bool | None = None,
    before: Snapshot | None = None,
    quiet: bool = False,
) -> Snapshot:
    """Show rotations until each is settled, or `stop` is set; give the last snapshot.

    What `before` has already is not told again line by line. `quiet` shows nothing at all.
    """
    with Progress(live=False if quiet else live) as progress:
        while True:
            snapshot = await take(store, rotation_ids, clock.now())
            lines = () if quiet else changes(before, snapshot)
            progress.update(partial(picture, snapshot), lines)
            before = snapshot
            if all(until(view, snapshot.at) for view in snapshot.rotations) or stop.is_set():
                return snapshot
            await clock.sleep(POLL_SECONDS)


def picture(snapshot: Snapshot, canvas: Canvas) -> Group:
    """Everything that is under way, as rich draws it."""
    from rich.console import Group

    rollouts = {
        view.rollout.id: view for rotation in snapshot.rotations for view in rotation.rollouts
    }
    room = canvas.height - len(snapshot.rotations) - _TABLE_LINES
    share = replace(canvas, height=room // max(len(rollouts), 1))
    lines = [
        line for view in rollouts.values() for line in rollout_picture(view, snapshot.at, share)
    ]
    return Group(rotations_table(snapshot), *lines)


def rollout_picture(view: RolloutView, now: datetime, canvas: Canvas) -> list[Text]:
    """One rollout as it stands: a headline, what it waits for, and its machines' bars."""
    width = canvas.width
    lines = wrapped_lines(headline(view, now), width, style="bold", fold=True)
    for line in standing_lines(view):
        lines += wrapped_lines(line, width, label="  ", style="yellow", fold=True)
    room = max(canvas.height - len(lines) - 1, _FEWEST_LINES)
    lines += draw_rollout(view, now, width, ascii_only=canvas.ascii_only, most_lines=room)
    return [*lines, *wrapped_lines("", width)]


def rotations_table(snapshot: Snapshot) -> Table:
    """A line for each rotation."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("credential", "state", "step", "elapsed"):
        table.add_column(column, no_wrap=column != "step", overflow="fold")
    for view in snapshot.rotations:
        rotation, step = view.rotation, view.current_step
        begun = rotation.started_at or rotation.requested_at
        took = elapsed((rotation.ended_at or snapshot.at) - begun)
        table.add_row(rotation.credential_name, _state(rotation.state), _step(view), took)
        if step is not None and step.state is StepState.WAITING and step.error:
            table.add_row("", "", f"[dim]{step.error}[/dim]", "")
    return table


def _state(state: RotationState) -> str:
    style, word = state_style(state.value), state.value.replace("_", " ")
    return f"[{style}]{word}[/{style}]" if style else word


def _step(view: RotationView) -> str:
    if view.rotation.state in (RotationState.PARKED, RotationState.ROLLED_BACK):
        return told_state(view)
    if view.rotation.state is RotationState.SUCCEEDED:
        return "the old value is revoked"
    step = view.current_step
    if step is None:
        return "waiting for a worker"
    if view.revokes_at is not None and step.state is not StepState.INTENDED:
        return f"overlap until {view.revokes_at:%H:%M:%S}Z"
    subject = f" {step.subject}" if step.subject else ""
    return f"{step.name.value}{subject}" + ("" if step.ended else f" ({step.state.value})")
