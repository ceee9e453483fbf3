"""`rotator plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="As `rotate now --emergency` would do it.")
    ] = False,
    revoke_first: Annotated[
        bool, typer.Option("--revoke-first", help="As `rotate now --revoke-first` would do it.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write it to a file, for `rotate now --plan`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show what rotating would do, step by step.

    Changes nothing. Without names, all credentials of the manifest are planned.
    """
    from rotator.cli.planning import show_plans
    from rotator.cli.session import run_async
    from rotator.domain.rotation import Mode

    mode = Mode.REVOKE_FIRST if revoke_first else Mode.EMERGENCY if emergency else Mode.NORMAL
    return run_async(show_plans(tuple(names or ()), mode, out=out, as_json=as_json))
