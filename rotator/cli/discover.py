"""`rotator discover`."""

from __future__ import annotations

from typing import Annotated

import typer

from rotator.cli.options import organization_slug


def discover(
    org: Annotated[
        list[str] | None,
        typer.Option(
            "--org", metavar="SLUG", help="Only this organisation.", callback=organization_slug
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="token, secret, wireguard-peer or certificate."
        ),
    ] = None,
    untracked: Annotated[
        bool, typer.Option("--untracked", help="Only what no credential tracks.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Add what you pick to the manifest, observed only.")
    ] = False,
    pick: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="With --write: a thing, or a pattern with *."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="With --write: all that is shown and can be tracked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List what stands at Fly: tokens, app secrets, WireGuard peers, certificates.

    With age, end, who made it, whether it is tracked, and how bad a leak would be, the worst
    first. Reads only, a few calls for each organisation. --write adds entries to the manifest
    with mode = "observe": rotator looks at them, and changes nothing before you take that out.
    """
    from rotator.cli.discovering import Wanted, show_discovery
    from rotator.cli.session import run_async

    wanted = Wanted(tuple(org or ()), tuple(kind or ()), untracked, tuple(pick or ()), everything)
    return run_async(show_discovery(wanted, write=write, as_json=as_json))
