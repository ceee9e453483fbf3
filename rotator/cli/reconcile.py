"""`rotator reconcile`."""

from __future__ import annotations

from typing import Annotated

import typer


def reconcile(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Hold the inventory against Fly now, as the daemon does every 15 minutes.

    Adopts what stands there, notices what is gone or was changed by somebody else, and revokes
    leftovers of rotator's own rotations. Nothing else is changed, and what is observed not at all.
    """
    from rotator.cli.reconciling import reconcile_now
    from rotator.cli.session import run_async

    return run_async(reconcile_now(tuple(names or ()), as_json=as_json))
