"""`rotator keys`: the keys that encrypt what rotator holds."""

from __future__ import annotations

from typing import Annotated

import typer

keys = typer.Typer(
    help="The keys that encrypt what rotator holds.", no_args_is_help=True, rich_markup_mode=None
)
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@keys.command("list")
def list_keys(as_json: _JSON = False) -> int:
    """Tell the keys of ROTATOR_KEYS by their ids, and how many values are under each."""
    from rotator.cli.key_rotation import show_keys
    from rotator.cli.session import run_async

    return run_async(show_keys(as_json=as_json))


@keys.command()
def rotate(as_json: _JSON = False) -> int:
    """Bring all values under the first of ROTATOR_KEYS.

    To replace a key, put a new one in front of it, separated by a comma, and restart; then run
    this, or leave it to the daemon. It may be interrupted at any moment and goes on where it was.
    No value is decrypted: only the keys of the values are wrapped anew.
    """
    from rotator.cli.key_rotation import rotate_keys
    from rotator.cli.session import run_async

    return run_async(rotate_keys(as_json=as_json))


@keys.command()
def new() -> int:
    """Print a fresh key, for a file or a secret store and not for a terminal."""
    from rotator.cli.key_rotation import print_new_key

    return print_new_key()
