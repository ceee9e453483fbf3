"""What happens between a process and the outside: there it is looked at, and there it may die."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.responses import Response

from rotator.domain.events import Action
from rotator.simulator.gateway import Asked
from tests.simulation.effects import changes
from tests.simulation.foundation import Foundation
from tests.simulation.process import (
    Process,
    Working,
    Write,
    events_in,
)


class Moments(Foundation):
    """The hooks of processes: checks at each effect and commit, deaths and freezes in between."""

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
