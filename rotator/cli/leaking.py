"""`rotator rotate now --leaked`: which credential a found token is, and away with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rotator.cli.asking import confirmed
from rotator.cli.failures import FAILED, PARTLY
from rotator.cli.inspecting import refuse_tokens, token_text
from rotator.cli.leak_finding import Finding, find, tell
from rotator.cli.rotating import carried, told_code
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.sweeping import SweepOptions, carry_out
from rotator.cli.text import one_line, print_json, say
from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.errors import InputError, RetryLater, RotatorError
from rotator.domain.leak import COURSES, Course
from rotator.domain.rotation import ENDED, Mode
from rotator.domain.sweep import Scope
from rotator.engine import leak, sweep

if TYPE_CHECKING:
    from rotator.wiring import Rotator

HOW: Final = "use `rotator rotate now --leaked < FILE`, or paste it where it asks"


@dataclass(frozen=True)
class LeakOptions:
    """What the person said beside the token."""

    yes: bool
    reason: str
    wait: bool
    as_json: bool
    scope: Scope | None = None


@dataclass
class Kill:
    """How the leaked value went: what revoked it, and after how long it was seen refused."""

    began: datetime
    how: str = ""
    seconds: float | None = None
    problem: str = ""


async def rotate_leaked(names: Sequence[str], options: LeakOptions) -> int:
    """Read the token, tell what it is, and make it worthless."""
    refuse_tokens(names, HOW)
    if names:
        raise InputError(
            "with --leaked the token says which credential it is", next_step="leave names away"
        )
    value = token_text((), None)
    if not value.reveal():
        raise InputError("there is no token", where="standard input", next_step=HOW)
    async with opened(online=True) as rotator:
        began = rotator.parts.clock.now()
        finding = await find(rotator, value)
        if not options.as_json:
            tell(finding, began)
        if finding.version is not None:
            return await _tracked(rotator, finding, options, began)
        code = await _untracked(rotator, finding, options, began)
        if options.scope is None or code:
            return code
        return await _others(rotator, options, options.scope)


async def _tracked(
    rotator: Rotator, finding: Finding, options: LeakOptions, began: datetime
) -> int:
    assert finding.version is not None
    credential, version = finding.version
    parts, reason = rotator.parts, one_line(options.reason) or "a copy of it leaked"
    scope = options.scope
    if scope is not None:
        _refuse_unfit(scope, credential, yes=options.yes)
    response = await leak.respond(
        parts,
        credential,
        version,
        reason,
        finding.how,
        replaced_with_others=scope is not None,
    )
    unmanaged = credential.status is not CredentialStatus.MANAGED
    if not options.as_json:
        say(f"{credential.name}: {COURSES[response.course]}")
    if response.course is Course.REVOKE and unmanaged:
        question = f"{credential.name} is not in the manifest, so nothing replaces it. Revoke it?"
        if not confirmed(question, yes=options.yes):
            say("not revoked: put it into the manifest, or say --yes")
            return PARTLY
    daemon = await daemon_is_running(rotator.store)
    if scope is not None:
        return await _with_others(rotator, finding, response, options, scope, daemon=daemon)
    if not options.wait and response.course in (Course.ROTATE, Course.HASTEN):
        return _left(response, options, daemon=daemon)
    kill, code = await _carry_out(
        rotator, finding, response, reason, daemon=daemon, quiet=options.as_json, began=began
    )
    if options.as_json:
        print_json(_as_data(finding, response, kill))
    else:
        _tell_kill(kill, finding, next_step=True)
    return code if kill.seconds is not None or not finding.readings else max(code, FAILED)


def _refuse_unfit(scope: Scope, credential: Credential, *, yes: bool) -> None:
    """Before anything is begun: the scope has to hold the credential, and a person to want it."""
    if not scope.holds(credential.spec):
        raise InputError(
            f"{credential.name} is not in {scope}",
            where="--everything",
            next_step=f"use --org {credential.spec.organization}",
        )
    if not confirmed(f"Replace everything in {scope} now?", yes=yes):
        raise InputError(
            "nothing was done: it restarts machines and revokes values at once",
            where="--everything",
            next_step="say --yes",
        )


async def _others(rotator: Rotator, options: LeakOptions, scope: Scope) -> int:
    """After a token that nobody tracks: everything that it could have taken."""
    reason = one_line(options.reason) or "a token leaked"
    daemon = await daemon_is_running(rotator.store)
    swept = await sweep.begin(rotator.parts, scope, reason, Mode.EMERGENCY)
    return await carry_out(rotator, swept, reason, _swept(options, reason), daemon=daemon)


async def _with_others(
    rotator: Rotator,
    finding: Finding,
    response: leak.Response,
    options: LeakOptions,
    scope: Scope,
    *,
    daemon: bool,
) -> int:
    """The leaked one first, and with it everything else that could have been taken."""
    parts, reason = rotator.parts, one_line(options.reason) or "a copy of a token leaked"
    leaked = response.credential.name if response.course is Course.ROTATE else None
    kill = Kill(parts.clock.now())
    swept = await sweep.begin(parts, scope, reason, Mode.EMERGENCY, leaked=leaked)
    how = _swept(options, reason)
    async with asyncio.TaskGroup() as group:
        dying = _see_it_die(rotator, finding, response, kill, reason, quiet=options.as_json)
        group.create_task(dying)
        code = await carry_out(rotator, swept, reason, how, daemon=daemon)
    return code if kill.seconds is not None else max(code, FAILED)


def _left(response: leak.Response, options: LeakOptions, *, daemon: bool) -> int:
    if options.as_json:
        print_json({"course": response.course, "rotation": response.rotation})
    elif not daemon:
        say("no daemon is running: it begins when `rotator run` is started; IT STILL WORKS")
    return 0 if daemon else PARTLY


async def _carry_out(
    rotator: Rotator,
    finding: Finding,
    response: leak.Response,
    reason: str,
    *,
    daemon: bool,
    quiet: bool,
    began: datetime,
) -> tuple[Kill, int]:
    """The rotation, and beside it the watch that the value goes whatever becomes of that."""
    kill, code = Kill(began), 0
    rotation = response.rotation
    # One that somebody has asked for before counts too: it brings the next value.
    at_work = response.course is not Course.GONE and rotation and rotation.state not in ENDED
    async with asyncio.TaskGroup() as group:
        group.create_task(_see_it_die(rotator, finding, response, kill, reason))
        if at_work and rotation is not None:
            last = await carried(rotator, [rotation], daemon=daemon, quiet=quiet)
            code = told_code(rotator.parts, last, 0, daemon=daemon, quiet=quiet)
    return kill, code


async def _see_it_die(
    rotator: Rotator,
    finding: Finding,
    response: leak.Response,
    kill: Kill,
    reason: str,
    *,
    quiet: bool = True,
) -> None:
    """Watch that it goes, or revoke it beside what is under way; then try it until it is refused.
    Told at once unless `quiet`."""
    parts, tokens, value = rotator.parts, rotator.client.leaked, finding.value
    if not parts.kinds[response.credential.spec.kind].issuer_lists:
        kill.how = "no issuer could revoke it: it is worth nothing once nothing takes it any more"
        return
    try:
        kill.how = await _revoked(rotator, finding, response, reason)
        if finding.readings and await leak.refused(parts, tokens, value, leak.REFUSAL_PATIENCE):
            kill.seconds = (parts.clock.now() - kill.began).total_seconds()
    except RotatorError as error:
        # Whatever comes of this, the rotation beside it goes on.
        kill.problem = str(error)
    if not quiet:
        _tell_kill(kill, finding)


async def _revoked(rotator: Rotator, finding: Finding, response: leak.Response, reason: str) -> str:
    """By the rotation, or beside it, tried again while Fly can't be asked. Tells how."""
    parts, clock = rotator.parts, rotator.parts.clock
    at_once = timedelta(0)
    if response.course is Course.GONE and (
        not finding.readings
        or await leak.refused(parts, rotator.client.leaked, finding.value, at_once)
    ):
        return "it was revoked before"
    waits = response.course in (Course.ROTATE, Course.HASTEN)
    if waits and await _gone_within(rotator, response.version):
        return "the rotation revoked it"
    deadline = clock.now() + leak.REFUSAL_PATIENCE
    while True:
        try:
            return await leak.revoke_beside(parts, response, reason)
        except RetryLater:
            if clock.now() >= deadline or parts.stopping.is_set():
                raise
            await clock.sleep(1)


async def _gone_within(rotator: Rotator, version: Version) -> bool:
    """Wait a little for the rotation to revoke it."""
    parts = rotator.parts
    deadline = parts.clock.now() + leak.PATIENCE
    while parts.clock.now() < deadline and not parts.stopping.is_set():
        if await leak.revoked(parts, version):
            return True
        await parts.clock.sleep(leak.LOOK_SECONDS)
    return await leak.revoked(parts, version)


def _tell_kill(kill: Kill, finding: Finding, *, next_step: bool = False) -> None:
    if kill.problem:
        say(f"NOT REVOKED: {kill.problem}")
    elif kill.seconds == 0:
        say(f"{kill.how}: nothing to do")
    elif kill.seconds is not None:
        say(f"{kill.how}; Fly refused the leaked token {kill.seconds:.1f}s after the command")
    elif finding.readings:
        say(f"{kill.how}, but FLY STILL ACCEPTS THE LEAKED TOKEN; try it again with --leaked")
    else:
        say(kill.how)
    if next_step and finding.readings and finding.version and kill.seconds is not None:
        credential = finding.version[0]
        app = credential.spec.params.get("app")
        what = f"--app {app}" if app else f"--org {credential.spec.organization}"
        say(f"next: `rotator rotate now {what} --everything` replaces what it could have taken")


async def _untracked(
    rotator: Rotator, finding: Finding, options: LeakOptions, began: datetime
) -> int:
    """A token of which nobody knows who uses it: told, and revoked when a person says so."""
    parts, tokens = rotator.parts, rotator.client.leaked
    kill = Kill(began)
    one = finding.listed[0] if len(finding.listed) == 1 else None
    shown = not options.as_json
    if shown and tokens.is_own(finding.value):
        say("IT IS ROTATOR'S OWN API TOKEN: give rotator another one before it goes")
    if finding.alive is None:
        kill.how, kill.seconds = "Fly refuses it already", 0.0
    elif not confirmed("Nothing replaces it: whoever uses it stops. Revoke it?", yes=options.yes):
        if shown:
            say("it still works; `--yes` revokes it")
        else:
            print_json(_as_data(finding, None, kill))
        return PARTLY
    else:
        reason = one_line(options.reason) or "found where it should not be"
        kill.how = await leak.revoke_found(parts, tokens, finding.value, one, reason)
        if await leak.refused(parts, tokens, finding.value, leak.REFUSAL_PATIENCE):
            kill.seconds = (parts.clock.now() - began).total_seconds()
    if options.as_json:
        print_json(_as_data(finding, None, kill))
    else:
        _tell_kill(kill, finding)
    return 0 if kill.seconds is not None else FAILED


def _as_data(finding: Finding, response: leak.Response | None, kill: Kill) -> object:
    tracked = finding.version
    return {
        "tokens": [
            {"kind": r.kind, "fingerprint": r.fingerprint, "lineage": r.lineage}
            for r in finding.readings
        ],
        "credential": tracked[0].name if tracked else None,
        "version": tracked[1].id if tracked else None,
        "recognised": finding.how,
        "listed": finding.listed,
        "course": response.course if response else None,
        "rotation": response.rotation.id if response and response.rotation else None,
        "revoked": kill.how or None,
        "problem": kill.problem or None,
        "refused_after_seconds": kill.seconds,
    }


def _swept(options: LeakOptions, reason: str) -> SweepOptions:
    return SweepOptions(
        yes=True,
        reason=reason,
        mode=Mode.EMERGENCY,
        dry_run=False,
        wait=options.wait,
        as_json=options.as_json,
    )
