"""`rotator report`: the evidence of a period, for auditors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ReportFormat(StrEnum):
    """How a report is written."""

    HTML = "html"
    JSON = "json"
    CSV = "csv"


def report(
    since: Annotated[
        str,
        typer.Option("--from", help="Not older than 90d, or a date or time such as 2026-01-01."),
    ] = "90d",
    until: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Up to a date, that day included, or a time.",
            show_default="now",
        ),
    ] = None,
    output_format: Annotated[ReportFormat, typer.Option("--format", "-f", help="How.")] = (
        ReportFormat.HTML
    ),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to the output."),
    ] = None,
) -> int:
    """Report ages, rotations, exceptions, failures, changes and the state of the log.

    HTML is one file that needs no network and prints well. Every table names the `rotator audit`
    command that gives the events behind it. Exit code 1 says that the audit log is damaged.
    """
    from rotator.cli.evidence.command import write_report
    from rotator.cli.session import run_async

    return run_async(write_report(since, until, output_format.value, output))
