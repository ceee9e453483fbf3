"""The `rotator` command."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from rotator import __version__
from rotator.cli.audit import audit, history
from rotator.cli.certificates import certificates
from rotator.cli.discover import discover
from rotator.cli.drift import drift
from rotator.cli.inventory import list_credentials, show
from rotator.cli.keys import keys
from rotator.cli.maintenance import check, db, init
from rotator.cli.plan import plan
from rotator.cli.posture import posture
from rotator.cli.reconcile import reconcile
from rotator.cli.report import report
from rotator.cli.rollout import rollout
from rotator.cli.rotate import rotate
from rotator.cli.service import demo, health, run, simulate
from rotator.cli.taint import taint
from rotator.cli.token import token

EPILOG = (
    "Settings come from ROTATOR_* variables and .env, see `rotator check`. "
    "Exit codes: 0 done, 1 failed, 2 bad input, 3 partly done, 130 interrupted."
)

app = typer.Typer(
    name="rotator",
    help="Rotate deploy tokens, app secrets and WireGuard peers on Fly.io.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(init)
app.command()(check)
app.command()(discover)
app.command()(plan)
app.command()(posture)
app.command()(run)
app.add_typer(rotate, name="rotate")
app.command()(taint)
app.command()(reconcile)
app.command("list")(list_credentials)
app.command()(show)
app.add_typer(rollout, name="rollout")
app.add_typer(audit, name="audit")
app.command()(history)
app.command()(report)
app.add_typer(drift, name="drift")
app.command()(certificates)
app.add_typer(token, name="token")
app.add_typer(keys, name="keys")
app.add_typer(db, name="db")
app.command()(health)
app.command()(simulate)
app.command()(demo)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rotator {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Rotate deploy tokens, app secrets and WireGuard peers on Fly.io."""


def main() -> None:
    """Run the command line; every error ends as one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # What people and Fly write may hold characters that this output has no bytes for.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from rotator.cli.crashes import told_in_a_line
    from rotator.cli.guarding import guarded

    with guarded(), told_in_a_line():
        code = _run(sys.argv[1:])
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    from rotator.cli.failures import INTERRUPTED, explain

    try:
        code = typer.main.get_command(app)(
            args=arguments, prog_name="rotator", standalone_mode=False
        )
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("rotator: interrupted", err=True)
        return INTERRUPTED
    except typer.TyperException as error:
        return _bad_usage(error)
    except BrokenPipeError:
        # Whoever read our output has gone; what is left of it has nowhere to go.
        sys.stderr.close()
        return 1
    except Exception as error:
        return explain(error)
    return code if isinstance(code, int) else 0


def _bad_usage(error: typer.TyperException) -> int:
    """What was typed can't be taken: one line, or the help where nothing was typed.

    What was typed may be a token, so it is not repeated unredacted.
    """
    from rotator.fly.redact import redacted

    format_message = getattr(error, "format_message", None)
    message = str(format_message() if callable(format_message) else error)
    context = getattr(error, "ctx", None)
    if "\n" in message:
        typer.echo(message, err=True)
    else:
        path = getattr(context, "command_path", None) or "rotator"
        typer.echo(f"rotator: {redacted(message)} (see `{path} --help`)", err=True)
    return 2
