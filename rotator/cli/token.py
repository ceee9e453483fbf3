"""`rotator token`."""

from __future__ import annotations

from typing import Annotated

import typer

token = typer.Typer(help="Read Fly's API tokens.", no_args_is_help=True, rich_markup_mode=None)


@token.callback()
def root() -> None:
    """Read Fly's API tokens."""


@token.command()
def needed(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Tell what rotator's own API token has to be allowed for the manifest, and why.

    Nothing is sent anywhere.
    """
    from rotator.cli.own_token import show_needed
    from rotator.cli.session import run_async

    return run_async(show_needed(as_json=as_json))


@token.command()
def inspect(
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|-]", help="A file that holds it; - is standard input."),
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="An environment variable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="RISK",
            help="Exit with 1 at a warning of this risk or worse: low, medium, high, critical.",
        ),
    ] = None,
) -> int:
    """Tell what a token may do, until when, and how much harm a leak of it would do.

    Reads standard input, a file or an environment variable: never give a token as an argument,
    it would stay in the shell's history. Nothing is sent anywhere and the token is never shown.
    The fingerprint is 64 bits of SHA-256 over the token's bytes: it names this very token. The
    lineage is Fly's own audit id, the same for a token and all copies narrowed from it. Neither
    can be turned back into the token.
    """
    from rotator.cli.inspecting import inspect_token

    return inspect_token(source or [], env, as_json=as_json, fail_on=fail_on)
