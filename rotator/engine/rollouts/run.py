"""What every part of one running rollout shares: its record, its marks, its view of the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from rotator.domain.credential import Credential
from rotator.domain.events import Action, Event, Outcome
from rotator.domain.machines import (
    MARK_RELEASE_ID,
    MARK_RELEASE_VERSION,
    MARK_ROLLOUT,
    MARK_SECRETS_VERSION,
    Machine,
)
from rotator.domain.ports import AppLock, Unit
from rotator.domain.rotation import MachineRestart, RestartState, Rollout, Rotation
from rotator.domain.sorting import Aim
from rotator.engine.adoption import all_machines
from rotator.engine.parts import Parts

_RECENT = timedelta(seconds=5)
"""A list of this age still tells what a plan that was made from it starts with."""


@dataclass
class Pace:
    """How quickly machines have become healthy in this rollout, in seconds: those of a group whose
    checks begin after the same grace period are alike."""

    _fastest: dict[tuple[str, timedelta], float] = field(default_factory=dict)

    def learn(self, machine: Machine, seconds: float) -> None:
        """One more machine has become healthy."""
        kind = (machine.process_group, machine.check_grace)
        self._fastest[kind] = min(seconds, self._fastest.get(kind, seconds))

    def fastest(self, machine: Machine) -> float | None:
        """The quickest of those that are like this one; None for the first."""
        return self._fastest.get((machine.process_group, machine.check_grace))


class FleetView:
    """Lists of the app's machines, shared by the plan and by groups that roll side by side.

    Fly lets an app be listed about once a second, so a list too many is a second lost.
    """

    def __init__(self, parts: Parts, app: str) -> None:
        self._parts, self._app = parts, app
        self._turn = asyncio.Lock()
        self._taken_at: datetime | None = None
        self._machines: Sequence[Machine] = ()

    async def since(self, at: datetime) -> Sequence[Machine]:
        """The machines as they were at this instant or later: one list serves all who ask."""
        async with self._turn:
            if self._taken_at is None or self._taken_at < at:
                begun = self._parts.clock.now()
                self._machines = await all_machines(self._parts.fleet, self._app)
                self._taken_at = begun
            return self._machines

    def forget(self) -> None:
        """Machines came or went by our own doing: the next who asks gets a new list."""
        self._taken_at = None

    async def recent(self) -> Sequence[Machine]:
        """The machines as they were a moment ago."""
        return await self.since(self._parts.clock.now() - _RECENT)

    async def fresh(self) -> Sequence[Machine]:
        """The machines as they are now."""
        return await self.since(self._parts.clock.now())


@dataclass(eq=False)
class _Entry:
    """A record that waits to be written, with the events that tell of it."""

    restart: MachineRestart
    events: Sequence[Event]
    written: bool = False


class Ledger:
    """Writes the records of machines. What comes while a transaction is under way shares the next
    one: a disk makes some hundred commits a second, and a wave may hold as many machines."""

    def __init__(self, parts: Parts, lock: AppLock) -> None:
        self._parts, self._lock = parts, lock
        self._turn = asyncio.Lock()
        self._queue: list[_Entry] = []

    async def write(self, restart: MachineRestart, events: Sequence[Event]) -> None:
        """Return when it is committed. An error is that of the transaction that held it."""
        entry = _Entry(restart, events)
        self._queue.append(entry)
        try:
            async with self._turn:
                if not entry.written:
                    await self._write_all()
        finally:
            if not entry.written and entry in self._queue:
                self._queue.remove(entry)

    async def _write_all(self) -> None:
        """Everything that waits. After a failure each of the others tries for itself and the rest,
        and raises its own error."""
        batch = list(self._queue)
        async with self._parts.store.unit() as unit:
            for each in batch:
                await unit.save_machine_restart(each.restart, self._lock)
                await unit.append(*each.events)
        for each in batch:
            each.written = True
        self._queue = [each for each in self._queue if not each.written]


@dataclass(frozen=True)
class RolloutRun:
    """One rollout at work under its app's lock.

    `aim` is what its rotation needs; the rollout itself asks for the newest secrets version, so
    that it serves every delivery made before. `rows` are the machines' records as they stand;
    `resumed` says that an earlier try, which may have died anywhere, had begun it; `failed_before`
    are failures that it saw, and that nobody has dealt with since.
    """

    parts: Parts
    rollout: Rollout
    lock: AppLock
    credential: Credential
    rotation: Rotation
    aim: Aim
    repairing: bool
    fleet: FleetView
    ledger: Ledger
    resumed: bool = False
    failed_before: tuple[MachineRestart, ...] = ()
    rows: dict[str, MachineRestart] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    halted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> datetime:
        """The present."""
        return self.parts.clock.now()

    def marks_for(self, machine: Machine) -> Mapping[str, str]:
        """What the machine carries in its metadata once it is updated. A release that somebody
        else made meanwhile stays named (P8), and loose machines never had one."""
        marks = {
            MARK_ROLLOUT: self.rollout.id,
            MARK_SECRETS_VERSION: str(self.rollout.secrets_version),
        }
        version = self.rollout.release_version
        ours = "fly_platform_version" in machine.metadata
        if (
            ours
            and version is not None
            and self.rollout.release_id
            and (version > machine.release_version)
        ):
            marks[MARK_RELEASE_ID] = self.rollout.release_id
            marks[MARK_RELEASE_VERSION] = str(version)
        return marks

    def row(self, machine: Machine, wave: int, state: RestartState, note: str) -> MachineRestart:
        """The machine's record, fresh or as an earlier try left it."""
        known = self.rows.get(machine.id)
        if known is not None:
            # What took over from a machine and failed is destroyed: the next try makes another.
            heir = None if known.state is RestartState.FAILED else known.replaced_by
            return replace(
                known, wave=wave, state=state, note=note, ended_at=None, replaced_by=heir
            )
        return MachineRestart(
            rollout_id=self.rollout.id,
            machine_id=machine.id,
            machine_name=machine.name,
            region=machine.region,
            process_group=machine.process_group,
            wave=wave,
            state=state,
            old_instance_id=machine.instance_id,
            note=note,
        )

    async def save(
        self, restart: MachineRestart, *told: tuple[Action, Outcome], unit: Unit | None = None
    ) -> MachineRestart:
        """Write a machine's record, with the events that tell of it in the same transaction."""
        events = [self.event(action, outcome, restart) for action, outcome in told]
        if unit is None:
            await self.ledger.write(restart, events)
        else:
            await unit.save_machine_restart(restart, self.lock)
            await unit.append(*events)
        self.rows[restart.machine_id] = restart
        return restart

    async def tell(self, action: Action, outcome: Outcome, **detail: str) -> None:
        """Append an event about the rollout as a whole."""
        async with self.parts.store.unit() as unit:
            await unit.append(self.event(action, outcome, detail=detail))

    def event(
        self,
        action: Action,
        outcome: Outcome,
        restart: MachineRestart | None = None,
        *,
        detail: Mapping[str, str] | None = None,
    ) -> Event:
        """An event about this rollout, or about one of its machines."""
        found = {"secrets_version": str(self.rollout.secrets_version), **(detail or {})}
        if restart is not None:
            found |= {
                "wave": str(restart.wave),
                "region": restart.region,
                "state": restart.state.value,
            }
            if restart.note:
                found["note"] = restart.note
            if restart.replaced_by:
                found["replaced_by"] = restart.replaced_by
        return Event(
            action=action,
            outcome=outcome,
            actor=self.parts.actor,
            at=self.now,
            reason=self.rotation.reason,
            credential=self.credential.name,
            kind=self.credential.spec.kind,
            organization=self.credential.spec.organization,
            app=self.rollout.app,
            machine=restart.machine_id if restart else None,
            rotation_id=self.rotation.id,
            rollout_id=self.rollout.id,
            detail=found,
        )
