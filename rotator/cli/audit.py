"""`rotator audit`: query, verify, prove and archive the log."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.options import app_name, machine_id, organization_slug, region_code

audit = typer.Typer(
    help="Query the audit log; verify, prove and archive it.",
    rich_markup_mode=None,
)
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_KEYS = Annotated[
    list[str] | None,
    typer.Option("--key", help="A key to trust, as `rotator audit key` prints it. Repeatable."),
]


class Format(StrEnum):
    """How events are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    OCSF = "ocsf"


@audit.callback(invoke_without_command=True)
def query(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Option("--text", "-t", help="With all these words; stol* is any that begins so."),
    ] = None,
    app: Annotated[
        str | None, typer.Option(help="Events about this app.", callback=app_name)
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Events about this kind.")] = None,
    credential: Annotated[str | None, typer.Option(help="Events about this credential.")] = None,
    organization: Annotated[
        str | None, typer.Option(help="Of this organisation.", callback=organization_slug)
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="About this target, such as fly-secret:web/KEY.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="About this machine.", callback=machine_id)
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Who: a kind (user, worker…), or the beginning of a name.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Done on this host.")] = None,
    uid: Annotated[int | None, typer.Option(help="Done by this user id.")] = None,
    worker_machine: Annotated[
        str | None, typer.Option(help="Done by the worker on this machine.", callback=machine_id)
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Done by a worker in this region.", callback=region_code)
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="What, such as version.revoked, rotation for all of those, or a,b,c."),
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="intent, ok, failed, waiting, info or unknown.")
    ] = None,
    rotation: Annotated[str | None, typer.Option(help="Events of this rotation.")] = None,
    rollout: Annotated[str | None, typer.Option(help="Events of this rollout.")] = None,
    request_id: Annotated[str | None, typer.Option(help="Fly's id of the request.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Not older than 7d, or a date or time such as 2026-11-01.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Older than that.")] = None,
    before: Annotated[
        int | None, typer.Option(min=1, help="Numbers below this one: the next page.")
    ] = None,
    after: Annotated[int | None, typer.Option(min=0, help="Numbers above this one.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most this many.", show_default="50; an export has all"),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with new events as they come.")
    ] = False,
    output: Annotated[Format, typer.Option("--format", "-f", help="How.")] = Format.TABLE,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> int:
    """Query the audit log, newest first."""
    if context.invoked_subcommand is not None:
        return 0
    from rotator.cli.auditing import show_events
    from rotator.cli.event_filters import Filters
    from rotator.cli.session import run_async

    filters = Filters(
        text=text,
        app=app,
        kind=kind,
        credential=credential,
        organization=organization,
        target=target,
        machine=machine,
        actor=actor,
        host=host,
        uid=uid,
        worker_machine=worker_machine,
        region=region,
        action=action,
        outcome=outcome,
        rotation=rotation,
        rollout=rollout,
        request_id=request_id,
        since=since,
        until=until,
        before=before,
        after=after,
        limit=limit,
    )
    chosen = "jsonl" if as_json else output.value
    return run_async(show_events(filters, chosen, follow=follow))


@audit.command("show")
def show_one(
    sequence: Annotated[int, typer.Argument(metavar="SEQ", min=1)],
    as_json: _JSON = False,
) -> int:
    """Show one event with every field and its hashes."""
    from rotator.cli.auditing import show_event
    from rotator.cli.session import run_async

    return run_async(show_event(sequence, as_json=as_json))


@audit.command()
def verify(
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental/--full", help="Only what came since it was last found whole, or all."
        ),
    ] = False,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="Checkpoints that were kept elsewhere: they show whether the end was cut off.",
        ),
    ] = None,
    archive: Annotated[
        list[Path] | None,
        typer.Option("--archive", metavar="FILE", help="Verify this archive with it. Repeatable."),
    ] = None,
    key: _KEYS = None,
    as_json: _JSON = False,
) -> int:
    """Verify chain, tree and signatures; name the first bad event and what was done to it."""
    from rotator.cli.session import run_async
    from rotator.cli.verifying import verify_events

    given = (tuple(checkpoint or ()), tuple(archive or ()), tuple(key or ()))
    return run_async(verify_events(*given, incremental=incremental, as_json=as_json))


@audit.command()
def prove(
    sequence: Annotated[int, typer.Argument(metavar="SEQ", min=1)],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
    archive: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The archive that the event is in.")
    ] = None,
) -> int:
    """Write the proof that an event is in the log, which `verify-proof` checks anywhere."""
    from rotator.cli.proving import prove_event
    from rotator.cli.session import run_async

    return run_async(prove_event(sequence, out, archive))


@audit.command("prove-consistency")
def prove_consistency(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A checkpoint: its file or its size.")],
    new: Annotated[
        str | None, typer.Argument(metavar="[NEW]", help="A later one; the newest if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")] = None,
) -> int:
    """Write the proof that the log of one checkpoint is the beginning of that of another."""
    from rotator.cli.proving import prove_growth
    from rotator.cli.session import run_async

    return run_async(prove_growth(old, new, out))


@audit.command("verify-proof")
def verify_proof(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    key: _KEYS = None,
    as_json: _JSON = False,
) -> int:
    """Check a proof. Needs no database, no settings and no network."""
    from rotator.cli.proving import check_proof_file

    return check_proof_file(file, tuple(key or ()), as_json=as_json)


@audit.command()
def key() -> int:
    """Print the public key that checkpoints are signed with; keep it apart from the database."""
    from rotator.cli.proving import print_key
    from rotator.cli.session import run_async

    return run_async(print_key())


@audit.command()
def checkpoint(
    show_all: Annotated[
        bool, typer.Option("--all", help="Print all that were signed, sign nothing.")
    ] = False,
) -> int:
    """Sign the log as it is now, send the checkpoint out, and print it."""
    from rotator.cli.proving import print_checkpoints, sign_now
    from rotator.cli.session import run_async

    return run_async(print_checkpoints() if show_all else sign_now())


@audit.command()
def places(as_json: _JSON = False) -> int:
    """Show where checkpoints and events are sent, how far each place is, and which ones fail."""
    from rotator.cli.places import show_places
    from rotator.cli.session import run_async

    return run_async(show_places(as_json=as_json))


@audit.command()
def archive(
    before: Annotated[str, typer.Option(help="Events older than 400d, or than a date.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The archive, such as 2025.jsonl.gz.")],
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Delete from the database what the file holds.")
    ] = False,
) -> int:
    """Write old events to a file and check it; with --confirm, delete them from the database.

    Their place in the tree stays: proofs go on to hold, and `verify --archive FILE` checks the file
    together with the log.
    """
    from rotator.cli.archiving import archive_events
    from rotator.cli.session import run_async

    return run_async(archive_events(before, out, confirm=confirm))


@audit.command()
def schema(
    ocsf: Annotated[bool, typer.Option("--ocsf", help="How events map to OCSF.")] = False,
) -> int:
    """Print what the fields, actions and outcomes of events mean, as Markdown."""
    from rotator.cli.text import say
    from rotator.domain.event_fields import markdown
    from rotator.domain.ocsf_table import ocsf_markdown

    say((ocsf_markdown() if ocsf else markdown()).rstrip())
    return 0


def history(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    since: Annotated[
        str | None, typer.Option(help="Not older than 90d, or a date such as 2026-11-01.")
    ] = None,
    as_json: _JSON = False,
) -> int:
    """Tell a credential's life: its values and rotations, why, by whom, and how they ended."""
    from rotator.cli.session import run_async
    from rotator.cli.story import tell_history

    return run_async(tell_history(name, since, as_json=as_json))
