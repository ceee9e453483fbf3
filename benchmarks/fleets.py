"""Fleets in the simulator, rolled out in virtual time, and what was seen of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rotator.domain.rotation import Mode, StepName, StepState
from rotator.engine import jobs
from rotator.engine.request import Wish, request_rotation
from rotator.simulator import app_secrets, seed
from rotator.simulator.faults import FaultRates
from rotator.simulator.model import GONE_STATES, App, Machine
from rotator.simulator.switches import Switches
from rotator.simulator.world import LogEntry
from rotator.store.schema import upgrade
from tests.simulation.mortal import Life
from tests.simulation.scenario import draw
from tests.simulation.story import Story
from tests.simulation.virtual_time import VirtualLoop, run_virtually
from tests.simulation.world import OPERATOR, SimulatedWorld

APP = "fleet"
CALM = replace(draw(0), rates=FaultRates(), switches=Switches(), kills=0, wishes=0)
MANIFEST = """
organization = "acme"
[defaults.rollout]
allow_single = true
{policy}
[credentials.key]
kind = "secret"
policy = {{ every = "30d", overlap = "1d" }}
targets = [ {{ type = "fly-secret", app = "fleet", name = "KEY" }} ]
"""


@dataclass(frozen=True)
class Fleet:
    """Machines, spread evenly over regions and in shares over process groups.

    `grace` is the grace period of their checks, as a duration of Fly's.
    """

    machines: int
    regions: int
    groups: tuple[tuple[str, float], ...] = (("app", 1.0),)
    grace: str = ""


@dataclass(frozen=True)
class Boot:
    """What the simulator's dice made of one machine: asked to renew it, its checks passed."""

    machine_id: str
    region: str
    group: str
    asked_at: datetime
    healthy_at: datetime

    @property
    def seconds(self) -> float:
        """From the request to the health."""
        return (self.healthy_at - self.asked_at).total_seconds()


@dataclass(frozen=True)
class Seen:
    """One rollout: the roll-out step's virtual time, its requests and those before it, the boots,
    the real time of everything, and how many requests that was."""

    began_at: datetime
    ended_at: datetime
    earlier: tuple[LogEntry, ...]
    requests: tuple[LogEntry, ...]
    boots: tuple[Boot, ...]
    real_seconds: float
    all_requests: int

    @property
    def seconds(self) -> float:
        """How long the roll-out step took, in virtual time."""
        return (self.ended_at - self.began_at).total_seconds()


def roll_out(fleet: Fleet, policy: str) -> Seen:
    """Rotate one secret that every machine of a fleet reads. `policy` is lines of a manifest."""
    found: list[Seen] = []

    async def live(loop: VirtualLoop) -> None:
        world = SimulatedWorld(CALM, Path(folder), loop)
        await upgrade(world.url)
        parts, _, client = world.parts(Life())
        app = _build(world, fleet)
        old = set(app.machines)
        story = Story(world, parts, Life())
        await story.apply_whole(MANIFEST.format(policy=policy))
        wish = Wish(OPERATOR, "a benchmark", "manual", Mode.NORMAL)
        rotation = await request_rotation(parts, "key", wish)
        began = time.perf_counter()
        await jobs.Runner(parts).run_ready()
        real = time.perf_counter() - began
        async with parts.store.view() as unit:
            steps = await unit.steps(rotation.id)
        step = next(s for s in steps if s.name is StepName.ROLL_OUT)
        assert step.state is StepState.DONE, f"{fleet} {policy!r}: {step.state} {step.error}"
        assert step.intent_at is not None
        assert step.outcome_at is not None
        log = list(world.fly.log)
        written = max(e.seq for e in log if e.path.endswith("/secrets") and e.method == "POST")
        # The step before ends, and the step after begins, with a look at the secrets.
        after = next((e.seq for e in log if e.seq > written and "/secrets" in e.path), len(log) + 1)
        earlier = tuple(e for e in log if e.seq <= written)
        requests = tuple(e for e in log if written < e.seq < after)
        boots = _boots(app, old)
        assert len(boots) == fleet.machines, f"{len(boots)} of {fleet.machines} were renewed"
        found.append(
            Seen(step.intent_at, step.outcome_at, earlier, requests, boots, real, len(log))
        )
        await client.aclose()
        await world.store.aclose()

    with tempfile.TemporaryDirectory() as folder:
        run_virtually(live)
    return found[0]


def _build(world: SimulatedWorld, fleet: Fleet) -> App:
    fly = world.fly
    born = fly.now() - seed.AGE
    app = seed.add_app(fly, fly.organizations["acme"], APP, born)
    app_secrets.write(fly, app, {"KEY": "the value so far"})
    for number, group in enumerate(_groups(fleet)):
        region = f"r{number % fleet.regions:02}"
        machine = seed.add_machine(fly, app, group, region, at=born)
        if fleet.grace:
            machine.config["checks"] = {
                "alive": {"type": "http", "port": 8080, "grace_period": fleet.grace}
            }
    return app


def _groups(fleet: Fleet) -> Sequence[str]:
    """The group of each machine; every group has at least one as long as there are enough."""
    names: list[str] = []
    for name, share in fleet.groups[1:]:
        names += [name] * max(1, int(fleet.machines * share))
    names = names[: fleet.machines - 1]
    return [fleet.groups[0][0]] * (fleet.machines - len(names)) + names


def _boots(app: App, old: set[str]) -> tuple[Boot, ...]:
    living = [m for m in app.machines.values() if m.state not in GONE_STATES]
    return tuple(_boot(m, new=m.id not in old) for m in living)


def _boot(machine: Machine, *, new: bool) -> Boot:
    asked = [e.at for e in machine.events if (e.type, e.status) == ("update", "replacing")]
    asked_at = machine.created_at if new else asked[0]
    assert machine.checks_pass_at is not None
    return Boot(machine.id, machine.region, machine.group, asked_at, machine.checks_pass_at)
