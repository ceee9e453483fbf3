"""`rotator token needed`: what rotator's own API token has to be allowed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rotator.cli.session import opened
from rotator.cli.text import print_json, say, show
from rotator.fly.needed import OWN, Right, needed

_HINT: Final = """\
Let rotator make and replace a token with just these rights, and use it without a restart:

    [credentials.rotator]
    kind = "rotator-token"
    targets = [ { type = "fly-secret", app = "YOUR-ROTATOR-APP", name = "FLY_API_TOKEN" } ]"""
_SHOWN: Final = 4


async def show_needed(*, as_json: bool) -> int:
    """What the API token must be allowed for this manifest, and which credentials need it."""
    async with opened() as rotator:
        manifest = rotator.manifest()
    found = needed(manifest.specs)
    own = [spec.name for spec in manifest.specs if spec.kind == OWN]
    if as_json:
        data = {
            "organization": manifest.organization,
            "rights": found.rights(),
            "mutations": list(found.mutations),
            "tracked_as": own[0] if own else None,
        }
        print_json(data)
        return 0
    say(f"for {manifest.path} in the organisation {manifest.organization}:")
    _table(found.rights())
    if found.mutations:
        say(f"GraphQL mutations: {', '.join(found.mutations)}")
        say()
    if own:
        say(f"{own[0]} is rotator's own token: each rotation gives it just these rights")
    else:
        say(_HINT)
    if "createLimitedAccessToken" in found.mutations:
        say()
        say("Whoever may make tokens may make himself a wider one; Fly has no limit for that.")
    return 0


def _table(rights: Sequence[Right]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("right", "actions", "needed by"):
        table.add_column(column, overflow="fold")
    for right in rights:
        told = ", ".join(right.why[:_SHOWN])
        more = len(right.why) - _SHOWN
        table.add_row(
            right.what, right.actions or "-", told + (f", {more} more" if more > 0 else "")
        )
    show(table)
