"""Every state that can be reached, breadth first, with how it was reached."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from rotator.domain.credential import VersionState
from rotator.domain.protocol import planned_steps
from rotator.domain.rotation import ENDED, RotationState
from tests.exploration import walk
from tests.exploration.domain import SPEC, new_id, row_of
from tests.exploration.effects import CHANGES, COMMITS, Failed, Later, perform
from tests.exploration.people import mishaps, passing_time, retried, wishes
from tests.exploration.promises import broken
from tests.exploration.state import (
    BUSY,
    FROZEN,
    NOBODY,
    OLD,
    Journal,
    Move,
    Scenario,
    State,
    VersionRow,
    Worker,
    World,
    leases,
)

LONGEST_WAY = 400
"""Moves within which every rotation has to end once nothing fails any more."""
SHOWN_MOVES = 60
_ENDLESS = "P5: from here it never ends, although nothing fails any more"


@dataclass(frozen=True)
class Bounds:
    """How much may go wrong at most, and how often people interfere.

    Without `deadlines` a worker that wakes up after its claim has run out still does the effect
    that it was about to do; without `fences` it may even write to the journal.
    """

    faults: int = 2
    people: int = 1
    deadlines: bool = True
    fences: bool = True


@dataclass
class Report:
    """What an exploration has seen. `path` leads to the broken promise, if there is one."""

    scenario: Scenario
    states: int = 0
    transitions: int = 0
    faults: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    broken: str | None = None
    path: list[str] = field(default_factory=list)


class Explorer:
    """Enumerates one scenario."""

    def __init__(self, scenario: Scenario, bounds: Bounds) -> None:
        self._scenario, self._bounds = scenario, bounds
        self._came: dict[State, tuple[State, str] | None] = {}
        self._settled: dict[State, str | None] = {}

    def run(self) -> Report:
        """Look at every state. Stops at the first promise that does not hold."""
        begun = time.monotonic()
        report = Report(self._scenario)
        start = initial(self._scenario)
        self._came[start] = None
        best: dict[State, list[tuple[int, int]]] = {start: [(0, 0)]}
        queue = deque([(start, 0, 0)])
        while queue and report.broken is None:
            state, faults, people = queue.popleft()
            for move in self._moves(state, faults, people):
                spent = (faults + move.faults, people + move.people)
                report.transitions += 1
                report.faults += move.faults
                if self._known(best, move.state, spent):
                    continue
                self._came.setdefault(move.state, (state, move.what))
                wrong = broken(self._scenario, state, move.state)
                if wrong is not None:
                    report.broken = wrong
                    report.path = [*self._path(state), move.what]
                    break
                queue.append((move.state, *spent))
        if report.broken is None:
            self._see_that_all_end(report)
        report.states = len(best)
        report.seconds = time.monotonic() - begun
        return report

    def _known(
        self, best: dict[State, list[tuple[int, int]]], state: State, spent: tuple[int, int]
    ) -> bool:
        """Whether it was reached at no greater cost before: then nothing new follows from it."""
        costs = best.setdefault(state, [])
        if any(f <= spent[0] and p <= spent[1] for f, p in costs):
            return True
        costs.append(spent)
        return False

    def _path(self, state: State) -> list[str]:
        path = []
        here = self._came[state]
        while here is not None:
            state, what = here
            path.append(what)
            here = self._came[state]
        return path[::-1]

    def _moves(self, state: State, faults: int, people: int) -> Iterator[Move]:
        """Whatever may happen next, within what may still go wrong."""
        yield from self._calm_moves(state)
        if people < self._bounds.people:
            yield from wishes(self._scenario, state)
        if faults < self._bounds.faults:
            yield from mishaps(state)
            if state.busy is not None:
                yield from self._faults(state, state.busy)

    def _calm_moves(self, state: State) -> Iterator[Move]:
        """What happens where nothing goes wrong."""
        yield from self._frozen(state)
        if state.busy is not None:
            yield self._does(state, state.busy)
            return
        yield from self._claimed(state)
        yield from passing_time(self._scenario, state)

    def _faults(self, state: State, worker: Worker) -> Iterator[Move]:
        """Whatever may go wrong with the next thing that the worker does."""
        op = worker.ops[0]
        name = op.partition(" ")[0]
        yield Move(f"the worker dies before: {op}", _died(state), 1)
        if state.frozen is None:
            frozen = state._replace(
                busy=None, frozen=worker, world=leases(state.world, BUSY, FROZEN)
            )
            yield Move(f"the worker freezes before: {op}", frozen, 1)
        if name in COMMITS or name in ("begin", "free"):
            return
        yield Move(f"for now refused: {op}", self._waits(state, worker, on_purpose=False), 1)
        yield Move(f"refused for good: {op}", self._fails(state, worker), 1)
        if name in CHANGES:
            yield self._lost(state, worker)

    def _claimed(self, state: State) -> Iterator[Move]:
        """A worker claims it and looks what there is to do."""
        following = walk.decide(self._scenario, state.journal)
        if following is None:
            return
        journal, worker = following
        frozen = state.frozen._replace(stale=True) if state.frozen else None
        who = "another worker" if state.frozen and not state.frozen.stale else "a worker"
        what = f"{who} takes it on: {journal.state}"
        if worker is not None:
            what += f", {_about(journal, worker)}"
        yield Move(what, State(journal, state.world, worker, frozen))

    def _does(self, state: State, worker: Worker) -> Move:
        """The next thing, and it goes well."""
        op = worker.ops[0]
        journal, rest = state.journal, worker._replace(ops=worker.ops[1:])
        match op.partition(" ")[0]:
            case "begin":
                return Move(op, state._replace(journal=walk.begin(journal), busy=None))
            case "intent":
                journal, going = walk.intend(journal, rest)
                what = f"intent committed: {_about(journal, worker)}"
                return Move(what, state._replace(journal=journal, busy=going))
            case "commit":
                journal = walk.commit(self._scenario, journal, rest)
                what = f"outcome committed: {_about(journal, worker)}"
                world = _renewal_forgotten(state.world, state.journal, journal)
                return Move(what, state._replace(journal=journal, world=world, busy=None))
            case "reopen":
                return Move(op, state._replace(journal=walk.reopen(journal, rest), busy=None))
            case "mark":
                return Move(op, state._replace(busy=rest))
        try:
            world, going = perform(self._scenario, state, worker)
        except Failed:
            return Move(f"does not go: {op}", self._fails(state, worker))
        except Later as later:
            return Move(f"waits: {op}", self._waits(state, worker, on_purpose=later.held))
        return Move(f"done: {op}", state._replace(world=world, busy=going))

    def _lost(self, state: State, worker: Worker) -> Move:
        op = worker.ops[0]
        try:
            world, _ = perform(self._scenario, state, worker)
        except (Failed, Later):
            world = state.world
        after = state._replace(world=world)
        what = f"done, but the answer is lost: {op}"
        return Move(what, self._waits(after, worker, on_purpose=False), 1)

    def _waits(self, state: State, worker: Worker, *, on_purpose: bool) -> State:
        journal = walk.wait(state.journal, worker, on_purpose=on_purpose)
        return State(journal, leases(state.world, BUSY, NOBODY), None, state.frozen)

    def _fails(self, state: State, worker: Worker) -> State:
        journal = walk.fail(self._scenario, state.journal, worker)
        return State(journal, leases(state.world, BUSY, NOBODY), None, state.frozen)

    def _frozen(self, state: State) -> Iterator[Move]:
        """A frozen worker wakes up. One whose claim has run out may not do anything any more."""
        worker = state.frozen
        if worker is None:
            return
        op = worker.ops[0]
        if not worker.stale:
            if state.busy is None:
                world = leases(state.world, FROZEN, BUSY)
                yield Move("the frozen worker wakes up", State(state.journal, world, worker))
            return
        gone = state._replace(frozen=None, world=leases(state.world, FROZEN, NOBODY))
        name = op.partition(" ")[0]
        if name in COMMITS or name == "begin":
            if self._bounds.fences or name != "commit":
                yield Move(f"the frozen worker wakes up, and is fenced off: {op}", gone)
                return
            journal = walk.commit(self._scenario, state.journal, worker)
            yield Move(f"the frozen worker wakes up: {op}", gone._replace(journal=journal))
            return
        if self._bounds.deadlines:
            yield Move(f"the frozen worker wakes up too late for: {op}", gone)
            return
        try:
            world, going = perform(self._scenario, state, worker)
        except (Failed, Later):
            yield Move(f"the frozen worker wakes up, in vain: {op}", gone)
            return
        yield Move(f"the frozen worker wakes up: {op}", state._replace(world=world, frozen=going))

    def _see_that_all_end(self, report: Report) -> None:
        """From every state, once nothing fails any more, the rotation ends (P5)."""
        for state in self._came:
            end = state.journal.state
            if end in ENDED and state.busy is None:
                report.ends[end.value] = report.ends.get(end.value, 0) + 1
            wrong = self._on_the_calm_way(state)
            if wrong is not None:
                report.broken = wrong
                report.path = [*self._path(state), *self._way_on(state)]
                return

    def _on_the_calm_way(self, state: State) -> str | None:
        """What goes wrong from here on without any fault, while a person retries what is parked."""
        way: list[State] = []
        here = state
        wrong: str | None = None
        while here not in self._settled:
            way.append(here)
            move = self._calm(here)
            if move is None:
                if here.journal.state not in (RotationState.SUCCEEDED, RotationState.ROLLED_BACK):
                    wrong = _ENDLESS
                break
            if move.state not in self._came:
                wrong = broken(self._scenario, here, move.state)
            if wrong is not None or len(way) > LONGEST_WAY:
                wrong = wrong or _ENDLESS
                break
            here = move.state
        else:
            wrong = self._settled[here]
        self._settled |= dict.fromkeys(way, wrong)
        return wrong

    def _way_on(self, state: State) -> Iterator[str]:
        """The beginning of the calm way, for people to read."""
        for _ in range(SHOWN_MOVES):
            move = self._calm(state)
            if move is None:
                yield "and nothing more happens"
                return
            yield f"and without any fault: {move.what}"
            state = move.state
        yield "and so on"

    def _calm(self, state: State) -> Move | None:
        for move in self._calm_moves(state):
            return move
        if state.journal.state is RotationState.PARKED:
            return Move("somebody retries it", retried(self._scenario, state))
        return None


def initial(scenario: Scenario) -> State:
    """A queued rotation of a credential whose value is in use."""
    steps = planned_steps(SPEC, scenario.mode, "rotation", new_id)
    rows = tuple(row_of(step) for step in steps)
    old = VersionRow(VersionState.CURRENT, OLD, scenario.sealed)
    return State(Journal(RotationState.QUEUED, rows, (old,)), World())


def _died(state: State) -> State:
    return State(state.journal, leases(state.world, BUSY, NOBODY), None, state.frozen)


def _about(journal: Journal, worker: Worker) -> str:
    return next((s.name.value for s in journal.steps if s.position == worker.position), "begin")


def _renewal_forgotten(world: World, before: Journal, after: Journal) -> World:
    """A boot proves nothing of what is delivered after it."""
    if before.ledger == after.ledger:
        return world
    machines = tuple(m._replace(renewed=False) for m in world.machines)
    return world._replace(machines=machines)


def explore(scenario: Scenario, bounds: Bounds | None = None) -> Report:
    """Enumerate one scenario."""
    return Explorer(scenario, bounds or Bounds()).run()
