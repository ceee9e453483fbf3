"""Live progress: a table that redraws itself on a terminal, plain lines everywhere else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rotator.cli.snapshot import (
    RolloutView,
    RotationView,
    Snapshot,
    changes,
    restart_time,
    settled,
    take,
    told_state,
)
from rotator.cli.text import console, elapsed, say
from rotator.domain.ports import Clock, Store
from rotator.domain.rotation import RestartState, RolloutState, RotationState, StepState

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Group
    from rich.live import Live
    from rich.table import Table

POLL_SECONDS: Final = 0.3
"""How often the database is read; no call to Fly is made for progress."""

_STYLES: Final = {
    "succeeded": "green",
    "healthy": "green",
    "done": "green",
    "up-to-date": "green",
    "asleep": "cyan",
    "retiring": "cyan",
    "running": "yellow",
    "failed": "bold red",
    "parked": "bold red",
    "rolled_back": "bold red",
    "unreachable": "red",
    "planned": "dim",
    "left-out": "dim",
}


class Progress:
    """Shows snapshots as they come."""

    def __init__(self, *, live: bool | None = None) -> None:
        self._wants_live = sys.stdout.isatty() if live is None else live
        self._before: Snapshot | None = None
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

    def update(self, snapshot: Snapshot) -> None:
        """Show how things stand."""
        if self._live is not None:
            self._live.update(picture(snapshot), refresh=True)
        else:
            for line in changes(self._before, snapshot):
                say(line)
        self._before = snapshot


async def follow(
    store: Store,
    clock: Clock,
    rotation_ids: Sequence[str],
    stop: asyncio.Event,
    *,
    until: Callable[[RotationView, datetime], bool] = settled,
    live: bool | None = None,
) -> Snapshot:
    """Show rotations until each is settled, or `stop` is set; give the last snapshot."""
    with Progress(live=live) as progress:
        while True:
            snapshot = await take(store, rotation_ids, clock.now())
            progress.update(snapshot)
            if all(until(view, snapshot.at) for view in snapshot.rotations) or stop.is_set():
                return snapshot
            await clock.sleep(POLL_SECONDS)


def picture(snapshot: Snapshot) -> Group:
    """Everything that is under way, as rich draws it."""
    from rich.console import Group

    rollouts = {
        view.rollout.id: view for rotation in snapshot.rotations for view in rotation.rollouts
    }
    tables = [rollout_table(view, snapshot.at) for view in rollouts.values()]
    return Group(rotations_table(snapshot), *tables)


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


def rollout_table(view: RolloutView, now: datetime) -> Table:
    """A line for each machine: its wave, its state, how long it took."""
    from rich import box
    from rich.table import Table

    rollout = view.rollout
    done = sum(r.state in _ENDED for r in view.restarts)
    title = (
        f"rollout of {rollout.app} to secrets version {rollout.secrets_version}: "
        f"{_word(rollout.state)}, {done} of {len(view.restarts)} machines, "
        f"{elapsed((rollout.ended_at or now) - rollout.started_at)}"
    )
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in ("wave", "machine", "region", "group", "state", "elapsed", "note"):
        table.add_column(column, no_wrap=column != "note", justify="default")
    for restart in view.restarts:
        table.add_row(
            "-" if restart.state is RestartState.LEFT_OUT else str(restart.wave),
            restart.machine_id,
            restart.region,
            restart.process_group,
            styled(restart.state.value),
            restart_time(restart, now),
            restart.note,
        )
    return table


_ENDED: Final = frozenset(
    {
        RestartState.HEALTHY,
        RestartState.ASLEEP,
        RestartState.UP_TO_DATE,
        RestartState.LEFT_OUT,
        RestartState.UNREACHABLE,
        RestartState.GONE,
        RestartState.FAILED,
    }
)


def styled(word: str) -> str:
    """A state in its colour."""
    style = _STYLES.get(word)
    return f"[{style}]{word}[/{style}]" if style else word


def _state(state: RotationState) -> str:
    style = _STYLES.get(state.value)
    word = state.value.replace("_", " ")
    return f"[{style}]{word}[/{style}]" if style else word


def _word(state: RolloutState) -> str:
    return styled(state.value)


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
