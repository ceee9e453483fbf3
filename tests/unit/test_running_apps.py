"""Reading what apps run with: off the simulator, and off answers that are odd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from rotator.domain.errors import NotAllowed, NotFound
from rotator.domain.posture.running import (
    Exposure,
    ListedApp,
    Port,
    Restarts,
    RunningApp,
    RunningMachine,
)
from rotator.fly.running_model import RunningMachineModel
from rotator.redaction import scrubbed, watching
from rotator.simulator import addresses
from rotator.simulator.app import create_app
from rotator.simulator.machines import restart as restarting
from rotator.simulator.model import Machine
from rotator.simulator.seed import add_app
from tests.contract.conversation import Conversation, conversation

BASE = {
    "id": "0123456789abcd",
    "state": "started",
    "instance_id": "01HEPA330HZ37A78TK080NAK1M",
    "created_at": "2023-10-31T02:30:10Z",
    "updated_at": "2023-11-08T01:52:31Z",
}
CANARY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


def read(config: object, **more: object) -> RunningMachine:
    return RunningMachineModel.model_validate(BASE | {"config": config} | more).running("web")


async def app_of(said: Conversation, name: str) -> RunningApp:
    return await said.client.running.read(await said.client.running.one("acme", name))


def machine_of(said: Conversation, app: str) -> Machine:
    return next(iter(said.world.apps[app].machines.values()))


async def test_an_app_is_read_with_all_that_it_runs_with() -> None:
    async with conversation() as said:
        app = await app_of(said, "web")
    assert [each.exposure for each in app.addresses] == [Exposure.PUBLIC_V6, Exposure.SHARED_V4]
    assert {each.name for each in app.secrets} == {"SESSION_KEY", "DATABASE_URL"}
    assert set(app.groups()) == {"app", "worker"}
    machine = app.groups()["app"][0]
    (service,) = machine.services
    assert (service.internal_port, service.ports) == (8080, (Port(443, 443, ("http", "tls")),))
    assert machine.restarts == Restarts("on-failure", 10)
    assert machine.image.name == "registry.fly.io/web"
    assert machine.image.digest.startswith("sha256:")
    assert machine.managed
    born = said.clock.now() - timedelta(days=40)
    assert machine.image.built_at == born
    assert machine.made_at == born
    assert [each.changed_at for each in app.secrets] == [born, born]


async def test_an_app_costs_two_calls_and_fifty_apps_a_page_more() -> None:
    async with conversation() as said:
        for number in range(57):
            add_app(said.world, said.world.organizations["acme"], f"app-{number}", said.clock.now())
        apps = [app async for page in said.client.running.listed("acme") for app in page]
        assert len(apps) == 60
        assert len(said.said) == 2
        for app in apps:
            await said.client.running.read(app)
        assert len(said.said) == 2 + 2 * 60
        # Two calls are within what Fly lets an app have at once: nothing was waited for.
        assert said.clock.now() == datetime(2026, 1, 1, tzinfo=UTC)


async def test_one_app_by_itself_costs_three_calls_and_no_wait() -> None:
    async with conversation() as said:
        await app_of(said, "web")
        assert [each.path for each in said.said] == [
            "/v1/apps/web/ip_assignments",
            "/v1/apps/web/machines",
            "/v1/apps/web/secrets",
        ]
        assert said.clock.now() == datetime(2026, 1, 1, tzinfo=UTC)


async def test_both_apis_tell_the_same_addresses() -> None:
    async with conversation() as said:
        web = said.world.apps["web"]
        for kind in ("v4", "private_v6"):
            addresses.assign(web, kind, said.clock.now())
        (page,) = [page async for page in said.client.running.listed("acme")]
        listed = next(app for app in page if app.name == "web")
        alone = await said.client.running.one("acme", "web")
    assert set(listed.addresses) == set(alone.addresses)
    assert {each.exposure for each in listed.addresses} == set(Exposure)
    private = next(each for each in alone.addresses if not each.public)
    assert private.ip.startswith("fdaa:")


async def test_an_app_with_more_addresses_than_a_page_is_asked_for_them() -> None:
    async with conversation() as said:
        web = said.world.apps["web"]
        for _ in range(120):
            addresses.assign(web, "v6", said.clock.now())
        (page,) = [page async for page in said.client.running.listed("acme")]
    assert len(next(app for app in page if app.name == "web").addresses) == 122


async def test_a_host_that_does_not_answer_leaves_the_machine_incomplete() -> None:
    async with conversation() as said:
        machine_of(said, "web").host_status = "unreachable"
        app = await app_of(said, "web")
    assert len(app.unread) == 1


async def test_what_the_token_may_not_see_is_an_error_of_its_own_kind() -> None:
    async with conversation() as said:
        with pytest.raises(NotFound):
            await said.client.running.read(ListedApp("acme", "gone"))
        with pytest.raises((NotFound, NotAllowed)):
            _ = [page async for page in said.client.running.listed("nobody")]


async def test_addresses_are_given_and_taken_back_over_the_api() -> None:
    async with conversation() as said:
        app = said.world.apps["web"]
        header = {"Authorization": said.client.token.value.reveal()}
        transport = httpx.ASGITransport(app=create_app(said.world))
        async with httpx.AsyncClient(transport=transport, base_url="http://fly") as http:
            path = "/v1/apps/web/ip_assignments"
            made = await http.post(path, json={"type": "private_v6"}, headers=header)
            assert made.status_code == 200
            assert made.json()["ip"] == app.addresses[-1].ip
            wrong = await http.post(path, json={"type": "v5"}, headers=header)
            assert wrong.status_code == 422
            gone = await http.delete(f"{path}/{made.json()['ip']}", headers=header)
            assert gone.status_code == 204
            await said.clock.sleep(5)
            again = await http.delete(f"{path}/{made.json()['ip']}", headers=header)
            assert again.status_code == 404
        assert [each.kind for each in app.addresses] == ["v6", "shared_v4"]


def test_values_are_found_wherever_a_config_has_them_and_show_nowhere() -> None:
    machine = read(
        {
            "env": {"API_KEY": CANARY, "PORT": "8080"},
            "init": {"cmd": ["serve", f"--api-key={CANARY}"], "exec": None},
            "processes": [{"env": {"P": CANARY}, "user": "root"}],
            "containers": [{"env": {"C": CANARY}, "cmd": [f"TOKEN={CANARY}"]}],
        }
    )
    assert [each.name for each in machine.variables] == [
        "API_KEY",
        "PORT",
        "P",
        "C",
        "api-key",
        "TOKEN",
    ]
    assert CANARY not in repr(machine)
    assert machine.users == ("root", "")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"env": None, "services": None, "restart": None, "init": None, "image": None},
        {"env": [], "services": {}, "restart": "always", "init": [], "processes": "x"},
        {"services": [None, {"ports": [None, {"port": True}, {"handlers": "tls"}, {}]}]},
        {"services": [{"internal_port": "8080", "ports": {"port": 1}}]},
        {"env": {"A": 5, "B": None}, "init": {"cmd": [1, None]}, "containers": [[]]},
    ],
)
def test_a_config_of_another_shape_counts_as_absent(config: object) -> None:
    machine = read(config)
    assert machine.restarts == Restarts()
    assert not machine.variables
    assert not any(each.ports for each in machine.services)


def test_an_image_tells_when_it_was_built_by_its_label_else_by_the_tag_of_flyctl() -> None:
    ref = {"registry": "registry.fly.io", "repository": "web", "digest": "sha256:00"}
    tagged = ref | {"tag": "deployment-01HEPA330HZ37A78TK080NAK1M"}
    labelled = tagged | {"labels": {"org.opencontainers.image.created": "2023-01-01T00:00:00Z"}}
    at = datetime(2023, 11, 8, 1, 52, 30, 225000, tzinfo=UTC)
    assert read({}, image_ref=tagged).image.built_at == at
    assert read({}, image_ref=labelled).image.built_at == datetime(2023, 1, 1, tzinfo=UTC)
    assert read({}, image_ref=ref | {"tag": "latest"}).image.built_at is None
    assert read({}, instance_id="no ulid").made_at is None


@pytest.mark.parametrize(
    ("restart", "ends_after"),
    [
        ({"policy": "no"}, 1),
        ({"policy": "on-failure", "max_retries": 3}, 3),
        (None, 10),
        ({"policy": "always"}, None),
    ],
)
async def test_a_machine_that_dies_is_restarted_as_its_config_says(
    restart: object, ends_after: int | None
) -> None:
    async with conversation() as said:
        machine = machine_of(said, "web")
        machine.config = {k: v for k, v in machine.config.items() if k != "restart"}
        if restart is not None:
            machine.config["restart"] = restart
        machine.crash_loop = True
        restarting(said.world, machine)
        for _ in range(200):
            await said.clock.sleep(3)
            said.world.advance()
        if ends_after is None:
            assert machine.restart_count > 20
            assert machine.state != "stopped"
        else:
            assert (machine.restart_count, machine.state) == (ends_after, "stopped")


def test_what_stands_in_a_machine_is_hidden_but_not_looked_for_elsewhere() -> None:
    with watching():
        machine = read({"env": {"APP": "web-frontend", "HOST": "web-frontend.fly.dev"}})
        assert "web-frontend" not in repr(machine.variables)
        told = "target web-frontend/SESSION_KEY; certificate web-frontend.fly.dev"
        assert scrubbed(told) == told
