"""`rotator run`, `rotator simulate` and `rotator demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    migrate: Annotated[
        bool, typer.Option("--migrate", help="Upgrade the database's schema first.")
    ] = False,
) -> int:
    """Run the daemon: rotate what is due, until SIGTERM."""
    from rotator.cli.session import run_async
    from rotator.cli.starting import run_daemon

    return run_async(run_daemon(migrate=migrate))


def health() -> int:
    """See that a daemon is running: 0 if it has shown itself in the last 30 s, else 1."""
    from rotator.cli.session import run_async
    from rotator.cli.starting import check_health

    return run_async(check_health())


def simulate(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 4280,
    seed: Annotated[int, typer.Option(help="Same seed, same organisation.")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Times faster than Fly.")] = 1.0,
    token_file: Annotated[
        Path | None, typer.Option(help="Write the API token there (0600) instead of showing it.")
    ] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write the port there.")] = None,
) -> int:
    """Run a simulated Fly on this machine, to rotate against.

    Prints the variables that point rotator, and flyctl, at it.
    """
    from rotator.cli.guarding import values_shown
    from rotator.simulator.server import serve

    # The token of the simulated Fly is what the command is for.
    with values_shown():
        serve(host, port, seed, speed=speed, token_file=token_file, port_file=port_file)
    return 0


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep database, manifest and logs in this directory.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same organisation.")] = 1,
) -> int:
    """Rotate one of each kind on a simulated Fly.

    Starts a simulator and a daemon, and shows inventory, rollout and audit trail.
    """
    from rotator.cli.demo import run_demo
    from rotator.cli.session import run_async

    return run_async(run_demo(keep, seed))
