"""Machines as a rollout sees them. Names and states are Fly's (Machines API)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile
from typing import Final

RUNNING_STATES: Final = frozenset({"started", "starting", "restarting", "updating", "replacing"})
DOWN_STATES: Final = frozenset({"created", "stopped", "stopping", "suspended", "suspending"})
GONE_STATES: Final = frozenset({"destroyed", "destroying", "replaced", "migrated"})
FAILED_STATES: Final = frozenset({"failed", "launch_failed"})

RESERVED_GROUPS: Final = frozenset(
    {"fly_app_release_command", "fly_app_test_machine_command", "fly_app_console"}
)
"""Process groups of machines that Fly runs for its own ends."""

MARK_ROLLOUT: Final = "rotator_rollout"
MARK_SECRETS_VERSION: Final = "rotator_secrets_version"
MARK_CLONE_OF: Final = "rotator_clone_of"
"""On a machine that blue-green made: the id of the one that it takes over from."""
MARK_REHEARSAL: Final = "rotator_rehearsal"
"""On a disposable machine: the process group that it rehearses for."""
MARK_RELEASE_VERSION: Final = "fly_release_version"
MARK_RELEASE_ID: Final = "fly_release_id"
BOOT_EVENTS: Final = frozenset({"launch"})
"""Events that prove a boot with the app's newest secrets. Fly: an update does; a plain start or
restart of the version that stands is not promised to."""
VERSION_EVENTS: Final = frozenset({"launch", "update"})
"""Events with which another version of a machine begins."""
CLOCK_SKEW: Final = timedelta(seconds=30)
"""How far Fly's clock and ours may differ: evidence has to be later by this much."""


@dataclass(frozen=True)
class Check:
    """One health check result. `status` is passing, warning or critical."""

    name: str
    status: str


@dataclass(frozen=True)
class MachineEvent:
    """One entry of a machine's history. `restart_count` and `exit_code` only with an exit."""

    type: str
    status: str
    source: str
    at: datetime
    requested_stop: bool = False
    restarting: bool = False
    restart_count: int = 0
    exit_code: int | None = None


@dataclass(frozen=True)
class RawConfig:
    """A machine's whole `config`, value for value as Fly sent it: an update replaces all of it.

    Not shown in a repr, because `env` and `files` may hold secrets.
    """

    json: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True)
class Machine:
    """One machine. `config` is None where its host can't be reached.

    `instance_id` is new with every update. `reads` names the app secrets that it takes; None
    means all of them (Fly's default). `check_grace` is the longest grace period of its checks.
    """

    id: str
    name: str
    app: str
    state: str
    region: str
    instance_id: str
    process_group: str
    host_status: str
    metadata: Mapping[str, str]
    config: RawConfig | None
    created_at: datetime
    updated_at: datetime
    checks: tuple[Check, ...] = ()
    expects_checks: bool = False
    check_grace: timedelta = timedelta(0)
    events: tuple[MachineEvent, ...] = ()
    reads: frozenset[str] | None = None
    schedule: str | None = None
    auto_destroy: bool = False
    standby_for: tuple[str, ...] = ()
    cordoned: bool = False
    private_ip: str = ""
    has_services: bool = False
    autostarts: bool = False
    has_volume: bool = False

    @property
    def running(self) -> bool:
        """Whether it serves, or is about to."""
        return self.state in RUNNING_STATES

    @property
    def remembers(self) -> bool:
        """Whether the environment of its last boot is in use: running, or kept in a snapshot."""
        return self.running or self.state in ("suspending", "suspended")

    @property
    def down(self) -> bool:
        """Whether it is updated without a boot. One that is being created, or whose launch failed,
        is not: an update of it boots."""
        return self.state in DOWN_STATES

    @property
    def reachable(self) -> bool:
        """Whether its host answers, so that it can be updated."""
        return self.host_status == "ok" and self.config is not None

    @property
    def healthy(self) -> bool:
        """Started, and every check passing. Where checks are expected, no result is no health, and
        what Fly knows of a host that does not answer is old."""
        if self.state != "started" or self.host_status == "unreachable":
            return False
        if self.expects_checks and not self.checks:
            return False
        return all(check.status == "passing" for check in self.checks)

    @property
    def exits(self) -> tuple[MachineEvent, ...]:
        """How the version that stands has ended so far, newest first."""
        mine = takewhile(lambda event: event.type not in VERSION_EVENTS, self.events)
        return tuple(event for event in mine if event.type == "exit")

    @property
    def crash_looping(self) -> bool:
        """The rule of flyctl: the newest exit was unasked, restarts, and is not the first. What
        the version before did says nothing about this one."""
        if not self.exits:
            return False
        newest = self.exits[0]
        unasked = newest.restarting and not newest.requested_stop and newest.exit_code != 0
        return unasked and newest.restart_count > 1

    @property
    def release_version(self) -> int:
        """The release that last touched it; 0 where its metadata does not say."""
        return _whole(self.metadata.get(MARK_RELEASE_VERSION, ""))

    @property
    def stand_in_for(self) -> str | None:
        """The machine that this one was made to take over from, or None."""
        return self.metadata.get(MARK_CLONE_OF)

    @property
    def rehearses(self) -> bool:
        """Whether it is a disposable machine of ours."""
        return MARK_REHEARSAL in self.metadata

    def holds(self, *, floor: int, delivered_at: datetime) -> bool:
        """Whether it is proven to hold, or to take at its next boot, what was delivered then as
        secrets version `floor`: by our own update, or by a version of it that came later."""
        marked = bool(floor) and self.marked_secrets_version >= floor
        return marked or self.renewed_since(delivered_at)

    def renewed_since(self, at: datetime) -> bool:
        """Whether somebody made a new version of it, or the whole machine, after that."""
        since = at + CLOCK_SKEW
        boots = [event.at for event in self.events if event.type in BOOT_EVENTS]
        return max(boots, default=self.created_at) > since

    @property
    def marked_secrets_version(self) -> int:
        """The secrets version that our last update asked for; 0 without one."""
        return _whole(self.metadata.get(MARK_SECRETS_VERSION, ""))

    def reads_secret(self, name: str) -> bool:
        """Whether the app secret `name` reaches this machine."""
        return self.reads is None or name in self.reads


@dataclass(frozen=True)
class Lease:
    """A held machine lease. `nonce` proves it; whoever has it may break the lease."""

    nonce: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True)
class AppOverview:
    """An app as the Machines API lists it. `machine_count` is None where Fly doesn't say."""

    name: str
    organization: str
    status: str
    machine_count: int | None


class ReleaseStatus(StrEnum):
    """What flyctl says of its releases, in Fly's words."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True)
class Release:
    """A release of an app, as `fly releases` lists it."""

    id: str
    version: int
    status: str
    created_at: datetime | None = None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
