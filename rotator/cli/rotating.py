"""Rotate now, retry, abort: ask for it, and either watch a daemon do it or do it here."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rotator.cli.failures import FAILED, INTERRUPTED, PARTLY
from rotator.cli.planning import confirm_plan, planned_names, print_plans
from rotator.cli.progress import follow
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.snapshot import (
    RotationView,
    Snapshot,
    good,
    read_rotation,
    settled,
    told_state,
    waits_long,
)
from rotator.cli.text import moment, one_line, print_json, say
from rotator.domain.credential import Credential, CredentialStatus
from rotator.domain.errors import Busy, InputError, RotatorError
from rotator.domain.ports import Unit
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import ENDED, Mode, RolloutState, Rotation
from rotator.engine import request
from rotator.engine.advance import advance, still_to_wait
from rotator.engine.parts import Parts
from rotator.wiring import Rotator

_RETAKE_SECONDS = 1.0


@dataclass(frozen=True)
class Selection:
    """Which credentials: names, or filters, or those of a plan."""

    names: tuple[str, ...]
    app: str | None
    kind: str | None
    all_due: bool
    plan: Path | None

    @property
    def filtered(self) -> bool:
        """Whether filters choose."""
        return bool(self.app or self.kind or self.all_due)


async def rotate_now(
    selection: Selection, mode: Mode, *, reason: str, dry_run: bool, wait: bool, as_json: bool
) -> int:
    """`rotator rotate now`."""
    _check(selection, mode)
    reason = one_line(reason)
    async with opened(online=True) as rotator:
        parts = rotator.parts
        daemon = await daemon_is_running(rotator.store)
        if not daemon and rotator.settings.manifest.exists():
            await rotator.sync()
        names = await _chosen(rotator, selection)
        if not names:
            say("nothing to rotate: no credential fits")
            return 0
        if selection.plan is not None:
            mode = await confirm_plan(rotator, selection.plan, names)
        if dry_run:
            return await print_plans(rotator, names, mode, as_json=as_json)
        code = ReasonCode.MANUAL if mode is Mode.NORMAL else ReasonCode.EMERGENCY
        wish = request.Wish(parts.actor, reason, code.value, mode)
        asked, refused = await _ask(parts, names, wish)
        if not asked:
            return refused
        if not wait:
            return _left_to_others(asked, refused, daemon=daemon, as_json=as_json)
        return await see_through(rotator, asked, refused, daemon=daemon, as_json=as_json)


def _check(selection: Selection, mode: Mode) -> None:
    if selection.plan is not None:
        if mode is not Mode.NORMAL or selection.filtered or selection.names:
            raise InputError(
                "the plan says what to rotate and how",
                where="--plan",
                next_step="leave names, filters, --emergency and --revoke-first away",
            )
        return
    if selection.names and selection.filtered:
        raise InputError("give names, or --app, --kind and --all-due; not both")
    if not selection.names and not selection.filtered:
        raise InputError(
            "nothing chosen", next_step="name credentials, or use --app, --kind or --all-due"
        )


async def _chosen(rotator: Rotator, selection: Selection) -> Sequence[str]:
    if selection.plan is not None:
        return planned_names(selection.plan)
    if selection.names:
        return tuple(dict.fromkeys(selection.names))
    now = rotator.parts.clock.now()
    async with rotator.store.view() as unit:
        managed = await unit.credentials(status=CredentialStatus.MANAGED)
        return [c.name for c in managed if _fits(c, selection, now.timestamp())]


def _fits(credential: Credential, selection: Selection, now: float) -> bool:
    if selection.app and selection.app not in apps_of(credential):
        return False
    if selection.kind and credential.spec.kind != selection.kind:
        return False
    due = credential.due_at is not None and credential.due_at.timestamp() <= now
    return due or not selection.all_due


def apps_of(credential: Credential) -> frozenset[str]:
    """The apps that a credential concerns: those that read it, and the one that it is for."""
    apps = {target.app for target in credential.spec.targets if target.app}
    own = credential.spec.params.get("app")
    return frozenset(apps | ({own} if isinstance(own, str) else set()))


async def _ask(
    parts: Parts, names: Sequence[str], wish: request.Wish
) -> tuple[list[Rotation], int]:
    """Queue each; gives what was queued, and the exit code of what was refused."""
    known = await _known(parts, names)
    asked: list[Rotation] = []
    refused = 0
    for name in known:
        try:
            asked.append(await request.request_rotation(parts, name, wish))
        except (Busy, InputError) as error:
            if len(known) == 1:
                raise
            say(f"{name}: {error}")
            refused = max(refused, error.exit_code)
    return asked, refused


async def _known(parts: Parts, names: Sequence[str]) -> Sequence[str]:
    """All names, or an error before anything is queued: nothing half-done."""
    async with parts.store.view() as unit:
        tracked = {c.name for c in await unit.credentials(status=CredentialStatus.MANAGED)}
    unknown = [name for name in names if name not in tracked]
    if unknown:
        hint = ", ".join(sorted(tracked)[:8]) or "none; is the manifest applied?"
        raise InputError(f"there is no credential {unknown[0]!r}", next_step=f"tracked are: {hint}")
    return names


def _left_to_others(asked: Sequence[Rotation], refused: int, *, daemon: bool, as_json: bool) -> int:
    if as_json:
        print_json({"rotations": asked})
    for rotation in [] if as_json else asked:
        say(f"{rotation.credential_name}: rotation {rotation.id} is queued")
    if not daemon and not as_json:
        say("no daemon is running: it begins when `rotator run` is started")
    return PARTLY if refused else 0


async def see_through(
    rotator: Rotator,
    asked: Sequence[Rotation],
    refused: int,
    *,
    daemon: bool,
    as_json: bool,
    before: Snapshot | None = None,
) -> int:
    last = await carried(rotator, asked, daemon=daemon, quiet=as_json, before=before)
    if as_json:
        print_json({"rotations": [view.rotation for view in last.rotations]})
    return told_code(rotator.parts, last, refused, daemon=daemon, quiet=as_json)


async def carried(
    rotator: Rotator,
    asked: Sequence[Rotation],
    *,
    daemon: bool,
    quiet: bool,
    before: Snapshot | None = None,
) -> Snapshot:
    """Take rotations as far as a person would wait, here or by looking on at a daemon."""
    ids = [rotation.id for rotation in asked]
    with stop_on_interrupt(rotator.parts, daemon=daemon):
        if daemon:
            return await _watch(rotator, ids, before, quiet=quiet)
        return await _work(rotator, ids, before, quiet=quiet)


def told_code(
    parts: Parts, last: Snapshot, refused: int, *, daemon: bool, quiet: bool = False
) -> int:
    """Tell how it went, unless that is told otherwise, and give the exit code."""
    if parts.stopping.is_set() and not all(settled(v, last.at) for v in last.rotations):
        if not quiet:
            _tell_interrupted(last)
        return INTERRUPTED
    if not quiet:
        _tell_outcome(last, daemon=daemon)
    done = sum(good(view) for view in last.rotations)
    if done == len(last.rotations) and not refused:
        return 0
    waiting = any(waits_long(view, last.at) for view in last.rotations)
    return PARTLY if done or waiting else FAILED


async def _watch(
    rotator: Rotator, ids: Sequence[str], before: Snapshot | None, *, quiet: bool
) -> Snapshot:
    parts = rotator.parts
    return await follow(rotator.store, parts.clock, ids, parts.stopping, before=before, quiet=quiet)


async def _work(
    rotator: Rotator, ids: Sequence[str], before: Snapshot | None, *, quiet: bool
) -> Snapshot:
    """Advance the rotations here, side by side, while they are shown."""
    room = asyncio.Semaphore(rotator.parts.limits.concurrency)
    async with asyncio.TaskGroup() as group:
        for each in ids:
            group.create_task(drive(rotator.parts, each, room))
        watching = group.create_task(_watch(rotator, ids, before, quiet=quiet))
    return watching.result()


async def drive(parts: Parts, rotation_id: str, room: asyncio.Semaphore) -> None:
    """Take one rotation as far as a person would wait for it, when there is room."""
    async with room:
        await _drive(parts, rotation_id)


async def _drive(parts: Parts, rotation_id: str) -> None:
    """Take one rotation as far as a person would wait for it."""
    while not parts.stopping.is_set():
        try:
            held = await advance(parts, rotation_id)
        except RotatorError:
            held = False
        if not held:
            await _pause(parts, _RETAKE_SECONDS)
        while not parts.stopping.is_set():
            now = parts.clock.now()
            async with parts.store.view() as unit:
                view = await read_rotation(unit, rotation_id, now)
            if view is None or settled(view, now):
                return
            wait = still_to_wait(view.rotation, now).total_seconds()
            if wait <= 0:
                break
            # In short looks: another terminal may resume, retry or abort it meanwhile.
            await _pause(parts, min(wait, _RETAKE_SECONDS))


async def _pause(parts: Parts, seconds: float) -> None:
    """Sleep, unless the command is stopped first."""
    try:
        async with asyncio.timeout(max(0.05, seconds)):
            await parts.stopping.wait()
    except TimeoutError:
        return


@contextmanager
def stop_on_interrupt(parts: Parts, *, daemon: bool) -> Iterator[None]:
    """The first Ctrl-C ends after the step in hand; a second one ends at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def interrupted() -> None:
        if parts.stopping.is_set():
            task.cancel()
            return
        parts.stopping.set()
        if not daemon:
            say("stopping after the step in hand; press Ctrl-C again to cut it short")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _tell_interrupted(last: Snapshot) -> None:
    for view in last.rotations:
        if view.rotation.state not in ENDED:
            say(
                f"{view.rotation.credential_name}: rotation {view.rotation.id} is unfinished; "
                f"the daemon goes on with it, or `rotator rotate retry {view.rotation.id}`"
            )


def _tell_outcome(last: Snapshot, *, daemon: bool) -> None:
    for view in last.rotations:
        rotation = view.rotation
        say(f"{rotation.credential_name}: {told_state(view)}")
        if rotation.parked is not None:
            say(f"  safe: {rotation.parked.safe}")
            say(f"  next: {rotation.parked.next_command}")
        if view.revokes_at is not None:
            say(f"  {_revoker(view, daemon=daemon)}")
        if waits_long(view, last.at):
            _tell_wait(view, daemon=daemon)


def _tell_wait(view: RotationView, *, daemon: bool) -> None:
    """What it waits for, who goes on with it, and what a person can do."""
    step = view.current_step
    assert step is not None
    say(f"  waits: {step.error}")
    who = "the daemon goes" if daemon else "`rotator run` goes"
    say(f"  old and new value are valid meanwhile; {who} on with it")
    paused = [
        each.rollout.id for each in view.rollouts if each.rollout.state is RolloutState.PAUSED
    ]
    for rollout_id in paused:
        say(
            f"  next: `rotator rollout resume {rollout_id}` or `rotator rollout abort {rollout_id}`"
        )
    if not paused:
        say(f"  next: `rotator rotate show {view.rotation.id}`")


def _revoker(view: RotationView, *, daemon: bool) -> str:
    if daemon:
        return "the daemon revokes it then"
    return (
        "`rotator run` revokes it then; without a daemon, run "
        f"`rotator rotate retry {view.rotation.id}` after {moment(view.revokes_at)}"
    )


async def full_id(unit: Unit, given: str) -> str:
    """The id of a rotation from its beginning or its end, where that names just one.

    Raises:
        InputError: there is none, or several fit.
    """
    wanted = given.upper()
    if await unit.rotation(wanted) is not None:
        return wanted
    newest = await unit.rotations(limit=1000)
    fitting = [
        r.id
        for r in newest
        if len(wanted) >= 4 and (r.id.endswith(wanted) or r.id.startswith(wanted))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{given!r} fits {len(fitting)} rotations", next_step="give the whole id")
    raise InputError(
        f"there is no rotation {given!r}", next_step="`rotator rotate show` lists them"
    )
