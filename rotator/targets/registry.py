"""The targets that rotator knows: its own and those of plug-ins."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Final

from rotator.domain.ports import Target
from rotator.fly.client import FlyClient
from rotator.plugins import with_plugins
from rotator.targets.file import FileTarget
from rotator.targets.fly_secret import FlySecretTarget

GROUP: Final = "rotator.targets"
"""Entry points: `name = "package.module:factory"`, called with the Fly client."""


def builtin_targets(client: FlyClient) -> dict[str, Target]:
    """Rotator's own targets, by the manifest's word."""
    own: tuple[Target, ...] = (FlySecretTarget(client.secrets), FileTarget())
    return {target.type: target for target in own}


def all_targets(
    client: FlyClient, *, found: Iterable[EntryPoint] | None = None
) -> dict[str, Target]:
    """Rotator's own targets and the installed plug-ins. `InputError` names one that is bad."""
    return with_plugins(
        builtin_targets(client),
        group=GROUP,
        port=Target,  # type: ignore[type-abstract]
        word="type",
        build=lambda factory: factory(client),
        found=found,
    )
