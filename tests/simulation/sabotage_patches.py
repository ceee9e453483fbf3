"""Sabotages: each breaks rotator in one place while it runs.

What each is caught by stands in `sabotages`.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotator.domain import protocol
from rotator.domain.errors import OutcomeUnknown
from rotator.domain.events import Action
from rotator.domain.machines import RawConfig
from rotator.domain.policy import RolloutPolicy
from rotator.domain.ports import AppLock
from rotator.domain.rotation import Claim, Mode, Parked, StepName
from rotator.engine import advance, deliver, issue, outcome, reconcile, request, side_by_side, turn
from rotator.engine.rollouts import disposable, gate, lease, rehearsal, waves
from rotator.engine.rollouts import step as rollout_step
from rotator.engine.step import Result, StepContext
from rotator.fly import transport
from rotator.fly.fleet import FlyFleet
from rotator.store.memory.base import Database
from rotator.store.memory.fleet import FleetUnit
from rotator.store.memory.journal import JournalUnit
from rotator.store.memory.log import LogUnit
from rotator.store.memory.store import MemoryUnit
from rotator.store.sealing import KeyRing

Patch = pytest.MonkeyPatch


async def _nothing(*_: Any, **__: Any) -> None:
    return None


async def _no_result(_: StepContext) -> Result:
    return Result()


def _effects(patch: Patch, **changed: Any) -> None:
    new = {StepName[name.upper()]: effect for name, effect in changed.items()}
    patch.setattr(advance, "EFFECTS", {**advance.EFFECTS, **new})


def _order(patch: Patch, *names: StepName) -> None:
    patch.setattr(protocol, "SEQUENCES", {**protocol.SEQUENCES, Mode.NORMAL: names})


def forget_what_a_lost_answer_left(patch: Patch) -> None:
    """Never look for a value whose answer was lost."""

    async def none(*_: Any) -> tuple[str, ...]:
        return ()

    patch.setattr(issue, "revoke_leftovers", _nothing)
    patch.setattr(reconcile, "_revoke_leftovers", none)


def revoke_before_confirm(patch: Patch) -> None:
    """The old value goes before its consumers have the new one."""
    s = StepName
    _order(patch, s.MINT, s.PROVE, s.DELIVER, s.RETIRE, s.ROLL_OUT, s.CONFIRM, s.PROMOTE)


def promote_before_confirm(patch: Patch) -> None:
    """The new value counts as current before it is in use."""
    s = StepName
    _order(patch, s.MINT, s.PROVE, s.DELIVER, s.PROMOTE, s.ROLL_OUT, s.CONFIRM, s.RETIRE)


def neither_restart_nor_confirm(patch: Patch) -> None:
    """Adoption is taken for granted."""
    patch.setattr(side_by_side, "roll_out", _no_result)
    _effects(patch, confirm=_no_result)


def drop_fencing(patch: Patch) -> None:
    """A claim that has passed on is as good as one that stands."""

    async def held(self: JournalUnit, _: Claim, rotation_id: str) -> Any:
        return await self._tx.locked(self._db.rotations, rotation_id)

    patch.setattr(JournalUnit, "_held", held)


def claim_what_is_claimed(patch: Patch) -> None:
    """A live claim is no obstacle."""

    async def claim(self: JournalUnit, rotation_id: str, worker: str, ttl: timedelta) -> Claim:
        row = await self._tx.locked(self._db.rotations, rotation_id)
        assert row is not None
        made = Claim(rotation_id, worker, row.fence + 1, await self.database_now() + ttl)
        await self._write_claim(row, made)
        return made

    patch.setattr(JournalUnit, "claim", claim)


def take_an_app_that_is_locked(patch: Patch) -> None:
    """Two rollouts of one app at a time."""

    async def lock(self: FleetUnit, app: str, holder: str, ttl: timedelta) -> AppLock:
        return AppLock(app, holder, 1, await self.database_now() + ttl)

    async def none(*_: Any) -> None:
        return None

    usual = Database.__init__

    def lax(self: Database) -> None:
        usual(self)
        self.rollouts.unique = {"uq_rollouts_open": lambda _: None}

    patch.setattr(Database, "__init__", lax)
    patch.setattr(FleetUnit, "lock_app", lock)
    patch.setattr(FleetUnit, "_locked", none)
    patch.setattr(FleetUnit, "open_rollout", none)


def ignore_an_unknown_commit(patch: Patch) -> None:
    """Go on as if an intent were committed, although the database did not say so."""
    usual = outcome.commit_intent

    async def careless(ctx: StepContext) -> None:
        try:
            await usual(ctx)
        except OutcomeUnknown:
            return

    patch.setattr(advance, "commit_intent", careless)
    patch.setattr(side_by_side, "commit_intent", careless)


def repeat_an_unsafe_call(patch: Patch) -> None:
    """Repeat a change whose answer was lost, without a look."""
    usual = transport._repeatable
    patch.setattr(
        transport, "_repeatable", lambda c, e: isinstance(e, OutcomeUnknown) or usual(c, e)
    )


def give_leases_back_early(patch: Patch) -> None:
    """Change a machine under a lease that is no longer held."""
    usual = lease._acquire

    async def short(run: Any, machine_id: str) -> Any:
        taken = await usual(run, machine_id)
        await lease._release(run, machine_id, taken)
        return taken

    patch.setattr(lease, "_acquire", short)


def keep_leases(patch: Patch) -> None:
    """Never give a lease back, and take it for a season."""
    usual = FlyFleet._lease

    async def long(self: FlyFleet, app: str, machine: str, _: int, *rest: Any) -> Any:
        return await usual(self, app, machine, 90 * 86_400, *rest)

    patch.setattr(FlyFleet, "_lease", long)
    patch.setattr(FlyFleet, "release_lease", _nothing)


def restart_all_waves_at_once(patch: Patch) -> None:
    """Who is away already does not count, and a group is one wave."""
    from rotator.domain import rollout

    patch.setattr(rollout, "_slices", lambda machines, _: [list(machines)] if machines else [])
    patch.setattr(waves, "within_budget", lambda _, wave, __: list(wave))


def go_on_after_a_failure(patch: Patch) -> None:
    """A sick machine does not stop the rollout."""
    patch.setattr(gate.Gate, "shut", property(lambda _: False))


def log_a_value(patch: Patch) -> None:
    """A value in a log line."""
    usual = deliver._rendered

    async def talkative(ctx: StepContext, version_id: str | None) -> Any:
        value = await usual(ctx, version_id)
        logging.getLogger("rotator").debug("delivering %s", value.reveal())
        return value

    patch.setattr(deliver, "_rendered", talkative)


def store_values_unsealed(patch: Patch) -> None:
    """A value in the database as it is."""
    from rotator.domain.secret import Secret

    patch.setattr(KeyRing, "seal", lambda _, __, value: value.reveal().encode())
    patch.setattr(KeyRing, "open", lambda _, __, sealed: Secret(sealed.decode()))


def put_a_value_into_an_event(patch: Patch) -> None:
    """A value in the audit log."""
    usual = deliver._rendered

    async def noted(ctx: StepContext, version_id: str | None) -> Any:
        value = await usual(ctx, version_id)
        ctx.notes["value"] = value.reveal()
        return value

    patch.setattr(deliver, "_rendered", noted)


def skip_outcomes(patch: Patch) -> None:
    """No event after an effect."""
    usual = LogUnit.append

    async def some(self: LogUnit, *events: Any) -> None:
        await usual(self, *(e for e in events if e.action is not Action.STEP_DONE))

    patch.setattr(LogUnit, "append", some)


def skip_the_intent_of_an_update(patch: Patch) -> None:
    """No event before an effect."""
    usual = LogUnit.append

    async def some(self: LogUnit, *events: Any) -> None:
        await usual(self, *(e for e in events if e.action is not Action.MACHINE_UPDATING))

    patch.setattr(LogUnit, "append", some)


def edit_an_event(patch: Patch) -> None:
    """The log says something else than what was hashed."""
    usual = MemoryUnit.flush_events

    async def forged(self: MemoryUnit) -> None:
        await usual(self)
        for number, placed in enumerate(self._placed):
            if placed.sequence % 50 == 0:
                edited = replace(placed.event, reason="edited")
                self._placed[number] = replace(placed, event=edited)

    patch.setattr(MemoryUnit, "flush_events", forged)


def trust_a_list_at_once(patch: Patch) -> None:
    """Don't wait until a list can no longer hide what was just made."""
    patch.setattr(issue, "_wait_for_lists", lambda _: None)


def wake_what_sleeps(patch: Patch) -> None:
    """Update a stopped or suspended machine in a way that may start it."""
    usual = FlyFleet.update

    async def waking(self: FlyFleet, machine: Any, **given: Any) -> Any:
        return await usual(self, machine, **(given | {"skip_launch": False}))

    patch.setattr(FlyFleet, "update", waking)


def overwrite_a_deploy(patch: Patch) -> None:
    """Update with the config that a machine had when it was first seen."""
    usual, seen = FlyFleet.update, dict[str, RawConfig]()

    async def stale(self: FlyFleet, machine: Any, **given: Any) -> Any:
        config = seen.setdefault(machine.id, machine.config)
        return await usual(self, replace(machine, config=config), **given)

    patch.setattr(FlyFleet, "update", stale)


def park_without_a_cause(patch: Patch) -> None:
    """Leave a person without a word."""
    patch.setattr(turn, "_parked", lambda *_: Parked("", "", ""))


def forget_a_rotation_that_waits(patch: Patch) -> None:
    """A wait without an end to it."""
    usual = JournalUnit.save_rotation

    async def forgetful(self: JournalUnit, rotation: Any, claim: Any) -> None:
        waits = rotation.resume_at and rotation.resume_at > await self.database_now()
        await usual(self, replace(rotation, resume_at=None) if waits else rotation, claim)

    patch.setattr(JournalUnit, "save_rotation", forgetful)


def leave_machines_out_of_the_proxy(patch: Patch) -> None:
    """Drain, and don't undrain."""
    patch.setattr(FlyFleet, "uncordon", _nothing)


def leave_rehearsals_behind(patch: Patch) -> None:
    """Machines that were made are not destroyed."""
    for module in (disposable, rehearsal, rollout_step):
        for name in ("destroy", "destroy_quietly", "destroy_leftovers"):
            if hasattr(module, name):
                patch.setattr(module, name, _nothing)
    patch.setattr("rotator.engine.rollouts.bluegreen.destroy_quietly", _nothing)


def forget_to_restore(patch: Patch) -> None:
    """Take the new value away from the issuer, but not from its consumers."""
    _effects(patch, restore=_no_result)


def rotate_twice_at_a_time(patch: Patch) -> None:
    """Nothing keeps two rotations of a credential apart."""
    usual = Database.__init__

    def lax(self: Database) -> None:
        usual(self)
        self.rotations.unique = {"uq_rotations_active": lambda _: None}

    async def none(*_: Any) -> None:
        return None

    patch.setattr(Database, "__init__", lax)
    patch.setattr(JournalUnit, "active_rotation", none)
    patch.setattr(request, "_refuse_unfit", none)


def restart_as_many_as_there_are(patch: Patch) -> None:
    """The policy's limit on machines that are away is not read."""
    from rotator.domain import rollout

    patch.setattr(rollout, "unavailable_budget", _size)


def _size(_: RolloutPolicy, size: int, __: int = 0) -> int:
    return max(1, size)
