"""The kinds that rotator knows: its own and those of plug-ins."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Final

from rotator.domain.ports import Clock, Kind
from rotator.fly.client import FlyClient
from rotator.kinds.deploy_token import DeployTokenKind
from rotator.kinds.limited_token import LimitedTokenKind
from rotator.kinds.machine_exec_token import MachineExecTokenKind
from rotator.kinds.org_token import OrgTokenKind
from rotator.kinds.readonly_token import ReadonlyTokenKind
from rotator.kinds.rotator_token import RotatorTokenKind
from rotator.kinds.secret import SecretKind
from rotator.kinds.ssh_token import SshTokenKind
from rotator.kinds.wireguard_peer import WireGuardPeerKind
from rotator.kinds.wireguard_token import WireguardTokenKind
from rotator.plugins import with_plugins

GROUP: Final = "rotator.kinds"
"""Entry points: `name = "package.module:factory"`, called with the Fly client and the clock."""


TOKEN_KINDS: Final[tuple[type[LimitedTokenKind], ...]] = (
    DeployTokenKind,
    OrgTokenKind,
    ReadonlyTokenKind,
    SshTokenKind,
    MachineExecTokenKind,
    WireguardTokenKind,
)


def builtin_kinds(client: FlyClient, clock: Clock) -> dict[str, Kind]:
    """Rotator's own kinds, by the manifest's word."""
    own: tuple[Kind, ...] = (
        *(kind(client.tokens, client.organizations, clock) for kind in TOKEN_KINDS),
        RotatorTokenKind(client.tokens, client.organizations, clock),
        SecretKind(),
        WireGuardPeerKind(client.wireguard),
    )
    return {kind.name: kind for kind in own}


def all_kinds(
    client: FlyClient, clock: Clock, *, found: Iterable[EntryPoint] | None = None
) -> dict[str, Kind]:
    """Rotator's own kinds and the installed plug-ins. `InputError` names one that is bad."""
    return with_plugins(
        builtin_kinds(client, clock),
        group=GROUP,
        port=Kind,  # type: ignore[type-abstract]
        word="name",
        build=lambda factory: factory(client, clock),
        found=found,
    )
