"""A rotator that was down for weeks, and values that nobody replaces in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from rotator.domain.credential import Issued, Version, VersionState
from rotator.domain.events import Action
from rotator.engine import jobs
from rotator.engine.inventory import first_due
from rotator.engine.watch import watch_expiries
from rotator.simulator import tokens
from tests.simulation.looking import told
from tests.simulation.story import Story, tell

MANY = """
[defaults.policy]
every = "30d"
overlap = "1h"
max_age = "60d"
""" + "".join(
    f"""
[credentials.n{number:02d}]
kind = "secret"
policy = {{ every = "{30 + number}d" }}
targets = [ {{ type = "file", path = "FOLDER/{number}" }} ]
"""
    for number in range(11)
)
ENDING = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
targets = [ { type = "file", path = "FOLDER/ci" } ]
"""
WATCHED = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
mode = "observe"
"""


async def made_now(s: Story) -> None:
    """As if everything had just been rotated; the token lives for 71 days."""
    now = s.parts.clock.now()
    async with s.parts.store.unit() as unit:
        for number, credential in enumerate(await unit.credentials()):
            ends = now + timedelta(days=71) if credential.spec.kind == "deploy-token" else None
            issued = Issued(f"ref-{number}", credential.name, created_at=now, expires_at=ends)
            version = Version(
                s.parts.new_id(),
                credential.id,
                s.parts.new_id(),
                VersionState.CURRENT,
                issued,
                sealed=False,
                created_at=now,
                promoted_at=now,
            )
            await unit.save_version(version)
            due_at = first_due(credential, version, now)
            await unit.save_credential(replace(credential, due_at=due_at))


def test_what_was_missed_is_caught_up_with_in_order_of_danger_and_spread_out() -> None:
    async def story(s: Story) -> None:
        text = (MANY + ENDING).replace("FOLDER", str(s.world.folder))
        await s.apply(text)
        await made_now(s)
        await s.parts.clock.sleep(timedelta(days=70).total_seconds())

        begun: list[tuple[float, str]] = []
        start = s.parts.clock.now()
        for _ in range(30):
            for rotation in await jobs.find_due(s.parts):
                seconds = (rotation.requested_at - start).total_seconds()
                begun.append((seconds, rotation.credential_name))
            await s.parts.clock.sleep(15)
        names = [name for _, name in begun]
        assert names[0] == "ci-web"
        assert names[1:] == [f"n{number:02d}" for number in range(11)]
        # The last eight are few enough to begin together.
        assert [seconds for seconds, _ in begun] == [0, 0, 60, 120, *[135] * 8]

    tell(story)


def test_an_end_that_nobody_deals_with_is_told_once_a_stage() -> None:
    async def story(s: Story) -> None:
        world = s.world.fly
        for token in [t for t in world.tokens.values() if t.name == "ci-web"]:
            tokens.revoke(world, token, "somebody")
        life = timedelta(days=20)
        org = world.organizations["acme"]
        tokens.create(
            world, org, name="ci-web", profile="deploy", app=world.apps["web"], lifetime=life
        )
        await s.apply(WATCHED)
        await jobs.reconcile_all(s.parts)
        standing = []
        for _ in range(22 * 2):
            standing.append(dict((await watch_expiries(s.parts)).standing))
            await s.parts.clock.sleep(12 * 3600)
        ending = await told(s, Action.VERSION_EXPIRING)
        assert [e.detail["stage"].split()[1] for e in ending] == ["2w", "1w", "3d", "1d"]
        assert "and it is only observed" in ending[-1].reason
        assert len(await told(s, Action.VERSION_EXPIRED)) == 1
        assert standing[0] == {}
        assert standing[-1] == {"expired": 1}

    tell(story)
