"""What every use case works with, joined by `wiring`, and the bounds that the engine keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from rotator.domain.drift import Witness
from rotator.domain.ports import (
    Authority,
    CallMeter,
    Clock,
    Entropy,
    Fleet,
    Kind,
    Prober,
    Releases,
    Store,
    Target,
)
from rotator.domain.rotation import Actor


@dataclass(frozen=True)
class Limits:
    """Bounds of the engine, all of them named.

    `concurrency` counts rotations at once, `emergency_concurrency` those that are no routine (they
    mostly wait for Fly), `machines_at_once` machines that are worked on at once; `catch_up_gap`
    lies between two rotations that were missed, where there are many of them;
    `list_lag` is how long a list of Fly's may hide what exists.
    """

    claim_ttl: timedelta = timedelta(seconds=60)
    lock_ttl: timedelta = timedelta(seconds=60)
    lease_ttl_seconds: int = 30
    wait_slice_seconds: int = 60
    shortest_poll: timedelta = timedelta(milliseconds=250)
    longest_poll: timedelta = timedelta(seconds=5)
    list_lag: timedelta = timedelta(seconds=60)
    concurrency: int = 8
    emergency_concurrency: int = 128
    machines_at_once: int = 1024
    step_timeout: timedelta = timedelta(minutes=10)
    rollout_timeout: timedelta = timedelta(hours=4)
    rollout_passes: int = 10
    companions_wait: timedelta = timedelta(seconds=60)
    sweep_companions_wait: timedelta = timedelta(minutes=5)
    reread_attempts: int = 4
    rollbacks_in_a_row: int = 3
    retry_after_rollback: timedelta = timedelta(hours=6)
    catch_up_gap: timedelta = timedelta(minutes=1)


@dataclass(frozen=True)
class Parts:
    """The adapters and the identity of this worker."""

    store: Store
    kinds: Mapping[str, Kind]
    targets: Mapping[str, Target]
    fleet: Fleet
    releases: Releases
    prober: Prober
    authority: Authority
    calls: CallMeter
    clock: Clock
    entropy: Entropy
    worker_id: str
    actor: Actor
    limits: Limits = field(default_factory=Limits)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    witness: Witness | None = None

    def new_id(self) -> str:
        """A fresh ULID for the present time."""
        return self.entropy.ulid(self.clock.now())
