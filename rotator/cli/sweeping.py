"""`rotator rotate now --everything`: replace all that an attacker could have taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rotator.cli.asking import confirmed
from rotator.cli.failures import FAILED, INTERRUPTED, PARTLY
from rotator.cli.progress import Progress
from rotator.cli.rotating import drive, stop_on_interrupt
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.sweep_view import SweepView, Told, headline, look, news, picture
from rotator.cli.text import moment, one_line, print_json, say
from rotator.domain.credential import Credential
from rotator.domain.errors import InputError, RotatorError
from rotator.domain.protocol import rolled_apps
from rotator.domain.rotation import ENDED, Mode, Rotation
from rotator.domain.sweep import Scope
from rotator.engine import sweep as engine
from rotator.fly.tokens import ListedToken
from rotator.wiring import Rotator

LOOK_SECONDS = 1.0
_SHOWN = 20


@dataclass(frozen=True)
class SweepOptions:
    """What the person said beside the scope."""

    yes: bool
    reason: str
    mode: Mode
    dry_run: bool
    wait: bool
    as_json: bool


def scope_of(app: str | None, organization: str | None) -> Scope:
    """The scope that the options name.

    Raises:
        InputError: none, or both.
    """
    if bool(app) == bool(organization):
        raise InputError(
            "say where the attacker was: --app APP or --org ORGANISATION", where="--everything"
        )
    return Scope(app=app, organization=organization)


async def replace_everything(scope: Scope, options: SweepOptions) -> int:
    """Say what it comes to, ask, and do it."""
    async with opened(online=True) as rotator:
        daemon = await daemon_is_running(rotator.store)
        if not daemon and rotator.settings.manifest.exists():
            await rotator.sync()
        chosen = await engine.in_scope(rotator.parts, scope)
        if not chosen:
            say(f"nothing to replace: rotator tracks nothing in {scope}")
            return 0
        left = await engine.unfinished(rotator.parts, scope)
        strangers = await _untracked(rotator, scope)
        if not options.as_json:
            if left is not None:
                say(f"going on with what was begun at {moment(left)}")
            _tell(scope, chosen, strangers)
        if options.dry_run:
            if options.as_json:
                print_json({"scope": scope, "credentials": [c.name for c in chosen]})
            return 0
        if left is None and not confirmed("Replace them all now?", yes=options.yes):
            raise InputError(
                "nothing was done: it restarts machines and revokes values at once",
                where="--everything",
                next_step="look with --dry-run, then say --yes",
            )
        reason = one_line(options.reason) or f"everything in {scope}"
        swept = await engine.begin(rotator.parts, scope, reason, options.mode)
        return await carry_out(rotator, swept, reason, options, daemon=daemon)


def _tell(scope: Scope, chosen: Sequence[Credential], strangers: Sequence[str]) -> None:
    apps = {app for each in chosen for app in rolled_apps(each.spec)}
    say(
        f"{scope}: {len(chosen)} credentials, machines of {len(apps)} apps restart once each, "
        "no overlap; in this order:"
    )
    for credential in chosen[:_SHOWN]:
        where = ", ".join(target.key for target in credential.spec.targets)
        say(f"  {credential.name} ({credential.spec.kind}) → {where}")
    if len(chosen) > _SHOWN:
        say(f"  and {len(chosen) - _SHOWN} more")
    if strangers:
        say("not tracked, so NOT replaced; look whether they are still needed:")
    for line in strangers[:_SHOWN]:
        say(f"  {line}")
    if len(strangers) > _SHOWN:
        say(f"  and {len(strangers) - _SHOWN} more")


async def _untracked(rotator: Rotator, scope: Scope) -> Sequence[str]:
    """What else an attacker there could have taken, as far as Fly lists it."""
    client, now = rotator.client, rotator.parts.clock.now()
    try:
        listed: Sequence[ListedToken] = (
            await client.tokens.of_app(scope.app)
            if scope.app
            else await client.tokens.of_organization(scope.organization or "")
        )
        names = [s.name for s in await client.secrets.secrets(scope.app)] if scope.app else []
    except RotatorError as error:
        return [f"(Fly's lists can't be read: {error})"]
    async with rotator.store.view() as unit:
        refs: set[str] = set()
        delivered: set[str] = set()
        for credential in await unit.credentials():
            for version in await unit.versions(credential.id):
                refs |= {version.issued.ref} if version.issued else set()
            delivered |= {target.key for target in credential.spec.targets}
    own = await _own_refs(rotator, scope)
    tokens = [
        f"token {each.name!r} is rotator's own: give it another one, see `rotator token needed`"
        if each.id in own
        else f"token {each.name!r} of {each.user_email or 'nobody named'}, until "
        f"{moment(each.expires_at)}: `fly tokens revoke {each.id}`"
        for each in listed
        if each.alive(now) and each.id not in refs
    ]
    secrets = [
        f"app secret {name} of {scope.app}"
        for name in names
        if f"fly-secret:{scope.app}/{name}" not in delivered
    ]
    return [*tokens, *secrets]


async def _own_refs(rotator: Rotator, scope: Scope) -> frozenset[str]:
    if scope.organization is None:
        return frozenset()
    own = rotator.client.token.value
    found = await rotator.client.leaked.listed(own, [scope.organization])
    return frozenset(each.ref for each in found)


async def carry_out(
    rotator: Rotator, swept: engine.Sweep, reason: str, options: SweepOptions, *, daemon: bool
) -> int:
    """See it through here, or look on at a daemon that does it; tell how it ended."""
    if not options.wait:
        if not options.as_json:
            say(f"{len(swept.rotations)} rotations are queued")
        else:
            print_json(_as_data(SweepView(swept, rotator.parts.clock.now())))
        return 0 if daemon else PARTLY
    with stop_on_interrupt(rotator.parts, daemon=daemon):
        view = await _see_through(rotator, swept, reason, options, daemon=daemon)
    if options.as_json:
        print_json(_as_data(view))
    else:
        _tell_end(view, rotator.parts.limits.emergency_concurrency)
    if not view.over:
        return INTERRUPTED
    if view.replaced == view.total:
        return 0
    return PARTLY if view.replaced else FAILED


async def _see_through(
    rotator: Rotator, swept: engine.Sweep, reason: str, options: SweepOptions, *, daemon: bool
) -> SweepView:
    parts = rotator.parts
    view, told = SweepView(swept, parts.clock.now()), Told()
    lanes = parts.limits.emergency_concurrency
    room = asyncio.Semaphore(lanes)
    begun: set[str] = set()

    def take_up(group: asyncio.TaskGroup, rotations: Sequence[Rotation]) -> None:
        for each in rotations:
            if each.id not in begun and each.state not in ENDED and not daemon:
                begun.add(each.id)
                group.create_task(drive(parts, each.id, room))

    live = None if not options.as_json else False
    with Progress(live=live) as progress:
        async with asyncio.TaskGroup() as group:
            while True:
                take_up(group, [*view.sweep.rotations, *view.sweep.late])
                await look(rotator.store, view, parts.clock.now())
                lines = () if options.as_json else news(view, told, lanes)
                progress.update(partial(picture, view, lanes), lines)
                if view.over or parts.stopping.is_set():
                    break
                await parts.clock.sleep(LOOK_SECONDS)
                if view.sweep.late:
                    view.sweep = await engine.ask_late(parts, view.sweep, reason, options.mode)
        await look(rotator.store, view, parts.clock.now())
    return view


def _tell_end(view: SweepView, lanes: int) -> None:
    if not view.over:
        say(
            f"stopped: {view.replaced} of {view.total} are replaced; the same command goes on with "
            "the rest, and so does `rotator run`"
        )
        return
    say(headline(view, lanes))
    for rotation in view.stuck:
        say(f"{rotation.credential_name}: {rotation.state.value.replace('_', ' ')}")
        if rotation.parked is not None:
            say(f"  {rotation.parked.cause}")
            say(f"  safe: {rotation.parked.safe}")
            say(f"  next: {rotation.parked.next_command}")
    for name in view.sweep.blocked:
        say(f"{name}: NOT replaced, its last rotation is parked: `rotator rotate show`")


def _as_data(view: SweepView) -> object:
    return {
        "scope": view.sweep.scope,
        "asked_at": view.sweep.asked_at,
        "resumed": view.sweep.resumed,
        "over": view.over,
        "replaced": view.replaced,
        "total": view.total,
        "blocked": view.sweep.blocked,
        "rotations": [
            {"id": r.id, "credential": r.credential_name, "state": r.state, "ended_at": r.ended_at}
            for r in (view.rotations.get(known.id, known) for known in view.sweep.rotations)
        ],
    }
