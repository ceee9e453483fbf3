"""Kinds of tokens against a simulated Fly: minted as the engine does it, used by a stranger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from httpx import ASGITransport

from rotator.domain.credential import CredentialSpec, Issued, TargetSpec
from rotator.domain.errors import InputError
from rotator.domain.fields import Params
from rotator.domain.policy import Policy
from rotator.domain.ports import Kind, MintRequest
from rotator.domain.secret import Secret
from rotator.fly.client import FlyClient
from rotator.kinds.registry import builtin_kinds
from rotator.manifest import parse_manifest
from rotator.simulator.app import create_app
from rotator.simulator.seed import add_app, add_organization
from rotator.simulator.world import World
from rotator.system import SystemEntropy
from rotator.targets.registry import builtin_targets
from tests.unit.kind_doubles import ROTATION
from tests.unit.simulator_support import SimulatedFly, simulated_fly

LIFE = timedelta(days=35)


@dataclass
class Issuer:
    """A simulated Fly with a second organisation, and the kinds on it."""

    fly: SimulatedFly
    client: FlyClient
    kinds: Mapping[str, Kind]

    @property
    def world(self) -> World:
        """The simulated world."""
        return self.fly.world

    def client_with(self, token: Secret) -> FlyClient:
        """A client with another API token."""
        return a_client(self.fly, token)

    async def mint(self, spec: CredentialSpec) -> tuple[Issued, Secret]:
        """A version, and its value as it is sealed."""
        minted = await self.kinds[spec.kind].mint(self.request(spec), None)
        return minted.issued, minted.value

    def request(self, spec: CredentialSpec, life: timedelta = LIFE) -> MintRequest:
        """What the engine asks for."""
        kind = self.kinds[spec.kind]
        end = self.fly.clock.now() + life
        return MintRequest(spec, ROTATION, kind.issue_name(spec, ROTATION), end)

    async def delivered(self, spec: CredentialSpec) -> str:
        """A new value as a target receives it."""
        issued, value = await self.mint(spec)
        return self.kinds[spec.kind].render(spec, issued, value).reveal()


def an_issuer() -> Issuer:
    """Nothing limits the rate."""
    fly = simulated_fly()
    rival = add_organization(fly.world, "rival", "Rival")
    add_app(fly.world, rival, "theirs", fly.clock.now())
    fly.world.limits.enabled = False
    client = a_client(fly, Secret(fly.token))
    return Issuer(fly, client, builtin_kinds(client, fly.clock))


def a_client(fly: SimulatedFly, token: Secret) -> FlyClient:
    """A client of rotator's with this API token."""
    http = ASGITransport(create_app(fly.world))
    base = "http://fly.invalid"
    return FlyClient(base, base, token, fly.clock, SystemEntropy(), http=http)


def a_spec(kind: str, params: Params, *, targets: tuple[TargetSpec, ...] = ()) -> CredentialSpec:
    """A credential of the organisation acme."""
    policy = Policy(every=timedelta(days=30))
    return CredentialSpec("ci", kind, "acme", f"{kind}:ci", params, targets, policy)


def renamed(spec: CredentialSpec, params: Params) -> CredentialSpec:
    """The same credential after the manifest was changed."""
    return replace(spec, params=params)


def from_manifest(text: str) -> CredentialSpec:
    """The one credential of a manifest. `InputError` as users see it."""
    issuer = an_issuer()
    head = 'organization = "acme"\n[defaults.policy]\nevery = "30d"\n[credentials.ci]\n'
    manifest = parse_manifest(
        head + text,
        "rotator.toml",
        issuer.kinds,
        builtin_targets(issuer.client),
        issuer.fly.clock.now(),
    )
    return manifest.specs[0]


def wrong(text: str) -> str:
    """What is told about a bad manifest."""
    try:
        from_manifest(text)
    except InputError as error:
        return str(error)
    return ""
