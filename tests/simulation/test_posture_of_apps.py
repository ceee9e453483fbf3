"""What the posture says of secrets and machines, while rotations and people are at work."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.domain.posture.finding import Finding
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.risk import Risk
from rotator.domain.rotation import RotationState
from rotator.engine import jobs
from rotator.engine.posture.apps import AppsInspector
from rotator.engine.request import Wish, request_rotation
from rotator.fly.client import FlyClient
from rotator.scans.run import LocalScans
from rotator.simulator import app_secrets, deploys, machines
from rotator.simulator.app import create_app
from rotator.simulator.in_process import InProcess
from rotator.simulator.model import App
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

SESSION = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY"%s } ]
"""
AT_ONCE = SESSION % ""
WITH_THE_NEXT = SESSION % ', rollout = { strategy = "next-release", deadline = "3d" }'
STAGED = {("secret-staged", "secret:web/SESSION_KEY")}
TORN = {("machines-differ-in-secrets", "app:web")}
HOURS = 3600.0


async def look_at_web(s: Story) -> Sequence[Finding]:
    """What is found at `web`."""
    http = InProcess(create_app(s.world.fly))
    client = FlyClient(
        "http://fly", "http://fly", s.world.token, s.world.clock, s.world.entropy, http=http
    )
    s.closing.append(client.aclose)
    inspector = AppsInspector(s.parts, client.running, LocalScans({}))
    scope = InspectionScope(("acme",), "web")
    found = await inspector.inspect(scope, PosturePolicy(), s.world.clock.now())
    assert found.missing == ()
    return found.findings


async def said_of_web(s: Story) -> set[tuple[str, str]]:
    """The same by rule and subject."""
    return {(each.rule.id, each.subject) for each in await look_at_web(s)}


def web(s: Story) -> App:
    return s.world.fly.apps["web"]


async def set_by_somebody(s: Story) -> None:
    """`fly secrets set --stage`, and two hours in which nobody deploys."""
    app_secrets.write(s.world.fly, web(s), {"SESSION_KEY": "somebody's"})
    await s.parts.clock.sleep(2 * HOURS)


def test_after_a_rotation_every_machine_has_its_secret() -> None:
    async def story(s: Story) -> None:
        await s.apply(AT_ONCE)
        assert await said_of_web(s) == set()
        done = await s.rotate("session")
        assert done.state is RotationState.RETIRING
        await s.parts.clock.sleep(2 * HOURS)
        assert await said_of_web(s) == set()

    tell(story)


def test_what_somebody_has_staged_is_told_until_it_is_deployed() -> None:
    async def story(s: Story) -> None:
        await set_by_somebody(s)
        assert await said_of_web(s) == STAGED
        assert deploys.deploy(s.world.fly, web(s)) is not None
        await s.parts.clock.sleep(2 * HOURS)
        assert await said_of_web(s) == set()

    tell(story)


def test_machines_that_a_cut_off_deploy_left_behind_are_told() -> None:
    async def story(s: Story) -> None:
        await set_by_somebody(s)
        first = next(iter(web(s).machines.values()))
        machines.update(s.world.fly, first, first.config)
        await s.parts.clock.sleep(2 * HOURS)
        assert await said_of_web(s) == TORN

    tell(story)


def test_a_start_that_may_have_taken_it_up_makes_nothing_certain() -> None:
    async def story(s: Story) -> None:
        await set_by_somebody(s)
        for machine in web(s).machines.values():
            if machine.state == "started":
                machines.restart(s.world.fly, machine)
        await s.parts.clock.sleep(2 * HOURS)
        assert await said_of_web(s) == set()

    tell(story)


def test_a_rotation_that_waits_for_the_next_release_is_no_finding() -> None:
    async def story(s: Story) -> None:
        await s.apply(WITH_THE_NEXT)
        before = web(s).secrets["SESSION_KEY"].digest
        asked = await request_rotation(s.parts, "session", Wish(OPERATOR, "a story", "manual"))
        await jobs.Runner(s.parts).run_ready()
        assert (await s.rotation(asked.id)).state is RotationState.RUNNING
        assert web(s).secrets["SESSION_KEY"].digest != before
        await s.parts.clock.sleep(2 * HOURS)
        assert await said_of_web(s) == set()

    tell(story)


def test_machines_that_die_of_a_rotation_that_failed_are_told_as_worse() -> None:
    async def story(s: Story) -> None:
        for machine in web(s).machines.values():
            kept = {key: part for key, part in machine.config.items() if key != "services"}
            machine.config = {**kept, "restart": {"policy": "always"}}
        web(s).refuse_next.add("SESSION_KEY")
        await s.apply(AT_ONCE)
        # The value that stood there was never known, so that it can't be put back.
        assert (await s.rotate("session")).state is RotationState.PARKED
        found = await look_at_web(s)
        loops = [each for each in found if each.rule.id == "restart-loop"]
        assert {each.subject for each in loops} == {"group:web/app", "group:web/worker"}
        assert {each.severity for each in loops} == {Risk.HIGH}
        assert "rotator's last rollout of it failed" in loops[0].message

    tell(story)
