"""What happens behind rotator's back is noticed, told with its author, mended as policy says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.credential import TargetSpec
from rotator.domain.errors import InputError
from rotator.domain.events import Action
from rotator.domain.ports import Receipt
from rotator.domain.reasons import ReasonCode
from rotator.domain.rotation import Mode, RotationState
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.drift import settle
from rotator.engine.reconcile import reconcile
from rotator.engine.request import Wish, abort, request_rotation, retry
from rotator.fly.client import FlyClient
from rotator.simulator import app_secrets, tokens
from rotator.simulator.app import create_app
from rotator.simulator.in_process import InProcess
from rotator.simulator.seed import add_app
from rotator.simulator.world import World
from rotator.store.memory import MemoryStore
from rotator.targets.fly_secret import FlySecretTarget
from tests.simulation.looking import TOKEN, changes, told
from tests.simulation.rollout_story import held, meanwhile, session, until, values
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

SECRET = """
[credentials.session]
kind = "secret"
policy = {{ every = "30d", overlap = "1h", on_drift = "{on_drift}" }}
targets = [ {{ type = "fly-secret", app = "vault", name = "SESSION_KEY" }} ]
"""


def witnessed(story: Callable[[Story], Awaitable[None]]) -> None:
    """Tell a story of an app without machines, in which Fly is asked who wrote a secret."""

    async def watched(s: Story) -> None:
        http = InProcess(create_app(s.world.fly))
        client = FlyClient(
            "http://fly", "http://fly", s.world.token, s.parts.clock, s.parts.entropy, http=http
        )
        s.parts = replace(s.parts, witness=client.witness)
        s.closing.append(client.aclose)
        world = s.world.fly
        vault = add_app(world, world.organizations["acme"], "vault", s.parts.clock.now())
        app_secrets.write(world, vault, {"SESSION_KEY": "first"})
        await story(s)

    tell(watched)


async def later(s: Story, **values: str | None) -> None:
    """An hour on, somebody sets secrets."""
    await s.parts.clock.sleep(3600)
    app = s.world.fly.apps["web" if "S1" in values else "vault"]
    app_secrets.write(s.world.fly, app, values, by="eve@example.com")
    await s.parts.clock.sleep(600)


def test_two_writers_that_undo_each_other_are_named_and_rotator_stops_writing() -> None:
    async def story(s: Story) -> None:
        await s.apply(SECRET.format(on_drift="rotate"))
        await jobs.reconcile_all(s.parts)
        await renewed(s)
        assert await told(s, Action.TARGET_CHANGED) == []

        await later(s, SESSION_KEY="theirs")
        await jobs.reconcile_all(s.parts)
        (changed,) = await told(s, Action.TARGET_CHANGED)
        assert changed.reason == "fly-secret:vault/SESSION_KEY was changed by eve@example.com"
        (mending,) = await jobs.find_due(s.parts)
        assert mending.reason_code == ReasonCode.DRIFTED
        await renewed(s, mending.id)

        before = len(changes(s.world.fly))
        await later(s, SESSION_KEY="theirs again")
        await jobs.reconcile_all(s.parts)
        (contested,) = await told(s, Action.TARGET_CONTESTED)
        assert contested.reason == (
            "rotator and eve@example.com undo each other at fly-secret:vault/SESSION_KEY; "
            "rotator has stopped writing there"
        )
        assert contested.detail["next"] == "rotator drift settle session"
        for _ in range(3):
            await s.days(31, step_hours=24)
            await jobs.reconcile_all(s.parts)
        assert len(changes(s.world.fly)) == before
        assert len(await told(s, Action.TARGET_CONTESTED)) == 1
        with pytest.raises(InputError, match="undo each other"):
            await request_rotation(s.parts, "session", Wish(OPERATOR, "", "manual", Mode.NORMAL))

        await settle(s.parts, "session", "their pipeline is off")
        (again,) = await jobs.find_due(s.parts)
        await renewed(s, again.id)
        await jobs.reconcile_all(s.parts)
        assert len(await told(s, Action.TARGET_CHANGED)) == 2

    witnessed(story)


async def renewed(s: Story, rotation_id: str | None = None) -> None:
    """Take a rotation to its end."""
    if rotation_id is None:
        wish = Wish(OPERATOR, "", "manual", Mode.NORMAL)
        rotation_id = (await request_rotation(s.parts, "session", wish)).id
    await jobs.Runner(s.parts).run_ready()
    await s.days(0.2)
    assert (await s.rotation(rotation_id)).state is RotationState.SUCCEEDED


def test_a_write_between_two_looks_is_seen_before_rotator_writes_over_it() -> None:
    async def story(s: Story) -> None:
        await s.apply(SECRET.format(on_drift="report"))
        await renewed(s)
        await unwatched(s)
        await jobs.reconcile_all(s.parts)
        for turn in range(2):
            await later(s, SESSION_KEY=f"theirs {turn}")
            if not turn:
                await renewed(s)
        rotation = await s.rotate("session")
        assert rotation.state is RotationState.ROLLED_BACK
        vault = s.world.fly.apps["vault"]
        assert vault.secrets["SESSION_KEY"].value == "theirs 1"
        assert len(await told(s, Action.TARGET_CONTESTED)) == 1

    witnessed(story)


async def unwatched(s: Story) -> None:
    """As a rotator that did not watch targets left it."""
    assert isinstance(s.world.store, MemoryStore)
    s.world.store._database.watches.rows.clear()


class Racing(FlySecretTarget):
    """Somebody sets the secret right after rotator has, once."""

    def __init__(self, client: FlyClient, world: World) -> None:
        super().__init__(client.secrets)
        self._world: World | None = world

    async def deliver(self, spec: TargetSpec, value: Secret) -> Receipt:
        receipt = await super().deliver(spec, value)
        if self._world is not None and spec.app is not None:
            app = self._world.apps[spec.app]
            app_secrets.write(self._world, app, {"SESSION_KEY": "theirs"}, by="eve@example.com")
            self._world = None
        return receipt


def races(s: Story) -> None:
    """Let somebody else set the next secret that rotator sets, right after it."""
    http = InProcess(create_app(s.world.fly))
    client = FlyClient(
        "http://fly", "http://fly", s.world.token, s.parts.clock, s.parts.entropy, http=http
    )
    s.closing.append(client.aclose)
    racing = Racing(client, s.world.fly)
    s.parts = replace(s.parts, targets={**s.parts.targets, "fly-secret": racing})


def test_a_rotation_that_somebody_wrote_over_is_finished_by_a_persons_retry() -> None:
    async def story(s: Story) -> None:
        assert s.parts.witness is not None
        races(s)
        await s.apply(SECRET.format(on_drift="report"))
        rotation = await s.rotate("session")
        assert rotation.state is RotationState.PARKED
        assert rotation.parked is not None
        assert "(it was eve@example.com)" in rotation.parked.cause
        vault = s.world.fly.apps["vault"]
        assert vault.secrets["SESSION_KEY"].value == "theirs"
        await retry(s.parts, rotation.id, OPERATOR, "their pipeline is off")
        await s.work()
        assert (await s.rotation(rotation.id)).state is RotationState.RETIRING
        assert vault.secrets["SESSION_KEY"].value != "theirs"

    witnessed(story)


def test_a_retry_that_is_aborted_takes_back_also_what_was_delivered_before_it() -> None:
    async def story(s: Story) -> None:
        await s.apply(session("max_unavailable = 1"))
        await held(s, "session")
        before = values(s)
        races(s)
        rotation = await s.rotate("session")
        assert rotation.state is RotationState.PARKED
        assert values(s) != before
        await s.parts.clock.sleep(3600)
        since = s.parts.clock.now()
        await retry(s.parts, rotation.id, OPERATOR, "their pipeline is off")
        await meanwhile(
            s,
            rotation,
            lambda r: r.healthy_at is not None and r.healthy_at > since,
            lambda: abort(s.parts, rotation.id, OPERATOR, "second thoughts"),
        )
        await until(s, rotation, RotationState.ROLLED_BACK)
        assert values(s) == before

    tell(story)


def test_what_disappeared_is_told_once_and_mended_as_the_policy_says() -> None:
    async def story(s: Story) -> None:
        token = TOKEN.replace("FOLDER", str(s.world.folder))
        await s.apply(token + SECRET.format(on_drift="report"))
        await s.rotate("ci-web")
        await renewed(s)
        await s.days(1.2)
        world = s.world.fly
        foreign = tokens.create(
            world,
            world.organizations["acme"],
            name="somebody-else",
            profile="deploy",
            app=world.apps["web"],
            lifetime=timedelta(days=90),
        )
        for token in [t for t in world.tokens.values() if t.id in s.living()]:
            tokens.revoke(world, token, "somebody")
        await later(s, SESSION_KEY=None)
        await jobs.reconcile_all(s.parts)
        await jobs.reconcile_all(s.parts)
        assert len(await told(s, Action.VERSION_GONE)) == 1
        (gone,) = await told(s, Action.TARGET_CHANGED)
        assert gone.reason.startswith("fly-secret:vault/SESSION_KEY was taken away")
        queued = {r.credential_name: r.reason_code for r in await jobs.find_due(s.parts)}
        assert queued == {"ci-web": ReasonCode.VERSION_GONE, "session": ReasonCode.DRIFTED}
        assert foreign.revoked_at is None

    witnessed(story)


def test_a_leftover_with_our_mark_is_revoked_however_old_and_a_foreign_one_never() -> None:
    async def story(s: Story) -> None:
        await s.apply(TOKEN.replace("FOLDER", str(s.world.folder)))
        rotation = await s.rotate("ci-web")
        await s.days(1.2)
        world, org = s.world.fly, s.world.fly.organizations["acme"]
        life = timedelta(days=90)

        def make(name: str) -> tokens.Token:
            web = world.apps["web"]
            return tokens.create(world, org, name=name, profile="deploy", app=web, lifetime=life)

        ours = make(f"ci-web-{rotation.id}")
        foreign = make("ci-web-01JD9ZQ4T0000000000000000A")
        await jobs.reconcile_all(s.parts)
        assert ours.revoked_at is not None
        assert foreign.revoked_at is None
        assert [e.detail["issued_as"] for e in await told(s, Action.LEFTOVER_REVOKED)] == [
            f"ci-web-{rotation.id}"
        ]

    tell(story)


def test_a_look_at_many_credentials_asks_for_what_they_share_once() -> None:
    async def story(s: Story) -> None:
        credentials = "".join(
            f'[credentials.n{number}]\nkind = "deploy-token"\napp = "web"\nmode = "observe"\n'
            f'[credentials.s{number}]\nkind = "secret"\nmode = "observe"\n'
            f'targets = [ {{ type = "fly-secret", app = "web", name = "S{number}" }} ]\n'
            for number in range(8)
        )
        app_secrets.write(s.world.fly, s.world.fly.apps["web"], {f"S{n}": "x" for n in range(8)})
        await s.apply(credentials)
        await jobs.reconcile_all(s.parts)
        before = len(s.world.fly.log)
        await s.parts.clock.sleep(900)
        await jobs.reconcile_all(s.parts)
        assert len(s.world.fly.log) - before == 2

        await later(s, S1="theirs")
        async with s.parts.store.view() as unit:
            observed = await unit.credential("s1")
        assert observed is not None
        assert (await reconcile(s.parts, observed)).changed == ("fly-secret:web/S1",)
        assert (await reconcile(s.parts, observed)).changed == ()
        (adopted,) = await s.versions("s1")
        assert adopted.since == s.parts.clock.now() - timedelta(seconds=600)

    tell(story)
