"""One seeded world from its first to its last day, and what has to hold at its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from rotator.domain.rotation import ENDED, OPEN_ROLLOUTS, RolloutState, RotationState
from rotator.engine.checkpoint import verify_log
from rotator.engine.inventory import apply_manifest
from rotator.manifest import parse_manifest
from rotator.store.memory import MemoryStore
from rotator.store.schema import upgrade
from rotator.store.sealing import CheckpointSigner
from tests.simulation.lives import JOBS_SECONDS, LONGEST_NAP_SECONDS, Lives
from tests.simulation.manifest_text import manifest_text
from tests.simulation.organization import operator_token
from tests.simulation.people import People
from tests.simulation.plan import Act, Backend, CredentialPlan, Kill
from tests.simulation.process import (
    Process,
)
from tests.simulation.shadow import Shadow

SETTLE = timedelta(days=20)
"""How long everything may take to come to rest: longer than the longest patience of a step."""
TIDY_SECONDS = 6 * 3600.0

OPPORTUNITIES: Mapping[str, Callable[[Shadow], bool]] = {
    "abort": lambda shadow: shadow.has_rotation(RotationState.RUNNING),
    "undo": lambda shadow: shadow.has_rotation(RotationState.RETIRING),
    "retry": lambda shadow: shadow.has_rotation(RotationState.PARKED),
    "pause": lambda shadow: shadow.has_rollout(RolloutState.RUNNING),
    "abort_rollout": lambda shadow: shadow.has_rollout(RolloutState.RUNNING),
    "resume": lambda shadow: shadow.has_rollout(RolloutState.PAUSED),
}
"""What has to be under way for an operator to do this."""


class SeededWorld(Lives):
    """Everything of one plan in one event loop."""

    async def run(self) -> None:
        """Live through the plan, then let the faults stop and everything come to rest.

        Raises:
            Broken: a promise was.
        """
        self._main = asyncio.current_task()
        try:
            await self._live()
        except asyncio.CancelledError:
            if self.failure is None:
                raise
        if self.failure is not None:
            raise self.failure

    async def _live(self) -> None:
        if self.plan.backend is Backend.SQLITE:
            await upgrade(self.url)
        office = Process("office", -1, self._loop)
        self.office, client = self.parts(office)
        await self.apply(self.credentials)
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                for who in range(self.plan.workers):
                    group.create_task(self._worker(who, stop))
                watching = group.create_task(self._watch())
                await self._days()
                await self._settle()
                stop.set()
                for process in self._processes.values():
                    process.kill()
                watching.cancel()
        finally:
            await client.aclose()
        await self._check_end()
        await self.store.aclose()

    async def _days(self) -> None:
        """The time in which things go wrong."""
        people = People(self)
        timers: list[tuple[float, Callable[[], Coroutine[Any, Any, None]]]] = []
        for act in self.plan.acts:
            timers.append((act.at, lambda act=act: self._act(people, act)))  # type: ignore[misc]
        for kill in self.plan.kills:
            if kill.at is not None:
                timers.append((kill.at, lambda kill=kill: self._kill(kill)))  # type: ignore[misc]
        for jump in self.plan.jumps:
            timers.append((jump.at, lambda jump=jump: self._jump(jump)))  # type: ignore[misc]
        async with asyncio.TaskGroup() as group:
            for at, doing in timers:
                group.create_task(self._later(at, doing))
            await asyncio.sleep(self.plan.days * 86_400)

    async def _later(self, at: float, doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.sleep(at)
        await doing()

    async def _act(self, people: People, act: Act) -> None:
        await self._opportunity(act)
        came = await people.act(act)
        self.coverage.hit(f"act: {act.verb}{' (refused)' if came.startswith('refused') else ''}")
        self.trace("people", f"{act.verb}: {came}")

    async def _opportunity(self, act: Act) -> None:
        """Who wants to stop something waits until it is under way, and is a little late."""
        wanted = OPPORTUNITIES.get(act.verb)
        if wanted is None:
            return
        end = self.plan.days * 86_400
        while (left := end - self._loop.elapsed_seconds) > 0 and not wanted(self.shadow):
            await self._nap(min(left, LONGEST_NAP_SECONDS))
        await asyncio.sleep(act.dice % 40)

    async def _kill(self, kill: Kill) -> None:
        process = self._processes.get(kill.worker)
        if process is not None and not process.dead:
            self._kills.remove(kill)
            self.coverage.hit("kill")
            self.trace(process.name, "dies")
            process.kill()

    async def _jump(self, jump: Any) -> None:
        self.coverage.hit(f"clock jump {'forward' if jump.seconds > 0 else 'back'}")
        process = self._processes.get(jump.worker)
        if process is not None:
            self.trace(process.name, f"its clock jumps by {jump.seconds:.0f} s")
            process.clock.offset += timedelta(seconds=jump.seconds)
            await asyncio.sleep(jump.lasting)
            process.clock.offset = timedelta(0)

    async def apply(self, plans: Sequence[CredentialPlan]) -> None:
        """Apply a manifest."""
        text = manifest_text(plans)
        office = self.office
        manifest = parse_manifest(
            text, "rotator.toml", office.kinds, office.targets, self.clock.now()
        )
        await apply_manifest(office, manifest.specs, source="rotator.toml")
        self.credentials = plans
        self.plans.update({each.name: each for each in plans})

    async def replace_api_token(self, after: float) -> None:
        """rotator's token ends; after a while each worker starts anew with another one."""
        from rotator.simulator import tokens

        tokens.revoke(self.fly, self._api_token, "the operator")
        await asyncio.sleep(after)
        self._api_token = operator_token(self.fly)
        for process in self._processes.values():
            process.kill()

    # -- the end

    async def _settle(self) -> None:
        """Without faults, everything that was begun has to end."""
        self._over = self.chance.over = True
        self.faults.clear()
        self.chance.script = {} if self.chance.script is not None else None
        await self._come_to_rest(12 * 3600.0)
        self.credentials = [replace(each, every_hours=24 * 300) for each in self.credentials]
        await self.apply(self.credentials)
        await self._come_to_rest(JOBS_SECONDS * 2)

    async def _come_to_rest(self, seconds: float) -> None:
        """Until nothing has been under way for this long, or the time for it is over."""
        people = People(self)
        deadline = self.clock.now() + SETTLE
        rest = 0.0
        while self.clock.now() < deadline and rest < seconds:
            await people.tidy()
            await asyncio.sleep(TIDY_SECONDS)
            rest = rest + TIDY_SECONDS if self._at_rest() else 0.0

    def _at_rest(self) -> bool:
        open_rollouts = [r for r in self.shadow.rollouts.values() if r.state in OPEN_ROLLOUTS]
        overlapping = [r for r in self.shadow.rotations.values() if r.state not in ENDED]
        return not open_rollouts and not overlapping

    async def _check_end(self) -> None:
        self.fly.advance()
        self.promises.world_changed()
        self.promises.places_hold_good_values()
        self.promises.settled(self.effects.cordoned)
        self.promises.everything_was_told()
        verification = await verify_log(self.store, CheckpointSigner(self.ring))
        self.promises.log_holds(verification, len(self.shadow.events))
        self.promises.no_value_shows(await self._texts())

    async def _texts(self) -> list[str]:
        """Everything that somebody could read: the log, and what a debugger would print."""
        texts = [repr(event) for event in self.shadow.events]
        for rows in (self.shadow.rotations, self.shadow.versions, self.shadow.rollouts):
            texts += [repr(row) for row in rows.values()]
        texts += [repr(step) for steps in self.shadow.steps.values() for step in steps.values()]
        texts += self.logged
        if isinstance(self.store, MemoryStore):
            texts += [each.decode("latin-1") for each in self.store._database.sealed.rows.values()]
        if self.plan.backend is Backend.SQLITE and self._folder is not None:
            texts += [p.read_bytes().decode("latin-1") for p in self._folder.iterdir()]
        return texts

    logged: list[str] = []  # noqa: RUF012 - replaced by whoever runs the world


class Listener(logging.Handler):
    """Keeps what rotator logs, as it would be written."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        self.lines.append(self.format(record))
