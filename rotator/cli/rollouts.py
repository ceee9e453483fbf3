"""`rotator rollout list` and `show`: what was restarted, when, and how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rotator.cli.record import record_data, show_record
from rotator.cli.rollout_view import RolloutView, read_rollout, rollout_state
from rotator.cli.session import opened
from rotator.cli.styles import state_style
from rotator.cli.text import (
    elapsed,
    moment,
    print_json,
    say,
    show,
)
from rotator.domain.errors import InputError
from rotator.domain.ports import Unit
from rotator.domain.rotation import Rollout, RolloutState

if TYPE_CHECKING:
    from rich.table import Table

_SEARCHED: Final = 1000
"""How many of the newest rollouts are looked through for an abbreviated id."""


async def list_rollouts(app: str | None, state: str | None, limit: int, *, as_json: bool) -> int:
    """`rotator rollout list`."""
    states = None if state is None else frozenset({_state(state)})
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        async with rotator.store.view() as unit:
            found = await unit.rollouts(app=app, states=states, limit=limit)
            views = [await read_rollout(unit, each, now) for each in found]
    if as_json:
        print_json({"rollouts": [_summary(view) for view in views]})
    elif views:
        show(rollouts_table(views))
        for view in views:
            if view.open:
                say(
                    f"{view.rollout.app}: under way for {elapsed(now - view.rollout.started_at)}, "
                    f"see `rotator rollout watch {view.rollout.id}`"
                )
    else:
        fits = "" if app is None and state is None else " that fits"
        say(f"there has been no rollout yet{fits}")
    return 0


def _state(given: str) -> RolloutState:
    if given not in set(RolloutState):
        known = ", ".join(RolloutState)
        raise InputError(f"{given!r} is none of {known}", where="--state")
    return RolloutState(given)


def _summary(view: RolloutView) -> dict[str, object]:
    rollout = view.rollout
    return {
        "id": rollout.id,
        "app": rollout.app,
        "kind": view.kind,
        "state": rollout.state,
        "wish": rollout.wish,
        "strategy": rollout.policy.strategy,
        "secrets_version": rollout.secrets_version,
        "release_id": rollout.release_id,
        "release_version": rollout.release_version,
        "waves": rollout.waves,
        "machines": len(view.restarts),
        "done": view.done,
        "started_at": rollout.started_at,
        "ended_at": rollout.ended_at,
        "error": rollout.error,
        "rotations": [each.id for each in view.served],
        "credentials": [each.credential_name for each in view.served],
    }


def rollouts_table(views: Sequence[RolloutView]) -> Table:
    """A line for each rollout."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (
        "rollout",
        "app",
        "kind",
        "state",
        "machines",
        "waves",
        "release",
        "began",
        "took",
        "serves",
    ):
        table.add_column(column, no_wrap=column != "serves", overflow="fold")
    for view in views:
        rollout = view.rollout
        table.add_row(
            rollout.id,
            rollout.app,
            f"{view.kind}, {rollout.policy.strategy.value}",
            Text(rollout_state(view), state_style(rollout.state.value)),
            f"{view.done}/{len(view.restarts)}",
            str(rollout.waves),
            f"v{rollout.release_version}" if rollout.release_version is not None else "-",
            moment(rollout.started_at),
            elapsed(rollout.ended_at - rollout.started_at) if rollout.ended_at else "-",
            ", ".join(each.credential_name for each in view.served),
        )
    return table


async def show_rollout(given: str, *, as_json: bool) -> int:
    """`rotator rollout show ID`: every machine's times and outcome."""
    async with opened() as rotator:
        now = rotator.parts.clock.now()
        async with rotator.store.view() as unit:
            view = await read_rollout(unit, await known_rollout(unit, given), now)
    if as_json:
        print_json(record_data(view, now))
    else:
        show_record(view, now)
    return 0


async def known_rollout(unit: Unit, given: str) -> Rollout:
    """The rollout whose id begins or ends like this.

    Raises:
        InputError: there is none, or several fit.
    """
    wanted = given.upper()
    whole = await unit.rollout(wanted)
    if whole is not None:
        return whole
    newest = await unit.rollouts(limit=_SEARCHED)
    fitting = [r for r in newest if len(wanted) >= 4 and _fits(r.id, wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{given!r} fits {len(fitting)} rollouts", next_step="give the whole id")
    raise InputError(
        f"there is no rollout {given!r}", next_step="`rotator rollout list` lists them"
    )


def _fits(rollout_id: str, wanted: str) -> bool:
    return rollout_id.endswith(wanted) or rollout_id.startswith(wanted)
