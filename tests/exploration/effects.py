"""What a worker does outside, one small effect at a time, in a model of the world.

Each function takes the state and the worker, and gives the world and the worker as they are after
it. The planner, the budget and the judgement of machines are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rotator.domain.rollout import RolloutPlan, plan_rollout
from rotator.domain.rotation import Mode, Step, StepName
from rotator.domain.sorting import Aim
from rotator.engine import adoption
from rotator.engine.rollouts import waves
from tests.exploration.domain import (
    NOW,
    SECRET,
    TARGET,
    deliveries,
    machines_of,
    pass_of,
)
from tests.exploration.state import (
    BUSY,
    FROZEN,
    NOBODY,
    OLD,
    Journal,
    MachineRow,
    Scenario,
    State,
    Worker,
    World,
    with_machine,
)

NAMES = frozenset({SECRET})
_RESTART = ("lease", "read", "mark", "update", "health", "free")


class Failed(Exception):
    """The step has failed for good."""


class Later(Exception):
    """The step has to wait. `held` where rotator itself holds back."""

    def __init__(self, *, held: bool = False) -> None:
        super().__init__()
        self.held = held


Done = tuple[World, Worker]


def perform(scenario: Scenario, state: State, worker: Worker) -> Done:
    """Do the next effect of the worker. Raises `Failed` and `Later` as the engine's effects do."""
    name, _, machine = worker.ops[0].partition(" ")
    rest = worker._replace(ops=worker.ops[1:])
    if machine:
        return _ON_MACHINE[name](state, rest, int(machine))
    return _EFFECTS[name](scenario, state, rest)


def new_value(journal: Journal) -> int | None:
    """The value that the rotation issued, as far as the journal knows."""
    return None if journal.new is None else journal.versions[journal.new].value


def _mint(_: Scenario, state: State, worker: Worker) -> Done:
    world = state.world
    value = world.minted + 1
    world = world._replace(living=world.living | {value}, minted=value)
    return world, worker._replace(minted=value)


def _leftovers(_: Scenario, state: State, worker: Worker) -> Done:
    """Revoke one value under the rotation's name, but for the one to be kept; then look again."""
    name = _step(state, worker).name
    keep = new_value(state.journal) if name is StepName.RETIRE else None
    found = sorted(v for v in state.world.living if v not in (OLD, keep))
    if not found:
        return state.world, worker
    return _without(state.world, found[0]), worker._replace(ops=("leftovers", *worker.ops))


def _prove(_: Scenario, state: State, worker: Worker) -> Done:
    if new_value(state.journal) not in state.world.living:
        raise Failed
    return state.world, worker


def _look(_: Scenario, state: State, worker: Worker) -> Done:
    return state.world, worker


def _write(_: Scenario, state: State, worker: Worker) -> Done:
    """Write to the target: the new value, or on the way back the old one."""
    world, journal = state.world, state.journal
    back = _step(state, worker).name is StepName.RESTORE
    index = OLD if back else journal.new
    if index is None or not journal.versions[index].sealed:
        raise Failed
    value = journal.versions[index].value
    if value is None:
        raise Failed
    version = world.version + 1
    return world._replace(value=value, version=version), worker._replace(floor=version)


def _confirm(_: Scenario, state: State, worker: Worker) -> Done:
    """Targets first, then machines; a machine that is stale sends the walk back to the rollout."""
    steps = pass_of(state.journal)
    if state.world.value != new_value(state.journal):
        raise Failed
    floor = max((_floor(s) for s in deliveries(steps, StepName.DELIVER)), default=0)
    found = adoption.judge(
        machines_of(state.world.machines),
        TARGET.rollout,
        names=NAMES,
        floor=floor,
        delivered_at=NOW,
    )
    if found.stale:
        return state.world, worker._replace(ops=("reopen",))
    if found.unreachable or found.sleeping or found.finishing:
        raise Later(held=True)
    return state.world, worker


def _restored(_: Scenario, state: State, worker: Worker) -> Done:
    """Before the new value is revoked: no machine may still hold it."""
    steps = pass_of(state.journal)
    restored = deliveries(steps, StepName.RESTORE)
    if restored:
        floor = max(_floor(s) for s in restored)
        first = min(_floor(s) for s in steps if s.name is StepName.DELIVER)
        if any(
            adoption.may_hold(machine, floor=first, delivered_at=NOW)
            and not machine.holds(floor=floor, delivered_at=NOW)
            for machine in machines_of(state.world.machines)
        ):
            return state.world, worker._replace(ops=("reopen",))
    return state.world, worker


def _revoke_new(_: Scenario, state: State, worker: Worker) -> Done:
    return _without(state.world, new_value(state.journal)), worker


def _revoke_old(_: Scenario, state: State, worker: Worker) -> Done:
    return _without(state.world, OLD), worker._replace(revoked=True)


def _disprove(_: Scenario, state: State, worker: Worker) -> Done:
    if OLD in state.world.living:
        raise Failed
    return state.world, worker


def _without(world: World, value: int | None) -> World:
    return world._replace(living=world.living - {value})


def _plan(scenario: Scenario, state: State, worker: Worker) -> Done:
    """Plan over the machines as they are, and begin with the first that may go (P4)."""
    world = state.world
    plan = plan_of(scenario, state, _step(state, worker))
    if plan.idle:
        return world, worker
    chain = plan.chains[0]
    portion = waves.within_budget(chain, chain.waves[0], machines_of(world.machines))
    if not portion:
        raise Later
    ops = tuple(f"{op} {machine.id}" for op in _RESTART for machine in portion)
    return world, worker._replace(ops=(*ops, "plan", *worker.ops))


def plan_of(scenario: Scenario, state: State, step: Step) -> RolloutPlan:
    """The engine's plan for a rollout or a roll-back."""
    back = step.name is StepName.ROLL_BACK
    steps = pass_of(state.journal)
    written = deliveries(steps, StepName.RESTORE if back else StepName.DELIVER)
    floor, wanted = _aimed_at(state, step)
    machines = machines_of(state.world.machines)
    if back:
        begun = [s for s in steps if s.name is StepName.DELIVER and s.attempt]
        first = min((_floor(s) for s in begun if _floor(s)), default=0)
        machines = tuple(m for m in machines if adoption.may_hold(m, floor=first, delivered_at=NOW))
    aim = Aim(NAMES, floor, NOW if written else None, f"rollout to {wanted}")
    forced = scenario.mode is not Mode.NORMAL
    return plan_rollout(machines, TARGET.rollout, aim, repairing=back, forced=forced)


def _aimed_at(state: State, step: Step) -> tuple[int, int]:
    """The secrets version that the step needs, and the one that it asks for."""
    name = StepName.RESTORE if step.name is StepName.ROLL_BACK else StepName.DELIVER
    written = deliveries(pass_of(state.journal), name)
    floor = max((_floor(s) for s in written), default=0) or state.journal.ledger
    return floor, max(floor, state.journal.ledger)


def _lease(state: State, worker: Worker, number: int) -> Done:
    """Take it. One that a dead or frozen worker left has run out by the time that we get it."""
    machine = state.world.machines[number]
    return with_machine(state.world, number, machine._replace(lease=_holder(worker))), worker


def _holder(worker: Worker) -> str:
    return FROZEN if worker.stale else BUSY


def _read(state: State, worker: Worker, number: int) -> Done:
    return state.world, _having_read(worker, number, state.world.machines[number])


def _having_read(worker: Worker, number: int, machine: MachineRow | None) -> Worker:
    read = list(worker.read)
    read[number] = machine
    return worker._replace(read=tuple(read))


def _update(state: State, worker: Worker, number: int) -> Done:
    """With the lease's nonce and the version that was read: else Fly refuses, and we read again."""
    machine, read = state.world.machines[number], worker.read[number]
    worker = _having_read(worker, number, None)
    assert read is not None
    _, wanted = _aimed_at(state, _step(state, worker))
    if machine.mark >= wanted:
        return state.world, worker
    if machine.lease != _holder(worker):
        raise Later
    if machine.instance != read.instance:
        again = (f"read {number}", f"mark {number}", f"update {number}", *worker.ops)
        return state.world, worker._replace(ops=again)
    booted = machine._replace(
        value=state.world.value,
        mark=wanted,
        up=False,
        booted=True,
        instance=machine.instance + 1,
        release=read.release,
    )
    return with_machine(state.world, number, booted), worker


def _health(state: State, worker: Worker, number: int) -> Done:
    machine = state.world.machines[number]
    return with_machine(state.world, number, machine._replace(up=True)), worker


def _free(state: State, worker: Worker, number: int) -> Done:
    machine = state.world.machines[number]
    if machine.lease == _holder(worker):
        machine = machine._replace(lease=NOBODY)
    return with_machine(state.world, number, machine), worker


def _step(state: State, worker: Worker) -> Step:
    return next(s for s in pass_of(state.journal) if s.position == worker.position)


def _floor(step: Step) -> int:
    return int(step.detail.get("secrets_version", "0"))


_EFFECTS: Mapping[str, Callable[[Scenario, State, Worker], Done]] = {
    "mint": _mint,
    "leftovers": _leftovers,
    "prove": _prove,
    "look": _look,
    "write": _write,
    "plan": _plan,
    "confirm": _confirm,
    "restored": _restored,
    "revoke-new": _revoke_new,
    "revoke-old": _revoke_old,
    "disprove": _disprove,
}
_ON_MACHINE: Mapping[str, Callable[[State, Worker, int], Done]] = {
    "lease": _lease,
    "read": _read,
    "update": _update,
    "health": _health,
    "free": _free,
}
CHANGES = frozenset({"mint", "leftovers", "write", "revoke-new", "revoke-old"})
"""Effects of which the answer can be lost. (A lost answer to an update is looked after at once.)"""
COMMITS = frozenset({"intent", "commit", "reopen", "mark"})
"""Not effects: what is written to the journal, under the claim's fence."""
