"""`rotator audit`: query and verify the log."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

audit = typer.Typer(
    help="Query the audit log, or verify it.",
    rich_markup_mode=None,
)


class Format(StrEnum):
    """How events are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


@audit.callback(invoke_without_command=True)
def query(
    context: typer.Context,
    app: Annotated[str | None, typer.Option(help="Events about this app.")] = None,
    kind: Annotated[str | None, typer.Option(help="Events about this kind.")] = None,
    credential: Annotated[str | None, typer.Option(help="Events about this credential.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who, or the beginning of it.")] = None,
    action: Annotated[
        str | None, typer.Option(help="What, such as version.revoked, or rotation for all of them.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="intent, ok, failed, waiting, info or unknown.")
    ] = None,
    rotation: Annotated[str | None, typer.Option(help="Events of this rotation.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Not older than 7d, or a date or time such as 2026-11-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Older than that.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most this many.")] = 50,
    output: Annotated[Format, typer.Option("--format", "-f", help="How.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> int:
    """Query the audit log, newest first."""
    if context.invoked_subcommand is not None:
        return 0
    from rotator.cli.auditing import Filters, show_events
    from rotator.cli.session import run_async

    filters = Filters(
        app=app,
        kind=kind,
        credential=credential,
        actor=actor,
        action=action,
        outcome=outcome,
        rotation=rotation,
        since=since,
        until=until,
        limit=limit,
    )
    return run_async(show_events(filters, "jsonl" if as_json else output.value))


@audit.command()
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Walk the whole log: every hash, every link, every signed checkpoint."""
    from rotator.cli.auditing import verify_events
    from rotator.cli.session import run_async

    return run_async(verify_events(as_json=as_json))
