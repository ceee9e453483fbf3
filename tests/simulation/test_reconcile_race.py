"""What begins between reconcile's look at the inventory and its look at the issuer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotator.domain.credential import CredentialSpec, Issued, VersionState
from rotator.domain.rotation import RotationState
from rotator.engine.reconcile import reconcile
from tests.simulation.rollout_story import token
from tests.simulation.story import Story, tell


def test_a_value_that_is_made_while_reconcile_looks_is_no_leftover() -> None:
    async def story(s: Story) -> None:
        await s.apply(token(overlap="0s"))
        await s.rotate("ci-web")
        await s.parts.clock.sleep(120)
        usual = s.parts.kinds["deploy-token"]

        class Slow:
            """A kind whose list takes as long as a whole rotation."""

            def __getattr__(self, name: str) -> object:
                return getattr(usual, name)

            async def holdings(self, spec: CredentialSpec) -> Sequence[Issued]:
                rotation = await s.rotate("ci-web")
                assert rotation.state is RotationState.SUCCEEDED
                return await usual.holdings(spec)

        slow = replace(s.parts, kinds={**s.parts.kinds, "deploy-token": Slow()})  # type: ignore[dict-item]
        async with s.parts.store.view() as unit:
            credential = await unit.credential("ci-web")
        assert credential is not None
        found = await reconcile(slow, credential)
        assert found.leftovers == ()
        (current,) = [v for v in await s.versions("ci-web") if v.state is VersionState.CURRENT]
        assert current.issued is not None
        assert s.living() == [current.issued.ref]

    tell(story)
