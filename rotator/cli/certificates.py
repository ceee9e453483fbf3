"""`rotator certificates`."""

from __future__ import annotations

from typing import Annotated

import typer


def certificates(
    org: Annotated[
        list[str] | None,
        typer.Option("--org", metavar="SLUG", help="An organisation; the manifest's by default."),
    ] = None,
    app: Annotated[str | None, typer.Option(metavar="APP", help="Only this app.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show certificates of apps: what both of Fly's APIs and a handshake say, and their ends.

    Looks now, and changes nothing. The daemon looks a few times a day: it tells ends that come
    near without a renewal at 30, 14, 7 and 1 days and asks Fly to look again at late ones.
    """
    from rotator.cli.certificate_look import show_certificates
    from rotator.cli.session import run_async

    return run_async(show_certificates(tuple(org or ()), app, as_json=as_json))
