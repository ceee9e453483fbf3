"""A leaked copy of a token that rotator made, found years later."""

from __future__ import annotations

from dataclasses import replace

from rotator.domain.credential import VersionState
from rotator.domain.lineage import Kinship
from rotator.domain.secret import Secret
from rotator.engine.lineage import recognise
from rotator.fly import caveats as c
from rotator.fly import macaroon as m
from rotator.fly.bundle import read_bundle
from rotator.fly.tracing import traces
from tests.simulation.story import Story, tell
from tests.simulation.test_stories import MONTHLY


def narrowed(value: Secret) -> Secret:
    """What a contractor made of it, without its discharge."""
    token = read_bundle(value.reveal()).permissions[0]
    return Secret(token.attenuate([c.caveat(c.ACTION, c.READ)]).encode())


def test_a_narrowed_copy_leads_to_its_credential_even_after_its_value_was_erased() -> None:
    async def story(s: Story) -> None:
        await s.apply(MONTHLY)
        await s.rotate("ci-web")
        (first,) = [v for v in await s.versions("ci-web") if v.state is VersionState.CURRENT]
        async with s.parts.store.view() as unit:
            value = await unit.unseal(first.id)
        assert value is not None
        # As a rotator that did not keep lineages left it.
        assert first.issued is not None
        untraced = {k: v for k, v in first.issued.facts.items() if k not in ("lineage", "prints")}
        async with s.parts.store.unit() as unit:
            await unit.save_version(replace(first, issued=replace(first.issued, facts=untraced)))
        (found,) = await recognise(s.parts, traces(value))
        assert (found.credential.name, found.version.id) == ("ci-web", first.id)
        assert found.kinship is Kinship.SAME

        await s.rotate("ci-web")
        await s.days(2)
        async with s.parts.store.view() as unit:
            assert await unit.unseal(first.id) is None
        (child,) = await recognise(s.parts, traces(narrowed(value)))
        assert (child.version.id, child.kinship) == (first.id, Kinship.NARROWED)
        assert child.version.state is VersionState.REVOKED
        assert child.sentence == (
            "it was narrowed from the token of ci-web; the word of https://auth.fly.io is not in "
            "it, which its finder may still get"
        )
        stranger = m.mint(b"k" * 32, b"kid", b"r" * 16, caveats=[m.organization(1)])
        assert await recognise(s.parts, traces(Secret(stranger.encode()))) == []

    tell(story)
