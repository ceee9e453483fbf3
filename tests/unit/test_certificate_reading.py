"""What both APIs say of certificates, joined, against the simulated Fly."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.errors import NotFound
from rotator.domain.posture.certificate import Api, CertificateSnapshot, Source, disagreements
from rotator.simulator.certificates import LIFE
from rotator.simulator.faults import Fault, Match
from rotator.simulator.model import Certificate
from tests.contract.conversation import Conversation, conversation


def a_certificate(said: Conversation, host: str, app: str = "web") -> Certificate:
    now = said.clock.now()
    made = Certificate(host, now - timedelta(days=5), now + LIFE)
    said.world.apps[app].certificates[host] = made
    return made


async def read(said: Conversation) -> dict[str, CertificateSnapshot]:
    found = await said.client.certificate_reading.of_organization("acme")
    assert found.missing == ()
    return {each.hostname: each for each in found.snapshots}


async def test_both_apis_are_joined_to_one_hostname() -> None:
    async with conversation() as said:
        (found,) = (await read(said)).values()
        assert (found.organization, found.app) == ("acme", "web")
        assert found.machines is not None
        assert found.graphql is not None
        assert {(each.source, each.key_type) for each in found.issued} == {
            (Source.FLY, "rsa"),
            (Source.FLY, "ecdsa"),
        }
        assert found.ends_at == said.world.apps["web"].certificates[found.hostname].expires_at
        assert found.requirements.cname == "web.fly.dev"
        assert found.created_at == found.graphql.created_at
        assert disagreements(found, said.clock.now()) == ()


async def test_an_imported_certificate_goes_before_flys_own_once_it_is_active() -> None:
    async with conversation() as said:
        made = a_certificate(said, "shop.example.com")
        made.custom_expires_at = said.clock.now() + timedelta(days=9)
        found = (await read(said))["shop.example.com"]
        assert (found.source, found.ends_at) == (Source.CUSTOM, made.custom_expires_at)
        made.custom_active = False
        found = (await read(said))["shop.example.com"]
        assert (found.source, found.ends_at) == (Source.FLY, made.expires_at)


async def test_where_the_apis_disagree_it_is_told() -> None:
    async with conversation() as said:
        now = said.clock.now()
        a_certificate(said, "a.example.com").only_in = "machines"
        a_certificate(said, "b.example.com").only_in = "graphql"
        a_certificate(said, "c.example.com").graphql_expires_at = now + timedelta(days=5)
        a_certificate(said, "d.example.com").expires_at = now - timedelta(days=1)
        said.world.apps["web"].certificates["d.example.com"].stuck = True
        found = await read(said)
        told = {name: disagreements(each, now) for name, each in found.items()}
    assert told["a.example.com"] == ("the Machines API has it, and GraphQL has not",)
    assert told["b.example.com"] == ("GraphQL has it, and the Machines API has not",)
    assert told["c.example.com"] == (
        "the Machines API says that it ends 2026-04-01 00:00Z, GraphQL 2026-01-06 00:00Z",
    )
    # It has expired, which GraphQL does not list unless it is asked for it.
    assert told["d.example.com"] == ()


async def test_what_is_wrong_and_what_fly_wants_are_read() -> None:
    async with conversation() as said:
        made = a_certificate(said, "x.example.com")
        made.configured, made.issued, made.errors = False, False, ("CAA_RECORD_INVALID",)
        made.rate_limited_until = said.clock.now() + timedelta(hours=1)
        found = (await read(said))["x.example.com"]
        assert [each.code for each in found.problems] == ["CAA_RECORD_INVALID", "RATE_LIMITED"]
        assert found.problems[0].remediation == "Add a CAA record that allows letsencrypt.org"
        assert found.rate_limited_until == made.rate_limited_until
        assert found.ends_at is None
        assert not found.configured
        assert found.machines is not None
        assert found.machines.validation.dns is False


async def test_a_wildcard_is_asked_for_by_its_encoded_name() -> None:
    async with conversation() as said:
        a_certificate(said, "*.example.com")
        assert (await read(said))["*.example.com"].machines is not None
    paths = [each.path for each in said.said]
    assert any(path.endswith("/certificates/*.example.com") for path in paths)


async def test_an_api_that_does_not_answer_is_unread_and_no_disagreement() -> None:
    async with conversation() as said:
        lists = Match(path="/v1/apps/web/certificates")
        said.world.faults.add(Fault("refused", lists, times=20, status=403))
        (found,) = (await read(said)).values()
        assert (found.machines, found.unread) == (None, frozenset({Api.MACHINES}))
        said.world.faults.clear()
        said.world.faults.add(Fault("refused", Match(path="/graphql"), times=20, status=403))
        (other,) = (await said.client.certificate_reading.of_app("web", "acme")).snapshots
        assert (other.graphql, other.unread) == (None, frozenset({Api.GRAPHQL}))
        assert disagreements(other, said.clock.now()) == ()
        whole = await said.client.certificate_reading.of_organization("acme")
        assert whole.snapshots == ()
        assert "403" in whole.missing[0][1]


async def test_an_app_that_is_not_there_is_an_error() -> None:
    async with conversation() as said:
        with pytest.raises(NotFound):
            await said.client.certificate_reading.of_app("nothing", "acme")


async def test_more_hostnames_than_a_page_are_all_read() -> None:
    async with conversation() as said:
        for number in range(60):
            a_certificate(said, f"h{number}.example.com", "api")
        found = await read(said)
    assert len(found) == 61
    assert all(each.graphql is not None and each.machines is not None for each in found.values())


async def test_a_check_lets_a_renewal_go_on_that_was_stuck_and_is_counted() -> None:
    async with conversation() as said:
        made = a_certificate(said, "late.example.com")
        made.expires_at, made.stuck = said.clock.now() + timedelta(days=5), True
        answer = await said.client.certificate_reading.check("web", "late.example.com")
        assert made.checks == [said.clock.now()]
        assert {each.expires_at for each in answer.view.issued} == {said.clock.now() + LIFE}
        found = (await read(said))["late.example.com"]
        fresh = await said.client.certificate_reading.again(replace(found, machines=None))
        assert fresh == found


async def test_failed_checks_run_into_the_authoritys_limit() -> None:
    async with conversation() as said:
        made = a_certificate(said, "wrong.example.com")
        made.configured = False
        for _ in range(5):
            answer = await said.client.certificates.check("web", "wrong.example.com")
        assert answer.view.rate_limited_until is not None
        assert "RATE_LIMITED" in {each.code for each in answer.view.problems}
        made.configured = True
        await said.client.certificates.check("web", "wrong.example.com")
        assert made.rate_limited_until is not None


async def test_renewals_come_by_themselves_unless_the_dns_is_wrong() -> None:
    async with conversation() as said:
        good, wrong = a_certificate(said, "g.example.com"), a_certificate(said, "w.example.com")
        wrong.configured = False
        first = wrong.expires_at
        said.clock.at += timedelta(days=300)
        found = await read(said)
    assert found["g.example.com"].ends_at == good.expires_at
    assert good.expires_at > said.clock.now() + timedelta(days=29)
    assert found["w.example.com"].ends_at == first
