"""flyctl's commands against the simulator, call by call.

tests/integration/test_real_flyctl.py runs a real flyctl where one is given.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from rotator.domain.secret import Secret
from rotator.fly import macaroon
from rotator.fly.client import FlyClient
from rotator.simulator.app import build_world, create_app
from rotator.simulator.gql import sdl
from rotator.simulator.in_process import InProcess
from rotator.simulator.world import World
from rotator.system import SystemEntropy
from tests.contract import official
from tests.contract.conversation import Clock
from tests.contract.flyctl import DOCUMENTS, Flyctl, Refused, flyctl

RELEASE = {"id": str, "version": int, "stable": bool, "in_progress": bool, "status": str}
MORE_OF_RELEASE = {"strategy": str, "user": str, "created_at": str, "image_ref": str}
ORGANIZATION = {"id": str, "internal_numeric_id": int, "slug": str, "raw_slug": str, "name": str}
MACHINE = {"id": str, "name": str, "state": str, "region": str, "instance_id": str}
MORE_OF_MACHINE = {"private_ip": str, "created_at": str, "updated_at": str, "config": dict}
APP = {"id": str, "name": str, "internal_numeric_id": int, "network": str, "status": str}
SECRET = {"name": str, "digest": str, "created_at": str, "updated_at": str}


def decodes(value: Mapping[str, Any], struct: Mapping[str, type]) -> None:
    """Go refuses an answer in which a field has another type than its struct."""
    wrong = {
        name: value.get(name) for name, kind in struct.items() if type(value.get(name)) is not kind
    }
    assert not wrong


@asynccontextmanager
async def session() -> AsyncIterator[tuple[Flyctl, World, Clock]]:
    clock = Clock()
    world, token = build_world(1, clock.now, clock.sleep)
    world.switches.app_actions_share_bucket = False  # as where it is served
    async with flyctl(world, token) as fly:
        yield fly, world, clock


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_of_flyctl_is_valid_at_fly_and_at_the_simulator(name: str) -> None:
    document = parse(DOCUMENTS[name])
    assert validate(official.graphql_schema(), document) == []
    assert validate(build_schema(sdl()), document) == []


async def test_tokens_create_list_and_revoke() -> None:
    async with session() as (fly, world, _):
        header = await fly.create_token("deploy", "flyctl deploy token", app="web")
        wide = await fly.create_token("deploy_organization", "Org deploy token")
        listed = await fly.tokens(app="web")
        assert {"ci-web", "flyctl deploy token"} <= set(listed)
        assert {"operator", "Org deploy token"} <= set(await fly.tokens())
        assert listed["flyctl deploy token"]["user"]["email"]
        async with flyctl(world, header) as deployer, flyctl(world, wide) as other:
            decodes(await deployer.app("web"), APP)
            await other.graphql("viewer")
            with pytest.raises(Refused, match="403"):
                await deployer.app("api")
            await fly.graphql("revoke", input={"id": listed["flyctl deploy token"]["id"]})
            with pytest.raises(Refused, match="401"):
                await deployer.app("web")
        again = await fly.tokens(app="web")
        assert again["flyctl deploy token"]["revokedAt"]


async def test_a_created_token_is_one_permission_token_with_its_discharges() -> None:
    # flyio.ParsePermissionAndDischargeTokens, which every `tokens create` goes through.
    async with session() as (fly, _, _):
        members = macaroon.decode_header(await fly.create_token("deploy", "x", app="web"))
    permissions = [each for each in members if each.location == macaroon.PERMISSION_LOCATION]
    assert len(permissions) == 1
    assert len(members) == 2


async def test_what_tokens_create_readonly_makes_of_a_token_is_held_to_it() -> None:
    async with session() as (fly, world, _):
        members = macaroon.decode_header(await fly.create_token("deploy_organization", "Read-only"))
        (number,) = macaroon.organization_ids(members[0])
        narrowed = members[0].attenuate([macaroon.organization(number, macaroon.READ)])
        async with flyctl(world, macaroon.header_of([narrowed, *members[1:]])) as reader:
            assert await reader.flaps("GET", "/apps/web/machines")
            with pytest.raises(Refused, match="403"):
                await reader.set_secrets("web", {"A": "1"})


async def test_secrets_set_list_unset_and_stage() -> None:
    async with session() as (fly, _, _):
        before = await fly.set_secrets("web", {"FIRST": "one", "SECOND": "two"})
        listed = (await fly.flaps("GET", f"/apps/web/secrets?version={before}"))["secrets"]
        for row in listed:
            decodes(row, SECRET)
        assert {"FIRST", "SECOND"} <= {row["name"] for row in listed}
        assert await fly.set_secrets("web", {"FIRST": None}) == before + 1
        left = (await fly.flaps("GET", "/apps/web/secrets"))["secrets"]
        assert "FIRST" not in {row["name"] for row in left}


async def test_secrets_deploy_makes_a_release_and_updates_each_machine_under_its_lease() -> None:
    async with session() as (fly, world, clock):
        version = await fly.set_secrets("web", {"NEW": "value"})
        config = await fly.graphql("FlyctlConfigCurrentRelease", appName="web")
        definition = config["app"]["currentReleaseUnprocessed"]["configDefinition"]
        latest = await fly.graphql("FlyctlDeployGetLatestImage", appName="web")
        decodes(await fly.app("web"), APP)
        assert await fly.flaps("GET", "/apps/web/volumes") == []
        made = await fly.uiex(
            "POST",
            "/releases",
            {
                "app_name": "web",
                "build_id": 0,
                "definition": definition,
                "image": latest["app"]["currentReleaseUnprocessed"]["imageRef"],
                "strategy": "ROLLING",
            },
        )
        release = made["release"]
        decodes(release, RELEASE | MORE_OF_RELEASE)
        await fly.uiex("PATCH", f"/releases/{release['id']}", {"status": "running"})
        for machine in await fly.flaps("GET", "/apps/web/machines"):
            await _update(fly, clock, machine, version, release)
        done = await fly.uiex("PATCH", f"/releases/{release['id']}", {"status": "complete"})
        decodes(done, RELEASE | MORE_OF_RELEASE)
        decodes(await fly.uiex("GET", "/apps/web/releases/current"), RELEASE | MORE_OF_RELEASE)
        rows = (await fly.uiex("GET", "/apps/web/releases?limit=20"))["releases"]
        assert rows[0]["version"] == release["version"]
        assert (await fly.flaps("GET", "/apps/web/ip_assignments"))["ips"]
        booted = {m.booted.version for m in world.apps["web"].machines.values() if m.booted}
        assert max(booted) == version


async def _update(
    fly: Flyctl, clock: Clock, machine: dict[str, Any], version: int, release: dict[str, Any]
) -> None:
    path = f"/apps/web/machines/{machine['id']}"
    config = machine["config"]
    config["metadata"] |= {
        "fly_release_id": release["id"],
        "fly_release_version": str(release["version"]),
        "fly_flyctl_version": "0.4.0",
    }
    running = machine["state"] in {"started", "starting", "failed"}
    body = {"config": config, "region": machine["region"], "skip_secrets": False}
    more = {"min_secrets_version": version} | ({} if running else {"skip_launch": True})
    async with fly.lease(path, seconds=13) as nonce:
        await clock.sleep(4)
        kept = await fly.flaps("POST", f"{path}/lease?ttl=13", nonce=nonce)
        assert kept["data"]["nonce"] == nonce
        updated = await fly.flaps("POST", path, body | more, nonce=nonce)
        decodes(updated, MACHINE | MORE_OF_MACHINE)
        if running:
            await fly.flaps("GET", f"{path}/wait?state=started&timeout=60")
            await fly.flaps("GET", f"{path}/ps")
            await fly.flaps("POST", f"{path}/lease?ttl=13", nonce=nonce)
            await clock.sleep(10)
            checked = await fly.flaps("GET", path)
            assert all(check["status"] == "passing" for check in checked["checks"])


async def test_wireguard_create_list_and_remove() -> None:
    async with session() as (fly, _, _):
        organization = (await fly.graphql("organization", slug="acme"))["organization"]
        await fly.graphql("viewer")
        region = (await fly.graphql("nearest_gateway"))["nearestRegion"]["code"]
        given = {
            "organizationId": organization["id"],
            "name": "static-laptop",
            "pubkey": base64.b64encode(bytes(range(32))).decode(),
            "region": region,
            "nats": False,
        }
        peer = (await fly.graphql("add_peer", input=given))["addWireGuardPeer"]
        nodes = (await fly.graphql("peers", slug="acme"))["organization"]["wireGuardPeers"]["nodes"]
        assert ("static-laptop", peer["peerip"]) in {(n["name"], n["peerip"]) for n in nodes}
        gone = {"organizationId": organization["id"], "name": "static-laptop"}
        await fly.graphql("remove_peer", input=gone)
        checked = await fly.graphql("validate_peers", input={"peerIps": [peer["peerip"]]})
        assert checked["validateWireGuardPeers"]["invalidPeerIps"] == [peer["peerip"]]


async def test_apps_list_with_and_without_an_organization() -> None:
    async with session() as (fly, world, _):
        every = (await fly.graphql("apps", after=""))["apps"]["nodes"]
        assert {"web", "api", "jobs"} == {each["name"] for each in every}
        assert all(each["currentRelease"]["createdAt"] for each in every)
        organization = (await fly.graphql("organization", slug="acme"))["organization"]
        named = await fly.graphql("apps", org=organization["id"], after="")
        assert named["apps"]["nodes"] == every
        found = await fly.flaps("GET", "/apps?org_slug=acme")
        assert {each["name"] for each in found["apps"]} == {"web", "api", "jobs"}
        decodes((await fly.uiex("GET", "/organizations/acme"))["organization"], ORGANIZATION)
        (one,) = (await fly.uiex("GET", "/organizations?admin=false"))["organizations"]
        decodes(one, ORGANIZATION)
        assert set(await fly.uiex("GET", "/releases/all_current")) == {"web", "api", "jobs"}
        # A deploy token can't list apps (GRAPHQL.md 2.3).
        header = await fly.create_token("deploy", "ci", app="web")
        async with flyctl(world, header) as deployer:
            with pytest.raises(Refused, match="Not authorized"):
                await deployer.graphql("apps", after="")


async def test_machine_list_status_update_and_restart() -> None:
    async with session() as (fly, _, clock):
        await fly.graphql("app_compact", appName="web")
        await fly.graphql("app_basic", appName="web")
        await fly.graphql("GetApp", name="web")
        machines = await fly.flaps("GET", "/apps/web/machines")
        machine = next(each for each in machines if each["state"] == "started")
        path = f"/apps/web/machines/{machine['id']}"
        decodes(await fly.flaps("GET", path), MACHINE | MORE_OF_MACHINE)
        async with fly.lease(path, seconds=120) as nonce:
            config = machine["config"] | {"metadata": machine["config"]["metadata"] | {"a": "b"}}
            body = {"config": config, "region": machine["region"], "name": machine["name"]}
            updated = await fly.flaps("POST", path, body | {"skip_secrets": False}, nonce=nonce)
            assert updated["instance_id"] != machine["instance_id"]
            await fly.flaps("GET", f"{path}/wait?state=settled&timeout=60")
            await clock.sleep(5)
            await fly.flaps("POST", f"{path}/restart?force_stop=false", nonce=nonce)
            waited = f"{path}/wait?instance_id={updated['instance_id']}&state=started&timeout=60"
            await fly.flaps("GET", waited)
        assert (await fly.flaps("GET", path))["config"]["metadata"]["a"] == "b"


async def test_status_tells_of_an_image_that_is_not_flys_own_in_flys_words() -> None:
    async with session() as (fly, _, _):
        await fly.graphql("app_compact", appName="web")
        await fly.graphql("host_issues", appName="web")
        for machine in await fly.flaps("GET", "/apps/web/machines"):
            image = f"{machine['image_ref']['repository']}:{machine['image_ref']['tag']}"
            # flyctl goes on only if the text has these words.
            with pytest.raises(Refused, match="Unknown repository"):
                await fly.graphql("latest_image", image=image, flyVersion="")
        version = await fly.graphql("current_version", appName="web")
        assert version["app"]["currentRelease"]["version"] == 1


async def test_certs_list_and_show_by_both_apis() -> None:
    async with session() as (fly, _, _):
        data = await fly.graphql("certificates", appName="web")
        (row,) = data["appcertscompact"]["certificates"]["nodes"]
        given = {"appId": "web", "hostname": row["hostname"]}
        shown = (await fly.graphql("check_certificate", input=given))["checkCertificate"]
        assert shown["certificate"]["clientStatus"] == "Ready"
        assert {each["type"] for each in shown["certificate"]["issued"]["nodes"]} == {
            "rsa",
            "ecdsa",
        }
        assert (await fly.graphql("addresses", appName="web"))["app"]["sharedIpAddress"]
        listed = await fly.flaps("GET", "/apps/web/certificates")
        assert [each["hostname"] for each in listed["certificates"]] == [row["hostname"]]
        detail = await fly.flaps("GET", f"/apps/web/certificates/{row['hostname']}")
        assert detail["certificates"][0]["issued"]
        await fly.flaps("POST", f"/apps/web/certificates/{row['hostname']}/check")


async def test_what_rotator_and_flyctl_see_of_one_organization_agrees() -> None:
    async with session() as (fly, world, clock):
        await fly.set_secrets("web", {"ADDED": "by flyctl"})
        await fly.create_token("deploy", "made by flyctl", app="web")
        http = InProcess(create_app(world))
        client = FlyClient(
            "http://fly", "http://fly", Secret(fly.token), clock, SystemEntropy(), http=http
        )
        try:
            ours = {each.name: each.id for each in await client.tokens.of_app("web")}
            secrets = {row.name: row.digest for row in await client.secrets.secrets("web")}
            machines = {each.id: each.state for each in await client.fleet.machines("web")}
            peers = {each.name for each in await client.wireguard.peers("acme")}
        finally:
            await client.aclose()
        theirs = await fly.tokens(app="web")
        assert ours == {name: each["id"] for name, each in theirs.items()}
        listed = (await fly.flaps("GET", "/apps/web/secrets"))["secrets"]
        assert secrets == {row["name"]: row["digest"] for row in listed}
        found = await fly.flaps("GET", "/apps/web/machines")
        assert machines == {each["id"]: each["state"] for each in found}
        nodes = (await fly.graphql("peers", slug="acme"))["organization"]["wireGuardPeers"]["nodes"]
        assert peers == {each["name"] for each in nodes}
