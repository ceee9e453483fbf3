"""`rotator posture`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class PostureFormat(StrEnum):
    """How findings are told. Markdown is for --rules alone."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"
    MARKDOWN = "markdown"


def posture(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Files or folders; nothing is sent anywhere."),
    ] = None,
    org: Annotated[
        str | None, typer.Option("--org", metavar="SLUG", help="Look at what runs there.")
    ] = None,
    app: Annotated[
        str | None, typer.Option("--app", metavar="APP", help="Look at what this app runs.")
    ] = None,
    output_format: Annotated[PostureFormat, typer.Option("--format", "-f", help="How.")] = (
        PostureFormat.TABLE
    ),
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="SEVERITY",
            help="Exit with 1 at a finding of this severity or worse: note, low, medium, high, "
            "critical; or never.",
        ),
    ] = "high",
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="Findings in there don't count."),
    ] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Write what is found now to --baseline.")
    ] = False,
    suppressions: Annotated[
        Path | None,
        typer.Option(
            "--suppressions",
            metavar="FILE",
            help="Findings that are hidden, each with a reason and a last day.",
            show_default="rotator-posture.toml, if it is there",
        ),
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules.")] = False,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="RULE", help="Tell all about one rule.")
    ] = None,
    history: Annotated[
        bool,
        typer.Option("--history", help="Show findings as the daemon has them, and since when."),
    ] = False,
) -> int:
    """Hold fly.toml files, or what runs, against Fly's security advice.

    With files or folders, or in a folder with a fly.toml, it needs no token, no database and no
    manifest. With --org or --app it asks Fly; with both it does both. Exit codes: 0 nothing as bad
    as --fail-on, 1 findings, 2 bad input, 3 nothing found but a part could not be read.
    """
    import asyncio

    from rotator.cli.posturing.command import Wanted, show_posture
    from rotator.cli.posturing.rules import explain_rule, show_rules
    from rotator.domain.errors import InputError
    from rotator.domain.posture.catalogue import RULES

    if rules:
        return show_rules(RULES, output_format.value)
    if explain is not None:
        return explain_rule(RULES, explain, output_format.value)
    if output_format is PostureFormat.MARKDOWN:
        raise InputError("markdown is for --rules", where="--format")
    if history:
        from rotator.cli.posturing.history import show_history

        return asyncio.run(show_history(org, app, output_format.value))
    wanted = Wanted(
        paths=tuple(paths or ()),
        organization=org,
        app=app,
        form=output_format.value,
        fail_on=fail_on,
        baseline=baseline,
        write=write_baseline,
        suppressions=suppressions,
    )
    return asyncio.run(show_posture(wanted))
