"""`python -m benchmarks.leak`: the leak drill, in virtual time.

An organisation of 50 apps with 4 machines each. Every app reads a generated secret and a deploy
token, and one organisation token with every right is read by the last app: that one leaks.
Measured is how long Fly accepts it after the command (goal: under 10 s), and how long until
everything that it could have taken is replaced, restarted and revoked, against a bound that does
not know the engine:

1. **Rate limits.** Fly: one request a second for each action and app, bursts of three; and, as
   rotator keeps it, one GraphQL operation of a name each second. A deploy token needs one
   `CreateLimitedAccessToken`, so the last of n is made n - 3 seconds after the first.
2. **One rollout for each app**: its machines one after the other (a third of four), each for as
   long as the simulator's dice let it boot, with the policy's stagger between. It can't begin
   before what it brings is made.

The bound is the latest end of any app's rollout that begins as early as its token can be had, in
the order in which tokens were made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rotator.domain.credential import VersionState
from rotator.domain.rotation import Mode, Rotation, RotationState
from rotator.domain.sweep import Scope
from rotator.engine import jobs, leak, sweep
from rotator.engine.lineage import recognise
from rotator.fly.tracing import traces
from rotator.simulator import app_secrets, seed
from rotator.simulator.model import App
from rotator.store.schema import upgrade
from tests.simulation.mortal import Life
from tests.simulation.story import CALM, Story
from tests.simulation.virtual_time import VirtualLoop, run_virtually
from tests.simulation.world import SimulatedWorld

GOAL_SECONDS = 10.0
PER_SECOND, BURST = 1.0, 3
STAGGER_SECONDS = 10.0
HEAD = 'organization = "acme"\n[defaults.policy]\nevery = "30d"\noverlap = "24h"\n'
APP_TEXT = """
[credentials.{app}-key]
kind = "secret"
targets = [ {{ type = "fly-secret", app = "{app}", name = "KEY" }} ]
[credentials.{app}-token]
kind = "deploy-token"
app = "{app}"
targets = [ {{ type = "fly-secret", app = "{app}", name = "FLY_API_TOKEN" }} ]
"""
WIDE = """
[credentials.robot]
kind = "org-token"
targets = [ {{ type = "fly-secret", app = "{app}", name = "ROBOT_TOKEN" }} ]
"""


@dataclass(frozen=True)
class Drill:
    """What was measured, in seconds of the simulated world but for `real_seconds`."""

    apps: int
    machines: int
    credentials: int
    refused_seconds: float
    replaced_seconds: float
    bound_seconds: float
    rollouts: int
    requests: int
    real_seconds: float

    @property
    def ratio(self) -> float:
        """How many times the bound it took."""
        return self.replaced_seconds / self.bound_seconds


def drill(apps: int, machines: int) -> Drill:
    """Let a token leak, and replace everything."""
    found: list[Drill] = []

    async def live(loop: VirtualLoop) -> None:
        world = SimulatedWorld(CALM, Path(folder), loop, on_disk=True)
        world.fly.switches = type(world.fly.switches)()
        await upgrade(world.url)
        parts, _, client = world.parts(Life())
        story = Story(world, parts, Life())
        names = [f"app-{number:02}" for number in range(apps)]
        built = [_build(world, name, machines) for name in names]
        text = HEAD + "".join(APP_TEXT.format(app=name) for name in names)
        await story.apply_whole(text + WIDE.format(app=names[-1]))
        await _first_values(story)
        began_real = time.perf_counter()
        found.append(await _emergency(story, built, client.leaked, began_real))
        await client.aclose()
        await world.store.aclose()

    with tempfile.TemporaryDirectory() as folder:
        run_virtually(live)
    return found[0]


def _build(world: SimulatedWorld, name: str, machines: int) -> App:
    fly = world.fly
    born = fly.now() - seed.AGE
    app = seed.add_app(fly, fly.organizations["acme"], name, born)
    app_secrets.write(fly, app, {"KEY": "so far"})
    for _ in range(machines):
        seed.add_machine(fly, app, "app", "fra", at=born)
    return app


async def _first_values(story: Story) -> None:
    """Give everything a value of rotator's own, long before."""
    parts = story.parts
    swept = await sweep.begin(parts, Scope(organization="acme"), "at first", Mode.EMERGENCY)
    await _work(story, [r.id for r in swept.rotations])
    await parts.clock.sleep(3600)


async def _emergency(
    story: Story, built: Sequence[App], tokens: leak.FoundTokens, began_real: float
) -> Drill:
    parts, clock = story.parts, story.parts.clock
    (version,) = [v for v in await story.versions("robot") if v.state is VersionState.CURRENT]
    async with parts.store.view() as unit:
        value = await unit.unseal(version.id)
    assert value is not None
    before, requests = clock.now(), len(story.world.fly.log)
    (known,) = await recognise(parts, traces(value))
    scope = Scope(organization="acme")
    await leak.respond(
        parts, known.credential, known.version, "a drill", "its nonce", replaced_with_others=True
    )
    swept = await sweep.begin(parts, scope, "a drill", Mode.EMERGENCY, leaked="robot")
    async with asyncio.TaskGroup() as group:
        refusal = group.create_task(_refused_at(story, tokens, value))
        group.create_task(_work(story, [r.id for r in swept.rotations]))
    ended = [await story.rotation(r.id) for r in swept.rotations]
    assert all(r.state is RotationState.SUCCEEDED for r in ended)
    async with parts.store.view() as unit:
        rollouts = [r for r in await unit.rollouts(limit=1000) if r.started_at >= before]
    return Drill(
        apps=len(built),
        machines=len(built[0].machines),
        credentials=len(swept.rotations),
        refused_seconds=(refusal.result() - before).total_seconds(),
        replaced_seconds=(_last(ended) - before).total_seconds(),
        bound_seconds=bound(built, before),
        rollouts=len(rollouts),
        requests=len(story.world.fly.log) - requests,
        real_seconds=time.perf_counter() - began_real,
    )


def _last(ended: Sequence[Rotation]) -> datetime:
    return max(r.ended_at for r in ended if r.ended_at is not None)


async def _refused_at(story: Story, tokens: leak.FoundTokens, value: object) -> datetime:
    from rotator.domain.secret import Secret

    assert isinstance(value, Secret)
    assert await leak.refused(story.parts, tokens, value, timedelta(minutes=5))
    return story.parts.clock.now()


async def _work(story: Story, ids: Sequence[str]) -> None:
    """Work as a daemon does until these have ended."""
    runner = jobs.Runner(story.parts)
    while True:
        await runner.run_ready()
        states = [(await story.rotation(each)).ended_at for each in ids]
        if all(states):
            return
        await story.parts.clock.sleep(1)


def bound(built: Sequence[App], before: datetime) -> float:
    """Seconds that no replacement of these can stay below."""
    ends = []
    for number, app in enumerate(built):
        made = max(0.0, (number + 1 - BURST) / PER_SECOND)
        boots = sum(_boot_seconds(app, machine_id, before) for machine_id in app.machines)
        ends.append(made + boots + STAGGER_SECONDS * (len(app.machines) - 1))
    return max(ends)


def _boot_seconds(app: App, machine_id: str, before: datetime) -> float:
    """From the request for a machine's update until its checks passed, as the dice fell."""
    machine = app.machines[machine_id]
    asked = [
        e.at
        for e in machine.events
        if (e.type, e.status) == ("update", "replacing") and e.at >= before
    ]
    assert machine.checks_pass_at is not None
    return (machine.checks_pass_at - max(asked)).total_seconds()


def shown(found: Sequence[Drill]) -> Table:
    """The table for people."""
    table = Table(title="A leaked organisation token, in virtual time", box=None, padding=(0, 1))
    for name in ("apps", "machines", "credentials", "refused after", "replaced after"):
        table.add_column(name, justify="right")
    for name in ("bound", "ratio", "rollouts", "requests", "real"):
        table.add_column(name, justify="right")
    for each in found:
        table.add_row(
            str(each.apps),
            str(each.machines),
            str(each.credentials),
            f"{each.refused_seconds:.1f} s",
            f"{each.replaced_seconds:.0f} s",
            f"{each.bound_seconds:.0f} s",
            f"{each.ratio:.2f}",
            str(each.rollouts),
            str(each.requests),
            f"{each.real_seconds:.0f} s",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leak", description=__doc__)
    parser.add_argument("--apps", type=int, default=50)
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    options = parser.parse_args(arguments)
    found = drill(options.apps, options.machines)
    Console().print(shown([found]))
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n", "utf-8")
    return 0 if found.refused_seconds < GOAL_SECONDS and found.rollouts <= options.apps else 1


if __name__ == "__main__":
    raise SystemExit(main())
