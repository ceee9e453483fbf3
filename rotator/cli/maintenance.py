"""`rotator init`, `rotator check` and `rotator db`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rotator.cli.options import organization_slug

db = typer.Typer(help="The database's schema.", no_args_is_help=True, rich_markup_mode=None)


def init(
    organization: Annotated[
        str,
        typer.Option(
            "--organization", "-o", help="Slug of the Fly organisation.", callback=organization_slug
        ),
    ] = "personal",
    path: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("rotator.toml"),
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="A manifest for the organisation of `rotator simulate`."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a manifest that exists.")] = False,
) -> int:
    """Write a commented manifest, and a key to .env.

    The key encrypts the values that rotator holds. One that is there already is never replaced.
    """
    from rotator.cli.starting import write_first_files

    return write_first_files(organization, path, simulated=simulated, force=force)


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """See that everything works, or how to mend it.

    Looks at settings, token, database and manifest, and reaches out to each. Shows no secret.
    """
    from rotator.cli.checking import check_everything
    from rotator.cli.session import run_async

    return run_async(check_everything(as_json=as_json))


@db.command()
def upgrade() -> int:
    """Bring the database to the schema of this rotator; creates it if there is none."""
    from rotator.cli.session import run_async
    from rotator.cli.starting import upgrade_database

    return run_async(upgrade_database())


@db.command("check")
def check_schema() -> int:
    """See that the database has the schema of this rotator."""
    from rotator.cli.session import run_async
    from rotator.cli.starting import check_database

    return run_async(check_database())
