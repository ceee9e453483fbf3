"""`rotator rollout watch`: a rollout as it goes, from any terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from rotator.cli.failures import FAILED
from rotator.cli.progress import POLL_SECONDS, Progress, rollout_picture
from rotator.cli.rollout_view import RolloutView, headline, read_rollout, rollout_changes
from rotator.cli.rollouts import known_rollout
from rotator.cli.session import opened
from rotator.cli.text import Canvas, clock_time, say
from rotator.domain.errors import InputError
from rotator.domain.ports import Clock, Store, Unit
from rotator.domain.rotation import OPEN_ROLLOUTS, Rollout, RolloutState, RotationState

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Group

_CODES: Final[Mapping[RolloutState, int]] = {
    RolloutState.SUCCEEDED: 0,
    RolloutState.PARTIAL: 0,
    RolloutState.FAILED: FAILED,
    RolloutState.ABANDONED: FAILED,
}


async def watch_rollout(given: str | None, app: str | None, *, live: bool | None = None) -> int:
    """`rotator rollout watch`."""
    async with opened() as rotator:
        async with rotator.store.view() as unit:
            rollout = await _chosen(unit, given, app)
        view = await _followed(rotator.store, rotator.parts.clock, rollout.id, live=live)
        now = rotator.parts.clock.now()
    say(headline(view, now))
    for line in _what_follows(view):
        say(f"  {line}")
    return _CODES[view.rollout.state]


async def _chosen(unit: Unit, given: str | None, app: str | None) -> Rollout:
    if given is not None:
        found = await known_rollout(unit, given)
        if app is not None and found.app != app:
            raise InputError(f"rollout {found.id} is one of {found.app}, not of {app}")
        return found
    under_way = await unit.rollouts(app=app, states=OPEN_ROLLOUTS, limit=1)
    if not under_way:
        raise InputError(
            f"no rollout{f' of {app}' if app else ''} is under way",
            next_step="`rotator rollout list` lists those that have ended",
        )
    return under_way[0]


async def _followed(
    store: Store, clock: Clock, rollout_id: str, *, live: bool | None
) -> RolloutView:
    before: RolloutView | None = None
    with Progress(live=live) as progress:
        while True:
            now = clock.now()
            async with store.view() as unit:
                rollout = await unit.rollout(rollout_id)
                assert rollout is not None
                view = await read_rollout(unit, rollout, now)
            progress.update(partial(_picture, view, now), _lines(before, view, now))
            if not view.open:
                return view
            before = view
            await clock.sleep(POLL_SECONDS)


def _picture(view: RolloutView, now: datetime, canvas: Canvas) -> Group:
    from rich.console import Group

    return Group(*rollout_picture(view, now, canvas))


def _lines(before: RolloutView | None, view: RolloutView, now: datetime) -> Iterator[str]:
    for line in rollout_changes(before, view):
        yield f"{clock_time(now)}  {view.rollout.app}  {line}"


def _what_follows(view: RolloutView) -> Iterator[str]:
    """What a person should know of an ended rollout."""
    rollout = view.rollout
    if rollout.error:
        yield rollout.error
    if rollout.state is RolloutState.PARTIAL:
        yield "that is within the failure budget; the old value stays valid where it is needed"
    if rollout.state in (RolloutState.FAILED, RolloutState.ABANDONED):
        for rotation in view.served:
            state = rotation.state.value.replace("_", " ")
            what = "being undone" if rotation.state is RotationState.UNDOING else state
            yield f"the rotation of {rotation.credential_name} is {what}"
            yield f"next: `rotator rotate show {rotation.id}`"
    yield f"its record: `rotator rollout show {rollout.id}`"
