"""`rotator rollout`."""

from __future__ import annotations

from typing import Annotated

import typer

rollout = typer.Typer(help="Look at rolling restarts.", no_args_is_help=True, rich_markup_mode=None)


@rollout.callback()
def root() -> None:
    """Look at rolling restarts."""


@rollout.command()
def show(
    rollout_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    app: Annotated[str | None, typer.Option(help="Only those of this app.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show one rollout with every machine's times and outcome, or the newest ones."""
    from rotator.cli.history import show_rollout, show_rollouts
    from rotator.cli.session import run_async

    if rollout_id is None:
        return run_async(show_rollouts(app, limit, as_json=as_json))
    return run_async(show_rollout(rollout_id, as_json=as_json))
