"""`rotator rotate now --leaked`: which credential a found token is, and away with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rotator.cli.asking import confirmed
from rotator.cli.failures import FAILED, PARTLY
from rotator.cli.inspected import FORMS, sentence
from rotator.cli.inspecting import refuse_tokens, token_text
from rotator.cli.rotating import carried, told_code
from rotator.cli.session import daemon_is_running, opened
from rotator.cli.sweeping import SweepOptions, carry_out
from rotator.cli.text import moment, one_line, print_json, say
from rotator.domain.credential import Credential, CredentialStatus, Version
from rotator.domain.errors import InputError, Refused
from rotator.domain.leak import COURSES, Course, Found
from rotator.domain.lineage import Recognised
from rotator.domain.rotation import ENDED, Mode
from rotator.domain.secret import Secret
from rotator.domain.sweep import Scope
from rotator.engine import leak, sweep
from rotator.engine.lineage import recognise
from rotator.fly.bundle import Bundle, Form, read_bundle
from rotator.fly.inspection import Reading, read_token
from rotator.fly.macaroon import MacaroonError
from rotator.fly.tracing import traces

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


@dataclass(frozen=True)
class Finding:
    """What the text is: a tracked version, or else what can be told of it."""

    value: Secret
    bundle: Bundle | None
    readings: Sequence[Reading]
    version: tuple[Credential, Version] | None
    how: str
    alive: Sequence[str] | None = None
    listed: Sequence[Found] = ()


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
        finding = await _find(rotator, value)
        if not options.as_json:
            _tell(finding, began)
        if finding.version is not None:
            return await _tracked(rotator, finding, options, began)
        code = await _untracked(rotator, finding, options, began)
        if options.scope is None or code:
            return code
        return await _others(rotator, options, options.scope)


async def _find(rotator: Rotator, value: Secret) -> Finding:
    bundle, readings = _read(value)
    known: Recognised | None = None
    if bundle is not None and bundle.permissions:
        recognised = await recognise(rotator.parts, traces(value))
        known = recognised[0] if recognised else None
    if known is not None:
        at = (known.credential, known.version)
        return Finding(value, bundle, readings, at, known.sentence)
    same = await leak.same_value(rotator.parts, value)
    if same is not None:
        return Finding(value, bundle, readings, same, f"it is the value of {same[0].name}")
    if bundle is None or all(each.form is Form.UNKNOWN for each in bundle.members):
        raise InputError(
            "that is no token that Fly is known for, and no value that rotator holds",
            where="standard input",
            next_step="give all of it, as it was found",
        )
    tokens = rotator.client.leaked
    alive = await tokens.accepted(value)
    slugs = await leak.organizations_of(rotator.parts, alive or ())
    listed = await tokens.listed(value, slugs)
    return Finding(value, bundle, readings, None, "rotator does not track it", alive, listed)


def _read(value: Secret) -> tuple[Bundle | None, Sequence[Reading]]:
    try:
        bundle = read_bundle(value.reveal())
    except MacaroonError:
        return None, ()
    return bundle, [read_token(each, bundle) for each in bundle.permissions]


def _tell(finding: Finding, now: datetime) -> None:
    for reading in finding.readings:
        say(f"{reading.kind} {reading.fingerprint}")
        say(f"  {sentence(reading, now)}")
    for member in finding.bundle.members if finding.bundle and not finding.readings else ():
        say(FORMS[member.form])
    say(f"  {finding.how}")
    if finding.version is not None:
        _, version = finding.version
        told = version.issued.name if version.issued else "no name"
        say(f"  version {version.id} ({version.state.value}), {told} at its issuer")
        return
    for each in finding.listed:
        ended = f", revoked {moment(each.revoked_at)}" if each.revoked_at else ""
        say(
            f"  at Fly: {each.name!r} ({each.ref}), made by {each.made_by or 'nobody named'} "
            f"{moment(each.created_at)}{ended}"
        )
    if len(finding.listed) > 1:
        say("  these can't be told apart from outside, so it is revoked by its own text")
    alive = "accepts" if finding.alive is not None else "does not accept"
    say(f"  Fly {alive} it")


async def _tracked(
    rotator: Rotator, finding: Finding, options: LeakOptions, began: datetime
) -> int:
    assert finding.version is not None
    credential, version = finding.version
    parts, reason = rotator.parts, one_line(options.reason) or "a copy of it leaked"
    scope = options.scope
    if scope is not None and not scope.holds(credential.spec):
        raise InputError(
            f"{credential.name} is not in {scope}",
            where="--everything",
            next_step=f"use --org {credential.spec.organization}",
        )
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
    question = f"Replace everything in {scope} now?"
    if not confirmed(question, yes=options.yes):
        raise InputError(
            "nothing was done: it restarts machines and revokes values at once",
            where="--everything",
            next_step="say --yes",
        )
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
    parts, tokens = rotator.parts, rotator.client.leaked
    waits = response.course in (Course.ROTATE, Course.HASTEN)
    try:
        if response.course is Course.GONE:
            kill.how = "it was revoked before"
        elif waits and await _gone_within(rotator, response.version):
            kill.how = "the rotation revoked it"
        else:
            kill.how = await leak.revoke_beside(parts, response, reason)
        if finding.readings and await leak.refused(
            parts, tokens, finding.value, leak.REFUSAL_PATIENCE
        ):
            kill.seconds = (parts.clock.now() - kill.began).total_seconds()
    except (Refused, InputError) as error:
        kill.problem = str(error)
    if not quiet:
        _tell_kill(kill, finding)


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


def _is_own(rotator: Rotator, finding: Finding) -> bool:
    own = {trace.lineage for trace in traces(rotator.client.token.value)}
    return any(reading.lineage in own for reading in finding.readings)


async def _untracked(
    rotator: Rotator, finding: Finding, options: LeakOptions, began: datetime
) -> int:
    """A token of which nobody knows who uses it: told, and revoked when a person says so."""
    parts, tokens = rotator.parts, rotator.client.leaked
    kill = Kill(began)
    one = finding.listed[0] if len(finding.listed) == 1 else None
    own = _is_own(rotator, finding)
    if own:
        say("IT IS ROTATOR'S OWN API TOKEN: give rotator another one before it goes")
    if finding.alive is None:
        kill.how, kill.seconds = "Fly refuses it already", 0.0
    elif not confirmed("Nothing replaces it: whoever uses it stops. Revoke it?", yes=options.yes):
        say("it still works; `--yes` revokes it")
        if options.as_json:
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
