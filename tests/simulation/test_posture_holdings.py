"""What rotator holds itself is read for the posture; what it tracks is no stranger's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rotator.domain.credential import VersionState
from rotator.domain.posture.finding import Finding, Topic
from rotator.domain.posture.organization import HeldToken, Reading
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.ports import InspectionScope
from rotator.domain.secret import Secret
from rotator.engine.posture.organization import OrganizationInspector
from rotator.fly.client import FlyClient
from rotator.simulator import tokens
from rotator.simulator.model import PersonalToken
from rotator.simulator.switches import Switches
from tests.simulation.mortal import Life
from tests.simulation.story import Story, tell

MANIFEST = """
[credentials.pipeline]
kind = "deploy-token"
app = "api"
policy = { every = "30d", overlap = "1h" }
targets = [ { type = "file", path = "FOLDER/ci.token" } ]
[credentials.wide]
kind = "org-token"
policy = { every = "30d" }
targets = [ { type = "file", path = "FOLDER/wide.token" } ]
[credentials.narrow]
kind = "org-token"
narrow = { apps = ["web"], actions = "rw" }
policy = { every = "30d" }
targets = [ { type = "file", path = "FOLDER/narrow.token" } ]
[credentials.office]
kind = "wireguard-peer"
region = "fra"
policy = { every = "30d" }
targets = [ { type = "file", path = "FOLDER/wg.conf" } ]
"""


class APerson:
    """As if rotator's own token were a person's."""

    def reading(self, value: Secret) -> Reading | None:
        return None

    def own_refs(self, tokens: Sequence[HeldToken]) -> frozenset[str]:
        return frozenset()

    def own_is_personal(self) -> bool:
        return True


def client_of(s: Story) -> FlyClient:
    s.world.fly.switches = Switches()
    s.parts, _, client = s.world.parts(Life())
    s.closing.append(client.aclose)
    return client


async def findings(s: Story, client: FlyClient, app: str | None = None) -> dict[str, list[Finding]]:
    """By subject."""
    inspector = OrganizationInspector(s.parts.store, client.holdings, client.held_tokens)
    now = s.parts.clock.now()
    found = await inspector.inspect(InspectionScope(("acme",), app), PosturePolicy(), now)
    assert found.missing == ()
    by_subject: dict[str, list[Finding]] = {}
    for each in found.findings:
        assert each.rule.topic in inspector.topics
        by_subject.setdefault(each.subject, []).append(each)
    return by_subject


def rules(found: dict[str, list[Finding]], subject: str) -> list[str]:
    return [each.rule.id for each in found.get(subject, ())]


def test_values_that_rotator_holds_are_read_and_its_pairs_are_one() -> None:
    async def story(s: Story) -> None:
        client = client_of(s)
        await s.apply(MANIFEST.replace("FOLDER", str(s.world.folder)))
        for name in ("wide", "narrow", "office", "pipeline"):
            await s.rotate(name)
        await s.parts.clock.sleep(1)
        await s.rotate("pipeline")
        assert sorted(v.state for v in await s.versions("pipeline")) == [
            VersionState.CURRENT,
            VersionState.RETIRING,
        ]
        assert len(s.living("pipeline")) == 2
        found = await findings(s, client)
        assert rules(found, "token:wide") == ["token-org-wide", "token-unnarrowed"]
        assert rules(found, "token:narrow") == []
        assert rules(found, "token:api/pipeline") == ["token-unnarrowed"]
        assert rules(found, "app:api") == []
        assert rules(found, "wireguard-peer:office") == []
        assert rules(found, "wireguard-peer:office-gateway") == ["peer-untracked"]
        text = repr(found)
        async with s.parts.store.view() as unit:
            for version in await unit.versions_in(frozenset({VersionState.CURRENT})):
                value = await unit.unseal(version.id)
                assert value is not None
                assert value.reveal() not in text

    tell(story)


def test_a_peer_of_the_same_name_in_another_organisation_tracks_nothing_here() -> None:
    async def story(s: Story) -> None:
        client = client_of(s)
        await s.apply(MANIFEST.replace("FOLDER", str(s.world.folder)))
        await s.rotate("office")
        assert rules(await findings(s, client), "wireguard-peer:office") == []
        async with s.parts.store.unit() as unit:
            office = await unit.credential("office")
            assert office is not None
            elsewhere = replace(office.spec, organization="rival")
            await unit.save_credential(replace(office, spec=elsewhere))
        await s.parts.clock.sleep(2 * 24 * 3600)
        assert rules(await findings(s, client), "wireguard-peer:office") == [
            "peer-untracked",
            "peer-unused",
        ]

    tell(story)


def test_of_one_app_its_tokens_alone_are_told() -> None:
    async def story(s: Story) -> None:
        client = client_of(s)
        found = await findings(s, client, "web")
        assert {each.app for listed in found.values() for each in listed} == {"web"}
        assert rules(found, "token:web/ci-web") == ["token-untracked"]

    tell(story)


def test_a_person_sees_their_personal_tokens_and_what_they_may_not_see_is_missing() -> None:
    async def story(s: Story) -> None:
        client = client_of(s)
        inspector = OrganizationInspector(s.parts.store, client.holdings, APerson())
        now, scope = s.parts.clock.now(), InspectionScope(("acme",))
        refused = await inspector.inspect(scope, PosturePolicy(), now)
        assert [(m.topic, m.organization) for m in refused.missing] == [(Topic.TOKENS, "")]
        s.world.fly.switches.tokens_see_personal_tokens = True
        s.world.fly.personal_tokens.append(
            PersonalToken("p1", "laptop", "pat", tokens.OPERATOR, now)
        )
        shown = await inspector.inspect(scope, PosturePolicy(), now)
        assert shown.missing == ()
        assert [f.subject for f in shown.findings if f.rule.id == "token-personal"] == [
            "personal-token:laptop"
        ]

    tell(story)
