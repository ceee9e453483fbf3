"""Single stories in virtual time: what a person would be told about, followed step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.credential import CredentialStatus, Issued, VersionState
from rotator.domain.errors import Busy, Refused
from rotator.domain.events import Action
from rotator.domain.ports import Evidence, Store, Unit
from rotator.domain.rotation import Mode, Rotation, RotationState, StepName
from rotator.domain.secret import Secret
from rotator.engine import jobs
from rotator.engine.request import Wish, abort, request_rotation, retry
from rotator.kinds.deploy_token import DeployTokenKind
from tests.simulation.story import Story, tell
from tests.simulation.world import OPERATOR

TOKEN = """
[credentials.ci-web]
kind = "deploy-token"
app = "web"
policy = {{ every = "{every}", overlap = "{overlap}" }}
targets = [ {{ type = "fly-secret", app = "api", name = "WEB_DEPLOY_TOKEN" }} ]
"""
MONTHLY = TOKEN.format(every="30d", overlap="1d")
SECRET = """
[credentials.session]
kind = "secret"
targets = [ { type = "fly-secret", app = "web", name = "SESSION_KEY" } ]
"""


def test_a_value_made_last_week_is_adopted_and_not_due_today() -> None:
    async def story(s: Story) -> None:
        for token in s.world.fly.tokens.values():
            token.created_at = s.parts.clock.now() - timedelta(days=7)
        await s.apply(MONTHLY)
        assert await jobs.find_due(s.parts) == []
        (adopted,) = await s.versions("ci-web")
        assert adopted.adopted
        await s.days(24)
        assert [v.adopted for v in await s.versions("ci-web")] == [True, False]

    tell(story)


def test_old_and_new_are_both_valid_until_the_overlap_ends() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        rotation = await s.rotate("ci-web")
        assert rotation.state is RotationState.RETIRING
        assert len(s.living()) == 2
        await s.days(0.9)
        assert len(s.living()) == 2
        await s.days(0.2)
        assert len(s.living()) == 1
        assert (await s.rotation(rotation.id)).state is RotationState.SUCCEEDED

    tell(story)


def test_an_emergency_revokes_as_soon_as_the_new_value_is_confirmed() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        assert (await s.rotate("ci-web", Mode.EMERGENCY)).state is RotationState.SUCCEEDED
        assert len(s.living()) == 1

    tell(story)


def test_revoke_first_revokes_before_it_delivers() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        await s.rotate("ci-web", Mode.EMERGENCY)
        rotation = await s.rotate("ci-web", Mode.REVOKE_FIRST)
        assert rotation.state is RotationState.SUCCEEDED
        async with s.parts.store.view() as unit:
            steps = {step.name: step for step in await unit.steps(rotation.id)}
        retired, delivered = steps[StepName.RETIRE], steps[StepName.DELIVER]
        assert retired.outcome_at is not None
        assert delivered.intent_at is not None
        assert retired.outcome_at <= delivered.intent_at
        assert "refuses the revoked token" in retired.detail["evidence"]

    tell(story)


def test_a_value_that_the_issuer_refuses_is_made_once_more_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    async def refuse(
        self: DeployTokenKind, spec: object, issued: Issued, value: Secret
    ) -> Evidence:
        tried.append(issued.ref)
        raise Refused("the issuer does not take it")

    monkeypatch.setattr(DeployTokenKind, "prove", refuse)

    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        before = s.living()
        rotation = await s.rotate("ci-web")
        await s.days(1)
        rotation = await s.rotation(rotation.id)
        assert rotation.state in (RotationState.ROLLED_BACK, RotationState.PARKED)
        assert len(set(tried)) == 2
        assert s.living() == before, "what was refused is revoked, the old value works"

    tell(story)


def test_an_app_without_machines_is_rotated_without_a_rollout() -> None:
    async def story(s: Story) -> None:
        s.world.fly.apps["api"].machines.clear()
        await s.apply(MONTHLY)
        assert (await s.rotate("ci-web", Mode.EMERGENCY)).state is RotationState.SUCCEEDED

    tell(story)


def test_what_leaves_the_manifest_is_kept_and_never_revoked() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY + SECRET)
        await s.rotate("ci-web", Mode.EMERGENCY)
        before = s.living()
        await s.apply(SECRET)
        await s.days(80, step_hours=24)
        async with s.parts.store.view() as unit:
            credential = await unit.credential("ci-web")
        assert credential is not None
        assert credential.status is CredentialStatus.UNMANAGED
        assert s.living() == before

    tell(story)


def test_a_token_that_somebody_revoked_is_replaced_at_once() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        await s.rotate("ci-web", Mode.EMERGENCY)
        (current,) = s.living()
        await s.parts.clock.sleep(600)
        s.world.fly.tokens[current].revoked_at = s.parts.clock.now()
        await jobs.reconcile_all(s.parts)
        await s.days(0.1)
        assert Action.VERSION_GONE in await s.actions()
        assert s.living() != [current]

    tell(story)


def test_an_abort_in_the_overlap_is_refused_and_before_it_turns_back() -> None:
    async def story(s: Story) -> None:
        await s.apply(SECRET)
        await s.rotate("session", Mode.EMERGENCY)
        (first,) = [v for v in await s.versions("session") if v.state is VersionState.CURRENT]
        wish = Wish(OPERATOR, "a story", "manual", Mode.NORMAL)
        rotation = await request_rotation(s.parts, "session", wish)
        async with asyncio.TaskGroup() as group:
            group.create_task(s.work())
            await s.parts.clock.sleep(12)
            await abort(s.parts, rotation.id, OPERATOR, "second thoughts")
        await s.days(0.5)
        assert (await s.rotation(rotation.id)).state is RotationState.ROLLED_BACK
        (current,) = [v for v in await s.versions("session") if v.state is VersionState.CURRENT]
        assert current.id == first.id

    tell(story)


def test_a_parked_rotation_says_what_is_safe_and_goes_on_with_retry() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        api = s.world.fly.apps.pop("api")
        rotation = await s.rotate("ci-web", Mode.EMERGENCY)
        assert rotation.state is RotationState.PARKED
        assert rotation.parked is not None
        assert "nothing was touched" in rotation.parked.safe
        assert rotation.id in rotation.parked.next_command
        s.world.fly.apps["api"] = api
        await retry(s.parts, rotation.id, OPERATOR, "mended")
        await s.work()
        assert (await s.rotation(rotation.id)).state is RotationState.SUCCEEDED

    tell(story)


def test_a_year_of_rotations_leaves_one_token_and_no_sealed_value_but_its_own() -> None:
    async def story(s: Story) -> None:
        await s.apply(TOKEN.format(every="20d", overlap="1d"))
        await s.days(365, step_hours=24)
        assert len(s.living()) == 1
        versions = await s.versions("ci-web")
        assert len(versions) >= 18
        assert [v.state for v in versions if v.sealed] == [VersionState.CURRENT]

    tell(story)


class QuickerElsewhere:
    """A store in which another worker was quicker once: the transaction in which a method of this
    name was called ends as one that broke a unique index. PostgreSQL may say so only then."""

    def __init__(self, inner: Store, method: str) -> None:
        self._inner, self._method = inner, method
        self.refused: list[object] = []

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        """A transaction for writing."""
        async with self._inner.unit() as unit:
            calls: list[object] = []
            original = getattr(unit, self._method)

            async def noted(what: object, *more: object) -> None:
                calls.append(what)
                await original(what, *more)

            setattr(unit, self._method, noted)
            yield unit
            if calls and not self.refused:
                self.refused = calls
                raise Busy("another worker was quicker")

    def view(self) -> AbstractAsyncContextManager[Unit]:
        """A transaction for reading."""
        return self._inner.view()


def test_a_credential_that_another_worker_queued_first_holds_up_nobody_behind_it() -> None:
    """On PostgreSQL the unique index may speak only when the transaction ends."""

    async def story(s: Story) -> None:
        monthly = SECRET.replace('kind = "secret"', 'kind = "secret"\npolicy = { every = "30d" }')
        await s.apply(MONTHLY + monthly)
        await s.parts.clock.sleep(61 * 86_400)
        store = QuickerElsewhere(s.parts.store, "add_rotation")
        queued = await jobs.find_due(replace(s.parts, store=store))
        names = {rotation.credential_name for rotation in queued}
        (refused,) = store.refused
        assert isinstance(refused, Rotation)
        assert names == {"ci-web", "session"} - {refused.credential_name}
        due = [e for e in await s.actions() if e is Action.CREDENTIAL_DUE]
        assert len(due) == 1, "what was refused has left no event"

    tell(story)


def test_a_manifest_that_another_worker_takes_up_at_the_same_moment_is_looked_at_again() -> None:
    async def story(s: Story) -> None:
        store = QuickerElsewhere(s.parts.store, "save_credential")
        beside = Story(s.world, replace(s.parts, store=store), s.life)
        await beside.apply(MONTHLY + SECRET)
        assert store.refused
        async with s.parts.store.view() as unit:
            assert {c.name for c in await unit.credentials()} == {"ci-web", "session"}

    tell(story)
