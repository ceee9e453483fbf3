"""`rotator drift`: list, settle."""

from __future__ import annotations

from typing import Annotated

import typer

drift = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
)
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@drift.callback()
def root(context: typer.Context, as_json: _JSON = False) -> int | None:
    """List the app secrets that hold somebody else's value, since when, and by whom.

    Where rotator and somebody else have undone each other three times, rotator has stopped
    writing. Stop the other one, or take the target out of the manifest; then
    `rotator drift settle NAME`.
    """
    if context.invoked_subcommand is not None:
        return None
    from rotator.cli.drifted import show_drift
    from rotator.cli.session import run_async

    raise typer.Exit(run_async(show_drift(as_json=as_json)))


@drift.command()
def settle(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")] = "",
) -> int:
    """The other writer has stopped: let rotator write again.

    The credential is rotated at the next opening of its window, and its value replaces theirs.
    """
    from rotator.cli.drifted import settle_drift
    from rotator.cli.session import run_async

    return run_async(settle_drift(name, reason))
