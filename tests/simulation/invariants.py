"""The promises, looked at from outside: the simulator's truth and the database, not the engine."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from rotator.domain.credential import VersionState
from rotator.domain.events import Action
from rotator.domain.ports import Clock, EventQuery
from rotator.domain.rotation import ENDED, RotationState
from rotator.fly import macaroon
from rotator.simulator import leases, tokens
from rotator.simulator.consumers import Consumer, consumers
from rotator.simulator.deploys import DEPLOYER
from rotator.simulator.model import Machine
from rotator.simulator.world import World
from rotator.store.store import SqlStore
from tests.harness.chain import first_fault

LOOK_SECONDS = 2.0
IDLE_LOOK_SECONDS = 600.0
LONGEST_LEASE = timedelta(minutes=2)


class Broken(AssertionError):
    """A promise that does not hold."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")


class Monitor:
    """Looks at everything again and again."""

    def __init__(self, fly: World, store: SqlStore, turn: asyncio.Lock) -> None:
        self._fly, self._store, self._turn = fly, store, turn
        self.looks = 0
        self.ran_out: set[str] = set()
        self._requests = 0

    async def watch(self, clock: Clock) -> None:
        """Look while the world lives: often while something happens, seldom while nothing does."""
        while True:
            self._fly.advance()
            self.check_now()
            busy = bool(self._fly.log) and self._fly.log[-1].seq != self._requests
            self._requests = self._fly.log[-1].seq if self._fly.log else 0
            await clock.sleep(LOOK_SECONDS if busy else IDLE_LOOK_SECONDS)

    def check_now(self) -> None:
        """What has to hold at every instant."""
        self.looks += 1
        for consumer in consumers(self._fly):
            if consumer.accepted is False:
                if self._ran_out(consumer):
                    self.ran_out.add(consumer.secret)
                    continue
                raise Broken(
                    "P1",
                    f"{consumer.app}/{consumer.machine} holds a {consumer.secret} "
                    "that the issuer refuses",
                )
        for app in self._fly.apps.values():
            groups: dict[str, list[Machine]] = {}
            for machine in app.machines.values():
                self._check_lease_is_short(machine)
                if self._taken_out(machine):
                    groups.setdefault(machine.group, []).append(machine)
            for group, away in groups.items():
                running = [m for m in app.machines.values() if m.group == group and m.booted]
                if len(away) > max(1, len(running) // 2):
                    names = ", ".join(m.id for m in away)
                    raise Broken("P4", f"{app.name}/{group}: {names} are away at once")

    def _check_lease_is_short(self, machine: Machine) -> None:
        """A lease of ours that outlives a crash must not block a team's deploys for long."""
        lease = leases.standing(self._fly, machine)
        if lease is None or lease.owner == DEPLOYER:
            return
        if lease.expires_at - self._fly.now() > LONGEST_LEASE:
            raise Broken("P5", f"{machine.id} is leased until {lease.expires_at} by {lease.owner}")

    def _ran_out(self, consumer: Consumer) -> bool:
        """Whether the value was not revoked but reached its end: what a rotation that waits for a
        person comes to in time, as it is meant to (credentials of a dead rotator fail closed)."""
        machine = self._fly.apps[consumer.app].machines[consumer.machine]
        assert machine.booted is not None
        (token, *_) = macaroon.permission_tokens(machine.booted.values[consumer.secret])
        record = tokens.find(self._fly, token)
        return record is not None and record.revoked_at is None

    def _taken_out(self, machine: Machine) -> bool:
        """Held by rotator and between two boots."""
        lease = leases.standing(self._fly, machine)
        if lease is None or lease.owner == DEPLOYER:
            return False
        return machine.booted is not None and machine.state not in (
            "started",
            "stopped",
            "suspended",
            "created",
        )

    async def check_end(self) -> None:
        """What has to hold when everything has settled."""
        self._fly.advance()
        self.check_now()
        async with self._turn, self._store.view() as unit:
            rotations = await unit.rotations(limit=10_000)
            credentials = await unit.credentials()
            versions = [v for c in credentials for v in await unit.versions(c.id)]
            events = list(reversed(await unit.events(EventQuery(limit=1_000_000))))
        for rotation in rotations:
            if rotation.state not in ENDED:
                raise Broken(
                    "P5", f"rotation {rotation.id} is {rotation.state} after all this time"
                )
            if rotation.state is RotationState.PARKED and rotation.parked is None:
                raise Broken("P5", f"rotation {rotation.id} is parked without a cause")
        turned = (RotationState.PARKED, RotationState.ROLLED_BACK)
        if self.ran_out and not any(r.state in turned for r in rotations):
            raise Broken("P1", f"{sorted(self.ran_out)} ran out although every rotation went well")
        parked = {r.credential_id for r in rotations if r.state is RotationState.PARKED}
        held = {
            v.issued.ref
            for v in versions
            if v.issued is not None and v.state in (VersionState.CURRENT, VersionState.RETIRING)
        }
        if not parked:
            self._check_issuer(held)
        self._check_log(events)
        self._check_leases()

    def _check_issuer(self, held: set[str]) -> None:
        """By the issuer's ids: two tokens may have one name. Peers are known by their names."""
        now = self._fly.now()
        living = [
            t for t in self._fly.tokens.values() if t.revoked_at is None and t.expires_at > now
        ]
        ours = {t.id for t in living if t.name.startswith("ci-web")}
        peers = {name for org in self._fly.organizations.values() for name in org.peers}
        ours |= {name for name in peers if name.startswith("office-0")}
        within_time = {t.id for t in self._fly.tokens.values() if t.expires_at > now}
        expected = {ref for ref in held if ref in within_time or ref.startswith("office-0")}
        if ours != expected:
            raise Broken("P2", f"the issuer has {sorted(ours)}, the inventory {sorted(expected)}")

    def _check_log(self, events: list[object]) -> None:
        fault = first_fault(events)  # type: ignore[arg-type]
        if fault is not None:
            raise Broken("P7", f"event {fault.sequence}: {fault.message}")
        intents = sum(
            e.event.action is Action.STEP_INTENDED and e.event.detail.get("step") == "mint"  # type: ignore[attr-defined]
            for e in events
        )
        made = sum("createLimitedAccessToken" in entry.graphql for entry in self._fly.log)
        if made and not intents:
            raise Broken("P7", "tokens were made without an intent in the log")

    def _check_leases(self) -> None:
        for app in self._fly.apps.values():
            for machine in app.machines.values():
                lease = leases.standing(self._fly, machine)
                if lease is not None:
                    raise Broken("P5", f"{machine.id} is still leased by {lease.owner}")
                release = str(len(app.releases))
                metadata = machine.config.get("metadata")
                shown = metadata.get("fly_release_version") if isinstance(metadata, dict) else None
                if shown not in (None, release) and machine.host_status == "ok":
                    self._check_skipped(machine, str(shown), release)

    def _check_skipped(self, machine: Machine, shown: str, release: str) -> None:
        """A deploy leaves out what we had leased; but nothing goes back to an older release."""
        if int(shown) > int(release):
            raise Broken("P8", f"{machine.id} runs release {shown} of {release}")
