"""`rotator rollout`: list, show, watch, pause, resume, abort."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.options import app_name

rollout = typer.Typer(
    help="Look at rolling restarts; watch, pause, resume or abort one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_APP = Annotated[str | None, typer.Option(help="Only those of this app.", callback=app_name)]
_STATE = Annotated[
    str | None,
    typer.Option(help="running, paused, succeeded, partial, failed or abandoned."),
]
_LIMIT = Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_REASON = Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")]
_ID = Annotated[str, typer.Argument(metavar="ID", help="The id, or its beginning or end.")]


@rollout.command("list")
def list_rollouts(
    app: _APP = None, state: _STATE = None, limit: _LIMIT = 20, as_json: _JSON = False
) -> int:
    """List rollouts, newest first."""
    from rotator.cli import rollouts
    from rotator.cli.session import run_async

    return run_async(rollouts.list_rollouts(app, state, limit, as_json=as_json))


@rollout.command()
def show(
    rollout_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    app: _APP = None,
    limit: _LIMIT = 20,
    as_json: _JSON = False,
) -> int:
    """Draw the record of one rollout, or list the newest.

    A line a machine, bars over time, waves marked, and every phase's time.
    """
    from rotator.cli import rollouts
    from rotator.cli.session import run_async

    if rollout_id is None:
        return run_async(rollouts.list_rollouts(app, None, limit, as_json=as_json))
    return run_async(rollouts.show_rollout(rollout_id, as_json=as_json))


@rollout.command()
def watch(
    rollout_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    app: _APP = None,
) -> int:
    """Watch a rollout until it ends.

    Without an id it is the newest one that is under way. Ends with 0 when the rollout went well,
    or within its failure budget, and with 1 when it failed.
    """
    from rotator.cli.session import run_async
    from rotator.cli.watching import watch_rollout

    return run_async(watch_rollout(rollout_id, app))


@rollout.command()
def pause(rollout_id: _ID, reason: _REASON = "") -> int:
    """Stop a rollout before its next wave.

    Machines that it has in hand are finished first.
    """
    from rotator.cli.rollout_control import pause_rollout
    from rotator.cli.session import run_async

    return run_async(pause_rollout(rollout_id, reason))


@rollout.command()
def resume(rollout_id: _ID, reason: _REASON = "") -> int:
    """Let a paused rollout go on.

    A machine that had failed is looked at again.
    """
    from rotator.cli.rollout_control import resume_rollout
    from rotator.cli.session import run_async

    return run_async(resume_rollout(rollout_id, reason))


@rollout.command()
def abort(rollout_id: _ID, reason: _REASON = "") -> int:
    """Turn a rollout back.

    Every rotation that it serves is turned back: the old value is put back, and the machines that
    took the new one restart.
    """
    from rotator.cli.rollout_control import abort_rollout
    from rotator.cli.session import run_async

    return run_async(abort_rollout(rollout_id, reason))
