"""What is read of machines and addresses, and what the simulator says of them, against Fly's
official description of the Machines API."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from rotator.fly.running_model import RunningMachineModel
from rotator.simulator.app import create_app
from rotator.simulator.model import Json
from tests.contract import official
from tests.contract.conversation import conversation
from tests.contract.official import RestContract

CONFIG: Json = {
    "image": "registry.fly.io/web:deployment-01HEPA330HZ37A78TK080NAK1M",
    "env": {"PORT": "8080"},
    "init": {"exec": ["/app"], "cmd": ["serve"], "entrypoint": ["/entry"]},
    "restart": {"policy": "always", "max_retries": 3},
    "services": [
        {
            "protocol": "tcp",
            "internal_port": 8080,
            "ports": [
                {"start_port": 10000, "end_port": 10010},
                {
                    "port": 443,
                    "handlers": ["tls", "http"],
                    "force_https": True,
                    "tls_options": {"versions": ["TLSv1.2"], "default_self_signed": True},
                },
            ],
        }
    ],
    "processes": [
        {"user": "app", "env": {"A": "b"}, "cmd": ["a"], "exec": ["b"], "entrypoint": ["c"]}
    ],
    "containers": [
        {"user": "app", "env": {"A": "b"}, "cmd": ["a"], "exec": ["b"], "entrypoint": ["c"]}
    ],
    "metadata": {"fly_platform_version": "v2"},
}
"""Every field of a config that a rule stands on."""


def undescribed(value: object, name: str, schemas: Mapping[str, Json]) -> list[str]:
    """The fields in a value that its schema does not have."""
    found: list[str] = []

    def walk(part: object, schema: Json, place: str) -> None:
        while "$ref" in schema:
            schema = schemas[str(schema["$ref"]).rsplit("/", 1)[1]]
        if isinstance(part, list):
            for each in part:
                walk(each, schema["items"], place)  # type: ignore[arg-type]
        elif isinstance(part, dict) and "properties" in schema:
            properties = schema["properties"]
            assert isinstance(properties, dict)
            for key, below in part.items():
                if key not in properties:
                    found.append(f"{place}.{key}")
                else:
                    walk(below, properties[key], f"{place}.{key}")

    walk(value, schemas[name], name)
    return found


def schemas() -> Mapping[str, Json]:
    described = json.loads(official.file("machines-openapi.json").read_text("utf-8"))
    found: Mapping[str, Json] = described["components"]["schemas"]
    return found


def test_every_field_that_a_rule_stands_on_is_flys() -> None:
    assert undescribed(CONFIG, "fly.MachineConfig", schemas()) == []
    ref = {"registry": "r", "repository": "p", "tag": "t", "digest": "d", "labels": {"a": "b"}}
    assert undescribed(ref, "ImageRef", schemas()) == []
    assert undescribed({"init": {"command": []}}, "fly.MachineConfig", schemas()) == [
        "fly.MachineConfig.init.command"
    ]


def test_nothing_of_those_fields_is_passed_over() -> None:
    machine = RunningMachineModel.model_validate(
        {
            "id": "1",
            "state": "started",
            "instance_id": "01HEPA330HZ37A78TK080NAK1M",
            "created_at": "2023-11-08T01:52:30Z",
            "updated_at": "2023-11-08T01:52:30Z",
            "config": CONFIG,
        }
    ).running("web")
    (service,) = machine.services
    span, https = service.ports
    assert (span.start, span.end) == (10000, 10010)
    assert (https.force_https, https.tls_versions, https.self_signed) == (True, ("TLSv1.2",), True)
    assert (machine.restarts.policy, machine.restarts.max_retries) == ("always", 3)
    assert [each.reveal() for each in machine.command] == [
        "/entry",
        "serve",
        "/app",
        *("c", "a", "b") * 2,
    ]
    assert machine.users == ("app", "app")
    assert len(machine.variables) == 3


async def test_the_simulator_shows_machines_and_addresses_as_described() -> None:
    contract = RestContract()
    async with conversation() as said:
        web = said.world.apps["web"]
        web.image_labels["org.opencontainers.image.created"] = "2026-01-01T00:00:00Z"
        next(iter(web.machines.values())).config = CONFIG
        header = {"Authorization": said.client.token.value.reveal()}
        transport = httpx.ASGITransport(app=create_app(said.world))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://fly", headers=header
        ) as http:
            path = "/v1/apps/web/ip_assignments"
            body = {"type": "private_v6"}
            contract.check_request("POST", path, {}, body, more=set())
            made = await http.post(path, json=body)
            contract.check_answer("POST", path, made.status_code, made.json(), envelope=False)
            listed = await http.get("/v1/apps/web/machines")
            contract.check_answer(
                "GET", "/v1/apps/web/machines", 200, listed.json()[:1], envelope=False
            )
            one = f"{path}/{made.json()['ip']}"
            gone = await http.delete(one)
            contract.check_answer("DELETE", one, gone.status_code, None, envelope=False)
    ref = listed.json()[0]["image_ref"]
    assert undescribed(ref, "ImageRef", schemas()) == []
    assert ref["labels"]
