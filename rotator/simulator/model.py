"""What the simulated Fly holds: organizations, apps, machines, secrets, tokens, peers.

Plain mutable records. The rules that change them are in the modules beside this one.
Fields that hold a secret value are kept out of every repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from rotator.fly.macaroon import Macaroon

Json = dict[str, object]

PERSISTENT_STATES = frozenset({"created", "started", "stopped", "suspended", "failed"})
RUNNING_STATES = frozenset({"started", "starting", "restarting", "replacing", "failed"})
GONE_STATES = frozenset({"destroying", "destroyed"})


@dataclass
class Organization:
    """An organization: everything else belongs to one."""

    id: str
    number: int
    slug: str
    name: str
    network: int
    peers: dict[str, Peer] = field(default_factory=dict)
    next_host: int = 2
    members: dict[str, Member] = field(default_factory=dict)
    delegated: dict[str, DelegatedToken] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """Somebody who belongs to an organization. `role` is Fly's word: ADMIN or MEMBER."""

    email: str
    role: str
    joined_at: datetime


@dataclass(frozen=True)
class DelegatedToken:
    """A token of the old kind, with which whoever holds it adds WireGuard peers."""

    id: str
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class PersonalToken:
    """A token that acts as a person. `type` is Fly's word: pat, flyctl, token, …"""

    id: str
    name: str
    type: str
    user_email: str
    created_at: datetime


@dataclass(frozen=True)
class SecretSnapshot:
    """An app's secrets at one version, as a machine gets them when it boots."""

    version: int
    values: dict[str, str] = field(repr=False)
    digests: dict[str, str]


@dataclass
class Secret:
    """One app secret. The value never leaves the simulator."""

    name: str
    value: str = field(repr=False)
    digest: str
    created_at: datetime
    updated_at: datetime
    version: int
    user_email: str = ""


@dataclass
class Release:
    """One release of an app; made by deploys."""

    id: str
    version: int
    created_at: datetime
    image_ref: str
    user_email: str
    description: str
    status: str = "complete"
    strategy: str = "ROLLING"


@dataclass
class Certificate:
    """A hostname of an app with its certificates. What becomes of it is in `certificates`."""

    hostname: str
    created_at: datetime
    expires_at: datetime
    configured: bool = True
    """Whether its DNS is as Fly wants it."""
    issued: bool = True
    stuck: bool = False
    """Whether its renewal comes only when somebody asks for a check."""
    checks_needed: int = 1
    """How many checks get it going again."""
    errors: tuple[str, ...] = ()
    """Codes of CertificateValidationErrorCodeEnum that keep it from being renewed."""
    custom_expires_at: datetime | None = None
    custom_active: bool = True
    rate_limited_until: datetime | None = None
    checks: list[datetime] = field(default_factory=list)
    failures: list[datetime] = field(default_factory=list)
    graphql_expires_at: datetime | None = None
    """What GraphQL says instead, where it is behind."""
    only_in: str = ""
    """`machines` or `graphql` where the other API does not have it."""


@dataclass(frozen=True)
class Address:
    """One address of an app; `kind` is a word of GraphQL's `IPAddressType`."""

    ip: str
    kind: str
    created_at: datetime


@dataclass
class App:
    """An app: its machines, secrets and releases."""

    name: str
    number: int
    org: Organization
    created_at: datetime
    machines: dict[str, Machine] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    secrets_version: int = 0
    releases: list[Release] = field(default_factory=list)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    image_labels: dict[str, str] = field(default_factory=dict)
    refuse_next: set[str] = field(default_factory=set)
    bad_digests: set[str] = field(default_factory=set)
    """Digests of values that the app's program can't live with."""

    def snapshot(self) -> SecretSnapshot:
        """The secrets as they stand."""
        return SecretSnapshot(
            self.secrets_version,
            {name: secret.value for name, secret in self.secrets.items()},
            {name: secret.digest for name, secret in self.secrets.items()},
        )


@dataclass(frozen=True)
class Event:
    """One entry of a machine's history."""

    id: str
    type: str
    status: str
    source: str
    at: datetime
    request: Json | None = None


@dataclass
class Lease:
    """Somebody's exclusive right to change a machine."""

    nonce: str = field(repr=False)
    owner: str
    description: str
    expires_at: datetime
    version: str


@dataclass
class Machine:
    """A machine. `config` is kept exactly as it was sent."""

    id: str
    name: str
    app: App
    region: str
    instance_id: str
    config: Json
    created_at: datetime
    updated_at: datetime
    private_ip: str
    state: str = "created"
    cordoned: bool = False
    host_status: str = "ok"
    image_digest: str = ""
    skip_secrets: bool = False
    events: list[Event] = field(default_factory=list)
    versions: list[tuple[str, Json]] = field(default_factory=list)
    lease: Lease | None = None
    started_at: datetime | None = None
    checks_pass_at: datetime | None = None
    unavailable_since: datetime | None = None
    pinned: SecretSnapshot | None = None
    booted: SecretSnapshot | None = None
    never_healthy: bool = False
    crash_loop: bool = False
    unhealthy_instance: str = ""
    restart_count: int = 0
    changes_at: datetime | None = None
    """When its newest planned transition is due."""
    turn: int = 0
    """Grows with each command; a transition planned for an earlier turn does nothing."""

    @property
    def group(self) -> str:
        """Its process group."""
        metadata = self.config.get("metadata")
        named = metadata.get("fly_process_group") if isinstance(metadata, dict) else None
        return named if isinstance(named, str) else "app"

    @property
    def unhealthy(self) -> bool:
        """Whether its checks can't pass."""
        if self.never_healthy or self.crash_loop or self.unhealthy_instance == self.instance_id:
            return True
        return self._holds_bad_value

    @property
    def dies_at_start(self) -> bool:
        """Whether its program ends by itself: one without checks has no other way to show that it
        can't live with a value."""
        return self.crash_loop or (self._holds_bad_value and not self._has_checks)

    @property
    def _holds_bad_value(self) -> bool:
        bad = self.app.bad_digests
        return (
            bool(bad)
            and self.booted is not None
            and not bad.isdisjoint(self.booted.digests.values())
        )

    @property
    def _has_checks(self) -> bool:
        services = self.config.get("services")
        listed = services if isinstance(services, list) else []
        return bool(self.config.get("checks")) or any(each.get("checks") for each in listed)


@dataclass
class Token:
    """A limited access token."""

    id: str
    name: str
    macaroon: Macaroon
    org: Organization
    app: App | None
    profile: str
    profile_params: Json
    user_email: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    discharges: tuple[Macaroon, ...] = ()


@dataclass
class Peer:
    """A WireGuard peer."""

    id: str
    name: str
    public_key: str
    region: str
    address: str
    network: str | None
    created_at: datetime


@dataclass(frozen=True)
class Region:
    """A place where machines run."""

    code: str
    name: str
    latitude: float
    longitude: float
    geo_region: str
    gateway: bool = True


REGIONS = (
    Region("fra", "Frankfurt, Germany", 50.0, 8.6, "europe"),
    Region("iad", "Ashburn, Virginia (US)", 39.0, -77.5, "north_america"),
    Region("sin", "Singapore, Singapore", 1.3, 103.9, "asia_pacific"),
    Region("ams", "Amsterdam, Netherlands", 52.4, 4.9, "europe"),
    Region("gru", "Sao Paulo, Brazil", -23.5, -46.6, "south_america", gateway=False),
)
