"""One seeded world: organisation, database, workers that die and freeze, people, and the checks."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.responses import Response

from rotator.domain.errors import RotatorError
from rotator.domain.events import Action
from rotator.domain.rotation import ENDED, OPEN_ROLLOUTS, Actor, RolloutState, RotationState
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.checkpoint import verify_log
from rotator.engine.inventory import apply_manifest
from rotator.engine.parts import Limits, Parts
from rotator.fly.client import FlyClient
from rotator.kinds.registry import builtin_kinds
from rotator.manifest import parse_manifest
from rotator.simulator.gateway import Asked
from rotator.simulator.world import Transition
from rotator.store.memory import MemoryStore
from rotator.store.schema import upgrade
from rotator.store.sealing import CheckpointSigner, KeyRing, new_key
from rotator.store.store import SqlStore
from rotator.targets.registry import builtin_targets
from tests.simulation.broken import Broken
from tests.simulation.chance import Chance, ScriptedFaults
from tests.simulation.coverage import Coverage
from tests.simulation.disk import Disk, DiskTarget
from tests.simulation.effects import Effects, changes
from tests.simulation.invariants import Promises
from tests.simulation.manifest_text import manifest_text
from tests.simulation.network import Network, Probes, rewire
from tests.simulation.organization import build, operator_token
from tests.simulation.people import People, header_of
from tests.simulation.plan import Act, Backend, CredentialPlan, Kill, Plan
from tests.simulation.process import (
    STEP,
    Hooks,
    Process,
    ProcessNetwork,
    ProcessStore,
    Working,
    Write,
    events_in,
)
from tests.simulation.shadow import Shadow
from tests.simulation.virtual_time import BEGIN, SeededEntropy, VirtualLoop

SETTLE = timedelta(days=20)
"""How long everything may take to come to rest: longer than the longest patience of a step."""
TIDY_SECONDS = 6 * 3600.0
LONGEST_NAP_SECONDS = 6 * 3600.0
TICK_SECONDS = 2.0
JOBS_SECONDS = 12 * 3600.0
FORGOTTEN = timedelta(hours=1)
TRACE_KEPT = 4000

OPPORTUNITIES: Mapping[str, Callable[[Shadow], bool]] = {
    "abort": lambda shadow: shadow.has_rotation(RotationState.RUNNING),
    "undo": lambda shadow: shadow.has_rotation(RotationState.RETIRING),
    "retry": lambda shadow: shadow.has_rotation(RotationState.PARKED),
    "pause": lambda shadow: shadow.has_rollout(RolloutState.RUNNING),
    "abort_rollout": lambda shadow: shadow.has_rollout(RolloutState.RUNNING),
    "resume": lambda shadow: shadow.has_rollout(RolloutState.PAUSED),
}
"""What has to be under way for an operator to do this."""


class ServerClock:
    """The right time: Fly's, and that of a database server."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """The present."""
        return BEGIN + timedelta(seconds=self._loop.elapsed_seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SeededWorld(Hooks):
    """Everything of one plan in one event loop."""

    def __init__(self, plan: Plan, loop: VirtualLoop, folder: Path | None = None) -> None:
        self.plan, self._loop, self._folder = plan, loop, folder
        self.clock = ServerClock(loop)
        self.fly, self._api_token = build(plan, self.clock.now, asyncio.sleep)
        self.chance = Chance(plan)
        self.faults = ScriptedFaults(plan, self.chance)
        self.fly.faults = self.faults
        self.coverage = Coverage()
        self.disk = Disk()
        self.shadow = Shadow()
        self.credentials: Sequence[CredentialPlan] = plan.credentials
        self.plans = {each.name: each for each in plan.credentials}
        self.names = [each.name for each in plan.credentials]
        self.promises = Promises(self.fly, self.shadow, self.plans, self.disk.files, set)
        rollouts = {each.name: each.rollout for each in plan.credentials}
        self.effects = Effects(self.fly, self.shadow, rollouts)
        self._rng = random.Random(f"world {plan.seed}")
        self.entropy = SeededEntropy(random.Random(f"entropy {plan.seed}"))
        self.ring = KeyRing([Secret(new_key(self.entropy.token_bytes))], self.entropy.token_bytes)
        self.network = Network(self.fly)
        self.store = self._store()
        self._turn = None if plan.backend is Backend.POSTGRESQL_LIKE else asyncio.Lock()
        self._kills = list(plan.kills)
        self._freezes = list(plan.freezes)
        self._moments: Counter[tuple[str, str]] = Counter()
        self._processes: dict[int, Process] = {}
        self._incarnations = 0
        self._naps = 0
        self._sleepers: dict[int, asyncio.Event] = {}
        self._over = False
        self._lines: list[str] = []
        self._hash = hashlib.sha256()
        self.keep_trace = False
        self.retried: dict[str, int] = {}
        self.office: Parts
        self.failure: Broken | None = None
        self._main: asyncio.Task[Any] | None = None
        self._watch_agenda()

    def held(self, check: Callable[..., object], *given: object) -> None:
        """Make a check; the first promise that turns out broken ends the world."""
        try:
            check(*given)
        except Broken as broken:
            if self.failure is None:
                self.failure = broken
                self.trace("checks", str(broken))
                if self._main is not None:
                    self._main.cancel()

    # -- building

    def _store(self) -> Any:
        if self.plan.backend is Backend.SQLITE:
            assert self._folder is not None
            self.url = f"sqlite:///{self._folder / 'rotator.db'}"
            return SqlStore(self.url, self.ring, self.clock)
        pause = self._statement if self.plan.backend is Backend.POSTGRESQL_LIKE else None
        return MemoryStore(self.ring, self.clock, pause=pause)

    async def _statement(self) -> None:
        """A round trip to the database: mostly at once, now and then others come between."""
        if self.plan.workers > 1 and self._rng.random() < 0.1:
            await asyncio.sleep(self._rng.uniform(0.0005, 0.02))

    def _watch_agenda(self) -> None:
        """Every transition happens at its own time, and is looked at right after."""
        plan, fly = self.fly.plan, self.fly

        def planned(at: datetime, transition: Transition) -> None:
            def looked_at(when: datetime) -> None:
                transition(when)
                self.held(self.promises.world_changed)

            plan(at, looked_at)
            seconds = (at - self.clock.now()).total_seconds()
            self._loop.call_later(max(0.0, seconds), fly.advance)

        self.fly.plan = planned  # type: ignore[method-assign]

    def parts(self, process: Process) -> tuple[Parts, FlyClient]:
        """What a fresh process works with."""
        token = Secret(header_of(self._api_token))
        client = FlyClient(
            "http://fly", "http://fly", token, process.clock, self.entropy, http=Probes(self.fly)
        )
        rewire(client, ProcessNetwork(self.network, process, self).send)
        targets = dict(builtin_targets(client))
        targets["file"] = DiskTarget(self.disk, lambda path: self._disk_effect(process, path))
        parts = Parts(
            store=ProcessStore(self.store, process, self, self._turn),
            kinds=builtin_kinds(client, process.clock),
            targets=targets,
            fleet=client.fleet,
            releases=client.releases,
            prober=client.prober,
            authority=client.authority,
            calls=client.calls,
            clock=process.clock,
            entropy=self.entropy,
            worker_id=process.name,
            actor=Actor("worker", process.name),
            limits=Limits(),
        )
        return parts, client

    def _disk_effect(self, process: Process, path: str) -> str | None:
        if process.dead:
            raise asyncio.CancelledError
        working = STEP.get()
        self.trace(process.name, f"writes {path}")
        if working is not None:
            self._moment(process, working.step, "amid")
        return None

    # -- the story

    def trace(self, who: str, what: str) -> None:
        """One line of the story."""
        line = f"{self._loop.elapsed_seconds:14.6f}  {who:<12}  {what}"
        self._hash.update(line.encode())
        self._lines.append(line)
        if not self.keep_trace and len(self._lines) > TRACE_KEPT:
            del self._lines[: TRACE_KEPT // 2]

    @property
    def story(self) -> list[str]:
        """The lines that are kept."""
        return self._lines

    @property
    def trace_hash(self) -> str:
        """The hash over all lines."""
        return self._hash.hexdigest()

    # -- hooks: what happens between a process and the outside

    def sending(self, process: Process, asked: Asked, working: Working | None) -> None:
        """P3 is held at the sending; a process may die or freeze before it."""
        self._moment(process, working.step if working else "", "sending")
        if process.dead or process.frozen:
            return
        if process.who >= 0:
            self.held(self.effects.sending, process, asked, working)
        if working is not None and changes(asked) and self.chance.loss_of(working.step):
            self.faults.lose_next = True

    def around(
        self,
        process: Process,
        asked: Asked,
        headers: Mapping[str, str],
        working: Working | None,
    ) -> Callable[[Response], None]:
        """Each effect is looked at as it happens."""
        before = self.effects.before(asked)
        step = working.step if working else "-"

        def served(response: Response) -> None:
            what = "/".join(asked.fields) if asked.fields else asked.path
            self.trace(process.name, f"{step}: {asked.method} {what} -> {response.status_code}")
            self.held(self.effects.served, asked, headers, before, response)
            if asked.method != "GET":
                self.held(self.promises.world_changed)
                if changes(asked):
                    self.held(self.promises.places_hold_good_values)

        return served

    def arrived(self, process: Process, asked: Asked, working: Working | None) -> None:
        """A process may die right after an effect, before it can note it."""
        if working is not None and changes(asked):
            self._moment(process, working.step, "amid")

    def lost(self, process: Process, asked: Asked, working: Working | None) -> None:
        """An answer was lost: the process has to find out what came of its request."""
        self.trace(process.name, "  (the answer is lost)")
        if working is not None and process.who >= 0:
            self.coverage.hit_step(working.step, "lost response")

    def transaction(self, process: Process) -> str | None:
        """The database's faults."""
        fault = self.chance.of_database() if process.who >= 0 else None
        if fault:
            self.trace(process.name, f"database: {fault}")
        return fault

    def committing(self, process: Process, writes: list[Write]) -> str | None:
        """Right before an outcome is committed."""
        for event in events_in(writes):
            if event.action is Action.STEP_DONE:
                step = event.detail.get("step", "")
                self._moment(process, step, "after")
                if step == "promote" and self.chance.loss_of(step):
                    self.coverage.hit_step(step, "lost response")
                    return "lost_after"
        return None

    def committed(self, process: Process, writes: list[Write]) -> None:
        """What is committed is looked at at once."""
        self.shadow.apply(writes)
        for event in events_in(writes):
            about = event.detail.get("step") or event.machine or event.app or event.credential
            self.trace(process.name, f"{event.action} {event.outcome} {about}")
            if event.action is Action.STEP_DONE:
                self.coverage.hit_step(event.detail.get("step", ""), "done")
        for name, args, _ in writes:
            if name == "save_machine_restart":
                self.effects.restart_saved(args[0])
            elif name == "resume_rollout":
                self.effects.rollout_resumed(args[0])
        self.held(self.promises.committed, writes)
        for sleeper in self._sleepers.values():
            sleeper.set()

    def after_commit(self, process: Process, writes: list[Write]) -> None:
        """A process may die between its intent and the effect."""
        for event in events_in(writes):
            step = event.detail.get("step", "")
            if event.action is Action.STEP_INTENDED:
                self._moment(process, step, "before")
            elif event.action is Action.STEP_DONE:
                self._moment(process, step, "committed")

    # -- dying and freezing

    def _moment(self, process: Process, step: str, phase: str) -> None:
        """A step is at a phase: the plan may want this process dead, or standing still."""
        if process.dead or process.who < 0 or self._over:
            return
        self._moments[(step, phase)] += 1
        nth = self._moments[(step, phase)]
        for kill in self._kills:
            if kill.at is None and (kill.step, kill.phase, kill.nth) == (step, phase, nth):
                self._kills.remove(kill)
                self._count_crash(step, phase)
                self.trace(process.name, f"dies {phase} {step}")
                process.kill()
                return
        for freeze in self._freezes:
            if (freeze.step, freeze.phase, freeze.nth) == (step, phase, nth):
                self._freezes.remove(freeze)
                self.coverage.hit("freeze")
                self.trace(process.name, f"stands still for {freeze.seconds:.0f} s {phase} {step}")
                process.freeze(freeze.seconds)
                return

    def _count_crash(self, step: str, phase: str) -> None:
        self.coverage.hit("kill")
        crash = {"before": "crash before", "after": "crash after", "amid": "crash after"}
        if phase in crash:
            self.coverage.hit_step(step, crash[phase])

    # -- lives

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

    async def _worker(self, who: int, stop: asyncio.Event) -> None:
        """A worker: one process after the other."""
        while not stop.is_set() and self.failure is None:
            self._incarnations += 1
            process = Process(f"worker-{who + 1}.{self._incarnations}", who, self._loop)
            self._processes[who] = process
            parts, client = self.parts(process)
            process.main = asyncio.create_task(self._life(parts))
            await asyncio.wait([process.main])
            process.dead = True
            if not process.main.cancelled() and process.main.exception() is not None:
                raise process.main.exception() or AssertionError
            if process.under_way:
                await asyncio.wait(process.under_way)
            await client.aclose()
            if not stop.is_set():
                kill = next((k for k in self.plan.kills if k.worker == who), None)
                await asyncio.sleep(kill.away_seconds if kill else 5.0)

    async def _life(self, parts: Parts) -> None:
        """What a daemon does, but with naps as long as nothing is due."""
        runner = jobs.Runner(parts)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(runner.run_ready, self.shadow.next_resume))
            group.create_task(self._again(lambda: jobs.find_due(parts), self.shadow.next_due))
            group.create_task(self._regularly(parts))

    async def _again(
        self, job: Callable[[], Coroutine[Any, Any, object]], wish: Callable[[], datetime | None]
    ) -> None:
        """Do a job whenever the database may want it: what can't be done now is tried less and
        less often, until something is committed."""
        stalled = 0
        while True:
            with suppress(RotatorError):
                await job()
            wanted = wish()
            left = (wanted - self.clock.now()).total_seconds() if wanted else LONGEST_NAP_SECONDS
            stalled = stalled + 1 if left <= 0 else 0
            # A claim may run out at any time; what else can't be done now waits for a commit.
            longest = 10.0 if self.shadow.claims else 900.0
            left = max(left, min(TICK_SECONDS * 2**stalled, longest) if stalled else 0.0)
            if await self._nap(min(left, LONGEST_NAP_SECONDS)):
                stalled = 0

    async def _nap(self, seconds: float) -> bool:
        """Whether something was committed meanwhile."""
        woken = asyncio.Event()
        self._naps += 1
        number = self._naps
        self._sleepers[number] = woken
        try:
            async with asyncio.timeout(seconds):
                await woken.wait()
        except TimeoutError:
            return False
        finally:
            del self._sleepers[number]
        await asyncio.sleep(TICK_SECONDS)
        return True

    async def _regularly(self, parts: Parts) -> None:
        signer = CheckpointSigner(self.ring)
        while True:
            for job in (
                lambda: jobs.recover(parts),
                lambda: jobs.reconcile_all(parts),
                lambda: jobs.watch_expiries(parts),
                lambda: jobs.sign(parts, signer),
            ):
                with suppress(RotatorError):
                    await job()
            await asyncio.sleep(JOBS_SECONDS)

    async def _watch(self) -> None:
        """P5 and P6, from time to time."""
        longest_jump = max((abs(j.seconds) for j in self.plan.jumps), default=0.0)
        slack = FORGOTTEN + timedelta(seconds=longest_jump)
        while True:
            await asyncio.sleep(6 * 3600.0)
            if all(not p.dead and not p.frozen for p in self._processes.values()):
                self.held(self.promises.nobody_is_forgotten, self.clock.now(), slack)

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
