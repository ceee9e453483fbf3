"""`rotator list` and `rotator show`."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.options import app_name

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_credentials(
    app: Annotated[
        str | None, typer.Option(help="Only those that this app reads.", callback=app_name)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only those of this kind.")] = None,
    due: Annotated[bool, typer.Option("--due", help="Only those that are due.")] = False,
    as_json: _JSON = False,
) -> int:
    """List what is tracked: state, age, when it is due."""
    from rotator.cli.listing import show_inventory
    from rotator.cli.session import run_async

    return run_async(show_inventory(app, kind, only_due=due, as_json=as_json))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    as_json: _JSON = False,
) -> int:
    """Show one credential: policy, targets, versions, rotations."""
    from rotator.cli.listing import show_credential
    from rotator.cli.session import run_async

    return run_async(show_credential(name, as_json=as_json))
