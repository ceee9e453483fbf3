"""What an app runs with, as one look at Fly showed it, and what rotator's database says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from rotator.domain.machines import GONE_STATES, RESERVED_GROUPS, Machine
from rotator.domain.posture.finding import Finding, Rule
from rotator.domain.risk import Risk
from rotator.domain.secret import Secret

SETTLING: Final = timedelta(hours=1)
"""What changed more recently may be in the middle of somebody's deploy."""
NAMED: Final = 5
"""How many of many things a message names."""


class Exposure(StrEnum):
    """From where an address is reached, and whether other apps share it."""

    DEDICATED_V4 = "dedicated IPv4"
    SHARED_V4 = "shared IPv4"
    PUBLIC_V6 = "public IPv6"
    PRIVATE_V6 = "private IPv6"


@dataclass(frozen=True)
class Address:
    """One address of an app. PRIVATE_V6 is what Fly calls Flycast."""

    ip: str
    exposure: Exposure

    @property
    def public(self) -> bool:
        """Whether the internet reaches it."""
        return self.exposure is not Exposure.PRIVATE_V6


@dataclass(frozen=True)
class Port:
    """Ports that Fly's proxy listens on for a service; `end` is in it. `tls_versions` is empty
    where Fly's own choice stands."""

    start: int
    end: int
    handlers: tuple[str, ...] = ()
    force_https: bool = False
    tls_versions: tuple[str, ...] = ()
    self_signed: bool = False

    def __str__(self) -> str:
        return str(self.start) if self.start == self.end else f"{self.start}-{self.end}"

    def __contains__(self, number: int) -> bool:
        return self.start <= number <= self.end


@dataclass(frozen=True)
class Service:
    """One service of a machine."""

    protocol: str
    internal_port: int
    ports: tuple[Port, ...] = ()


@dataclass(frozen=True)
class Restarts:
    """What Fly does when the main process ends. "" and None are Fly's defaults."""

    policy: str = ""
    max_retries: int | None = None


@dataclass(frozen=True)
class ImageRef:
    """An image. `given` is what the config asks for, the rest is what Fly found there."""

    given: str
    registry: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    built_at: datetime | None = None

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        found = "/".join(part for part in (self.registry, self.repository) if part)
        return found or self.given.partition("@")[0]


@dataclass(frozen=True)
class Variable:
    """An environment variable, or an argument that gives a name to a value. Never show the value:
    any of them may be a secret."""

    name: str
    value: Secret


@dataclass(frozen=True)
class RunningMachine:
    """A machine with what its config says. `made_at` is when the version that it runs was made;
    None where that can't be told. `users` are those that its config names, "" of none."""

    machine: Machine
    image: ImageRef
    services: tuple[Service, ...] = ()
    restarts: Restarts = field(default_factory=Restarts)
    variables: tuple[Variable, ...] = ()
    command: tuple[Secret, ...] = ()
    users: tuple[str, ...] = ()
    made_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """Whether its host answers, so that its whole config is known."""
        return self.machine.config is not None

    @property
    def group(self) -> str:
        """Its process group."""
        return self.machine.process_group

    @property
    def managed(self) -> bool:
        """Whether Fly Launch deploys it."""
        return self.machine.metadata.get("fly_platform_version") == "v2"


@dataclass(frozen=True)
class StandingSecret:
    """An app secret as Fly lists it. `digest` is opaque. Fly may leave the date out."""

    name: str
    digest: str
    changed_at: datetime | None = None


@dataclass(frozen=True)
class ListedApp:
    """An app in a list of its organisation's, with its addresses."""

    organization: str
    name: str
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class RunningApp:
    """One app."""

    organization: str
    name: str
    addresses: tuple[Address, ...] = ()
    machines: tuple[RunningMachine, ...] = ()
    secrets: tuple[StandingSecret, ...] = ()

    @property
    def living(self) -> tuple[RunningMachine, ...]:
        """Machines that exist, without those that Fly runs for its own ends."""
        return tuple(
            each
            for each in self.machines
            if each.machine.state not in GONE_STATES and each.group not in RESERVED_GROUPS
        )

    @property
    def unread(self) -> tuple[RunningMachine, ...]:
        """Those of which the config is not known whole."""
        return tuple(each for each in self.living if not each.complete)

    @property
    def public(self) -> tuple[Address, ...]:
        """Addresses that the internet reaches."""
        return tuple(each for each in self.addresses if each.public)

    @property
    def flycast(self) -> bool:
        """Whether it has an address on the private network."""
        return any(not each.public for each in self.addresses)

    def groups(self) -> Mapping[str, Sequence[RunningMachine]]:
        """Living machines by process group."""
        found: dict[str, list[RunningMachine]] = defaultdict(list)
        for each in self.living:
            found[each.group].append(each)
        return {group: found[group] for group in sorted(found)}

    def services(self) -> Iterator[tuple[str, Service]]:
        """Each service that some machine has, with its group, once."""
        seen = set()
        for each in self.living:
            for service in each.services:
                if (each.group, service) not in seen:
                    seen.add((each.group, service))
                    yield each.group, service

    def finding(
        self, rule: Rule, subject: str, message: str, mend: str, risk: Risk | None = None
    ) -> Finding:
        """A finding about this app."""
        return Finding(rule, subject, message, mend, self.organization, self.name, risk=risk)


@dataclass(frozen=True)
class TrackedSecret:
    """A secret that a credential of rotator's is delivered to. `max_age` is of its own policy.
    What is `observed` rotator does not replace."""

    credential: str
    max_age: timedelta | None = None
    observed: bool = False


@dataclass(frozen=True)
class LastRollout:
    """The newest rollout of an app that has ended. `groups` are those that it was for, empty for
    all."""

    id: str
    secrets_version: int
    started_at: datetime
    failed: bool
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnRecord:
    """What rotator's database says of an app. `under_way`: a rotation or a rollout of it is."""

    tracked: Mapping[str, TrackedSecret] = field(default_factory=dict)
    under_way: bool = False
    last_rollout: LastRollout | None = None


class RunningApps(Protocol):
    """Reads apps. Changes nothing."""

    def listed(self, organization: str) -> AsyncIterator[Sequence[ListedApp]]:
        """All apps of an organisation, a page after the other."""
        ...

    async def one(self, organization: str, app: str) -> ListedApp:
        """One app, with its addresses."""
        ...

    async def read(self, app: ListedApp) -> RunningApp:
        """All that it runs with. `NotFound` when it was destroyed."""
        ...


def named(names: Sequence[str]) -> str:
    """Some of the names, and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
