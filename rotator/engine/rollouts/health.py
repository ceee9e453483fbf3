"""See a machine start and become healthy: Fly's wait endpoint, its checks, a probe of our own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from rotator.domain.errors import Busy, Drift, NotYet, OutcomeUnknown, RetryLater
from rotator.domain.machines import (
    DOWN_STATES,
    FAILED_STATES,
    GONE_STATES,
    Machine,
)
from rotator.engine.rollouts.run import RolloutRun

_BOOTING = frozenset({"starting", "restarting", "updating", "replacing", "creating"})
_SETTLED = frozenset({"started", "stopped", "suspended", "created", "failed"})
_EXPECTED_SHARE = 0.95
"""When to look first at a machine's checks: this much of the time that the quickest one took."""
_POLL_SHARE = 0.06
"""How long to wait between looks, as a share of what the restart has taken so far: so little is
lost of it, however long it is."""


@dataclass(frozen=True)
class Verdict:
    """What became of a machine. `problem` is None where all is well, also if it went to sleep."""

    machine: Machine
    problem: str | None = None
    started_at: datetime | None = None
    healthy_at: datetime | None = None

    @property
    def asleep(self) -> bool:
        """The proxy put it to sleep right after its start, which is no failure."""
        return self.machine.state in DOWN_STATES

    @property
    def gone(self) -> bool:
        """Somebody destroyed it."""
        return self.machine.state in GONE_STATES


async def wait_started(run: RolloutRun, machine: Machine) -> Machine:
    """Wait in slices of what the API allows, until the deadline; gives the machine as it is then,
    with the state that Fly's answer names, and without any checks until somebody looks.

    A version that somebody else replaced meanwhile is read again and waited for instead: it
    started after the secrets were set, so it holds them (P8).
    """
    clock = run.parts.clock
    deadline = clock.now() + run.rollout.policy.start_timeout
    current = machine
    while True:
        left = (deadline - clock.now()).total_seconds()
        if left <= 0:
            return current
        slice_seconds = max(1, min(run.parts.limits.wait_slice_seconds, int(left)))
        try:
            state = await run.parts.fleet.wait(
                run.rollout.app,
                machine.id,
                instance_id=current.instance_id,
                timeout_seconds=slice_seconds,
            )
        except NotYet:
            current = await read(run, machine.id)
            if current.state in DOWN_STATES | FAILED_STATES | GONE_STATES:
                return current
            continue
        except (Drift, RetryLater) as error:
            await clock.sleep(error.after_seconds or 1 if isinstance(error, RetryLater) else 1)
            current = await read(run, machine.id)
            continue
        if state in _SETTLED:
            return replace(current, state=state, checks=())
        # Older servers don't say which state it has settled in.
        current = await read(run, machine.id)
        if current.state not in _BOOTING:
            return current


async def see_healthy(run: RolloutRun, started: Machine, *, asked_at: datetime) -> Verdict:
    """Watch a machine that has settled until all of its checks pass. `asked_at` is when it was
    asked to boot.

    Fly has no wait for checks, so this is the one poll. The grace period of its checks, and what
    the first machines of the group took, tell when it is worth a look: a big fleet costs few calls.
    """
    if started.state in FAILED_STATES:
        return Verdict(started, f"its state is {started.state}")
    if started.state not in {"started"} | DOWN_STATES | GONE_STATES:
        within = f"{run.rollout.policy.start_timeout.total_seconds():.0f} s"
        return Verdict(started, f"not started within {within}: {started.state}")
    clock = run.parts.clock
    began = clock.now()
    await clock.sleep(_first_pause(run, started))
    deadline = clock.now() + run.rollout.policy.health_timeout
    while True:
        problem = "it could not be read"
        machine = await _look(run, started.id)
        if machine is not None:
            verdict, problem = await _judge(run, machine, began)
            if verdict is not None:
                return verdict
        if clock.now() >= deadline:
            within = f"{run.rollout.policy.health_timeout.total_seconds():.0f} s"
            told = f"not healthy within {within}: {problem}"
            return Verdict(machine or started, told, began)
        await clock.sleep(_pause(run, (clock.now() - asked_at).total_seconds()))


async def _judge(run: RolloutRun, machine: Machine, began: datetime) -> tuple[Verdict | None, str]:
    """The verdict on a machine that started then, or what it still lacks."""
    if machine.state in FAILED_STATES:
        return Verdict(machine, f"its state is {machine.state}", began), ""
    if machine.state in DOWN_STATES | GONE_STATES:
        return Verdict(machine, started_at=began), ""
    if machine.crash_looping or (_unchecked(run, machine) and _died(machine, began)):
        return Verdict(machine, "it starts and dies again", began), ""
    if not machine.healthy:
        return None, _why_unhealthy(machine)
    problem = await _probe(run, machine)
    if problem is not None:
        return None, problem
    now = run.parts.clock.now()
    run.pace.learn(machine, (now - began).total_seconds())
    return Verdict(machine, None, began, now), ""


def _unchecked(run: RolloutRun, machine: Machine) -> bool:
    """Whether nothing but its staying up tells of its health."""
    return not machine.expects_checks and run.rollout.policy.probe is None


def _first_pause(run: RolloutRun, machine: Machine) -> float:
    """How long after its start a machine can't be healthy yet."""
    if machine.state != "started":
        return 0.0
    policy = run.rollout.policy
    if _unchecked(run, machine):
        return policy.smoke.total_seconds()
    if not machine.expects_checks:
        return 0.0
    known = run.pace.fastest(machine)
    if known is None:
        return min(machine.check_grace, policy.health_timeout).total_seconds()
    return known * _EXPECTED_SHARE


def _pause(run: RolloutRun, passed: float) -> float:
    """How long to wait before the next look, when so many seconds have passed."""
    limits = run.parts.limits
    shortest, longest = limits.shortest_poll.total_seconds(), limits.longest_poll.total_seconds()
    return min(max(shortest, passed * _POLL_SHARE), longest)


async def _look(run: RolloutRun, machine_id: str) -> Machine | None:
    """The machine, or None where it can't be read for the moment."""
    try:
        return await read(run, machine_id)
    except (NotYet, Busy, OutcomeUnknown):
        return None


async def _probe(run: RolloutRun, machine: Machine) -> str | None:
    wanted = run.rollout.policy.probe
    return None if wanted is None else await run.parts.prober.probe(machine, wanted)


def _why_unhealthy(machine: Machine) -> str:
    bad = [f"{c.name} is {c.status}" for c in machine.checks if c.status != "passing"]
    if machine.state != "started":
        bad = [f"it is {machine.state}"]
    if machine.host_status == "unreachable":
        bad = ["its host does not answer"]
    return ", ".join(bad) or "no check has reported"


def flapped(machine: Machine, *, instance_id: str | None, since: datetime) -> str | None:
    """What went wrong with a machine since it was seen healthy, or None.

    Another version of it is somebody else's deploy, and a machine that the proxy put to sleep did
    what it should: neither says anything about the new value.
    """
    if machine.state in DOWN_STATES | GONE_STATES or machine.instance_id != instance_id:
        return None
    died = _died(machine, since)
    if died:
        return f"it died {died} times within the soak"
    return None if machine.healthy else f"within the soak: {_why_unhealthy(machine)}"


def _died(machine: Machine, since: datetime) -> int:
    """How often its program ended since then without being asked to."""
    return sum(not e.requested_stop for e in machine.exits if e.at > since)


async def read(run: RolloutRun, machine_id: str) -> Machine:
    """The machine, fresh."""
    return await run.parts.fleet.machine(run.rollout.app, machine_id)
