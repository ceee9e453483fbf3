"""`rotator taint`."""

from __future__ import annotations

from typing import Annotated

import typer


def taint(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for the audit log.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be replaced, change nothing.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Only ask for it; a running daemon does the work.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Assume that a credential has leaked: replace it and all that could be had with it.

    A token that may change an app, or log in to it, opens every secret in it; what else comes from
    what is said by `derived_from` in the manifest. Replaced are the leaked one first, then wave by
    wave what follows, each without an overlap, and each wave only once the one before is revoked:
    else the thief would read the new values as well. Without NAME, lists what is under way.
    """
    from rotator.cli.session import run_async
    from rotator.cli.tainting import show_taints, taint_credential

    if name is None:
        return run_async(show_taints(as_json=as_json))
    return run_async(
        taint_credential(name, reason, dry_run=dry_run, wait=not no_wait, as_json=as_json)
    )
