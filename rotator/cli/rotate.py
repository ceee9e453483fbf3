"""`rotator rotate`: now, show, approve, retry, abort, undo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.options import app_name, organization_slug

rotate = typer.Typer(
    help="Rotate now; look at, approve, retry, abort or undo a rotation.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_REASON = Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")]
_NO_WAIT = Annotated[
    bool, typer.Option("--no-wait", help="Only ask for it; a running daemon does the work.")
]


@rotate.command("now")
def now(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
    app: Annotated[
        str | None, typer.Option(help="All credentials that this app reads.", callback=app_name)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="All credentials of this kind.")] = None,
    all_due: Annotated[bool, typer.Option("--all-due", help="All that are due.")] = False,
    reason: _REASON = "",
    leaked: Annotated[
        bool,
        typer.Option(
            "--leaked", help="A token leaked: read it from standard input, and make it worthless."
        ),
    ] = False,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="With --app or --org: all that could have been taken."),
    ] = False,
    org: Annotated[
        str | None,
        typer.Option(help="With --everything: an organisation.", callback=organization_slug),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    emergency: Annotated[
        bool,
        typer.Option("--emergency", help="No overlap: revoke the old value once the new is in."),
    ] = False,
    revoke_first: Annotated[
        bool,
        typer.Option("--revoke-first", help="Revoke the old value before delivering the new one."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would happen, change nothing.")
    ] = False,
    no_wait: _NO_WAIT = False,
    plan: Annotated[
        Path | None,
        typer.Option(help="A file from `rotator plan --out`; refuse if the world has changed."),
    ] = None,
    as_json: _JSON = False,
) -> int:
    """Rotate credentials now, and show how it goes.

    A running daemon does the work; without one, this command does it itself.

    --leaked tells which credential a found token is (also a narrowed copy, or one that rotator
    does not track), replaces it and revokes it first. --everything replaces all that an attacker
    could have taken from an app or an organisation, without an overlap, with one rollout for each
    app; interrupted, the same command goes on with it.
    """
    from rotator.cli.leaking import LeakOptions, rotate_leaked
    from rotator.cli.rotating import Selection, rotate_now
    from rotator.cli.session import run_async
    from rotator.cli.sweeping import SweepOptions, replace_everything, scope_of
    from rotator.domain.errors import InputError
    from rotator.domain.rotation import Mode

    mode = Mode.REVOKE_FIRST if revoke_first else Mode.EMERGENCY if emergency else Mode.NORMAL
    scope = scope_of(app, org) if everything else None
    if leaked:
        _refuse_with("--leaked", kind, plan, all_due, dry_run, not everything and (app or org))
        options = LeakOptions(yes, reason, not no_wait, as_json, scope)
        return run_async(rotate_leaked(names or [], options))
    if scope is not None:
        _refuse_with("--everything", names, kind, plan, all_due)
        whole = mode if revoke_first else Mode.EMERGENCY
        swept = SweepOptions(yes, reason, whole, dry_run, not no_wait, as_json)
        return run_async(replace_everything(scope, swept))
    if org is not None:
        raise InputError("goes with --everything", where="--org")
    selection = Selection(tuple(names or ()), app=app, kind=kind, all_due=all_due, plan=plan)
    return run_async(
        rotate_now(
            selection, mode, reason=reason, dry_run=dry_run, wait=not no_wait, as_json=as_json
        )
    )


def _refuse_with(option: str, *others: object) -> None:
    from rotator.domain.errors import InputError

    if any(others):
        raise InputError(
            "does not go with what else was chosen; see `rotator rotate now --help`", where=option
        )


@rotate.command("show")
def show(
    rotation: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    credential: Annotated[str | None, typer.Option(help="Only those of this credential.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: _JSON = False,
) -> int:
    """Show one rotation with its steps, or the newest ones."""
    from rotator.cli.history import show_rotation, show_rotations
    from rotator.cli.session import run_async

    if rotation is None:
        return run_async(show_rotations(credential, limit, as_json=as_json))
    return run_async(show_rotation(rotation, as_json=as_json))


@rotate.command("approve")
def approve(
    alert: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    no: Annotated[bool, typer.Option("--refuse", help="Say no: the value stays as it is.")] = False,
    reason: _REASON = "",
    no_wait: _NO_WAIT = False,
    as_json: _JSON = False,
) -> int:
    """Approve what a hook was told of and waits for a person, or list what waits.

    A leaked value of a tracked credential is replaced and revoked, one that nobody tracks is
    revoked. Who approved it, when and why is in the audit log. What nobody approves in time lapses.
    """
    from rotator.cli.approving import Word, decide, show_waiting
    from rotator.cli.session import run_async
    from rotator.domain.errors import InputError

    if alert is None:
        if no or reason or no_wait:
            raise InputError("which one?", where="ID", next_step="leave all away to list them")
        return run_async(show_waiting(as_json=as_json))
    return run_async(decide(alert, Word(reason, not no_wait, as_json), no=no))


@rotate.command("retry")
def retry(
    rotation: Annotated[str, typer.Argument(metavar="ID")],
    reason: _REASON = "",
    no_wait: _NO_WAIT = False,
) -> int:
    """Let a parked rotation go on, or try a waiting one again at once."""
    from rotator.cli.session import run_async
    from rotator.cli.turning import retry_rotation

    return run_async(retry_rotation(rotation, reason, wait=not no_wait))


@rotate.command("abort")
def abort(
    rotation: Annotated[str, typer.Argument(metavar="ID")],
    reason: _REASON = "",
    no_wait: _NO_WAIT = False,
) -> int:
    """Turn a rotation back before its new value is in use everywhere.

    What was delivered is restored, the new value revoked. After that, see `undo`.
    """
    from rotator.cli.session import run_async
    from rotator.cli.turning import abort_rotation

    return run_async(abort_rotation(rotation, reason, wait=not no_wait))


@rotate.command("undo")
def undo(
    rotation: Annotated[str, typer.Argument(metavar="ID")],
    reason: _REASON = "",
    no_wait: _NO_WAIT = False,
) -> int:
    """Within the overlap, put the consumers back on the old value.

    It is restored where the new one was delivered, machines restart with the care of a rollout,
    and the new value is revoked.
    """
    from rotator.cli.session import run_async
    from rotator.cli.turning import undo_rotation

    return run_async(undo_rotation(rotation, reason, wait=not no_wait))
