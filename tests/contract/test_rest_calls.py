"""Every REST call of the client, and the simulator's answer, against Fly's official description."""

from __future__ import annotations

import json

import jsonschema
import pytest

from rotator.domain.machines import MARK_ROLLOUT, MARK_SECRETS_VERSION
from rotator.domain.secret import Secret
from tests.contract.conversation import Conversation, Exchange, conversation
from tests.contract.official import RestContract

MORE_IN_QUERIES = {
    "ttl": "flyctl sends a lease's time in the query; the description has it in the body",
}
ENVELOPES = "/lease"
"""Fly's documents and clients wrap leases in `data`, the description shows them bare."""


def described(body: object) -> object:
    """The body without the nulls that delete secrets: the description tells of them in words
    ("or nil to unset"), but its type for a value is text alone."""
    if isinstance(body, dict) and isinstance(body.get("values"), dict):
        return {"values": {k: v for k, v in body["values"].items() if v is not None}}
    return body


def told(answer: object) -> object:
    """The answer with `autostop` as text: the description says in words that answers keep to
    booleans for "off" and "stop", but its type is text alone."""
    if isinstance(answer, list):
        return [told(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    words = {False: "off", True: "stop"}
    return {
        key: words.get(value, value) if key == "autostop" else told(value)
        for key, value in answer.items()
    }


async def talk(said: Conversation) -> None:
    """Use every REST operation once."""
    client, fleet = said.client, said.client.fleet
    await fleet.app("web")
    update = await client.secrets.set_secrets("web", {"CONTRACT": Secret("x" * 32), "GONE": None})
    await client.secrets.secrets("web", min_version=update.version)
    (certificate, *_) = await client.certificates.certificates("web")
    await client.certificates.certificate("web", certificate.hostname)
    await client.certificates.check("web", certificate.hostname)
    await client.tokens.current()
    assert (await client.running.read(await client.running.one("acme", "web"))).machines
    machine = next(m for m in await fleet.machines("web") if m.state == "started")
    lease = await fleet.acquire_lease("web", machine.id, ttl_seconds=30, description="contract")
    lease = await fleet.refresh_lease("web", machine.id, lease, ttl_seconds=30)
    machine = await fleet.machine("web", machine.id)
    updated = await fleet.update(
        machine,
        marks={MARK_ROLLOUT: "contract", MARK_SECRETS_VERSION: str(update.version)},
        min_secrets_version=update.version,
        skip_launch=False,
        lease=lease,
    )
    await fleet.wait("web", machine.id, instance_id=updated.instance_id, timeout_seconds=60)
    for command in (fleet.cordon, fleet.uncordon, fleet.restart):
        await command("web", machine.id, lease)
    await said.clock.sleep(30)
    lease = await fleet.acquire_lease("web", machine.id, ttl_seconds=60, description="contract")
    await fleet.stop("web", machine.id, lease)
    await said.clock.sleep(20)
    await fleet.start("web", machine.id, lease)
    await fleet.release_lease("web", machine.id, lease)
    clone = await fleet.create(machine, marks={MARK_ROLLOUT: "contract"}, min_secrets_version=1)
    await fleet.wait("web", clone.id, instance_id=clone.instance_id, timeout_seconds=60)
    assert await fleet.run_command("web", clone.id, ["true"], timeout_seconds=5) == 0
    await fleet.uncordon("web", clone.id, None)
    await fleet.destroy("web", clone.id, None)
    assert clone.id not in {each.id for each in await fleet.machines("web")}


async def spoken() -> list[Exchange]:
    async with conversation() as said:
        await talk(said)
    return said.said


async def test_every_call_and_every_answer_is_as_described() -> None:
    contract = RestContract()
    operations = set()
    for exchange in await spoken():
        contract.check_request(
            exchange.method,
            exchange.path,
            exchange.query,
            told(described(exchange.body)),
            more=set(MORE_IN_QUERIES),
        )
        contract.check_answer(
            exchange.method,
            exchange.path,
            exchange.status,
            told(exchange.answer),
            envelope=exchange.path.endswith(ENVELOPES),
        )
        operations.add(contract.operation(exchange.method, exchange.path)["operationId"])
    assert len(operations) >= 18, operations


async def test_what_is_not_as_described_would_be_caught() -> None:
    contract = RestContract()
    exchange = next(e for e in await spoken() if e.path.endswith("/secrets") and e.method == "GET")
    broken = json.loads(json.dumps(exchange.answer))
    broken["secrets"][0]["digest"] = 5
    with pytest.raises(jsonschema.ValidationError):
        contract.check_answer("GET", exchange.path, 200, broken, envelope=False)
    with pytest.raises(AssertionError, match="not in the official description"):
        contract.check_request("POST", exchange.path, {}, {"value": {}}, more=set())
    with pytest.raises(AssertionError, match="the query has"):
        contract.check_request("GET", exchange.path, {"version": "1"}, None, more=set())
    with pytest.raises(AssertionError, match="is not in the official"):
        contract.operation("POST", "/v1/apps/web/machines/x/hibernate")


async def test_an_update_sends_the_whole_config_as_it_was_and_two_marks() -> None:
    exchanges = await spoken()
    update = next(e for e in exchanges if isinstance(e.body, dict) and "current_version" in e.body)
    read = next(e for e in exchanges if e.method == "GET" and e.path == update.path)
    assert isinstance(update.body, dict)
    assert isinstance(read.answer, dict)
    sent, stood = update.body["config"], read.answer["config"]
    assert {k: v for k, v in sent.items() if k != "metadata"} == {
        k: v for k, v in stood.items() if k != "metadata"
    }
    added = {k: v for k, v in sent["metadata"].items() if k not in stood["metadata"]}
    assert set(added) == {MARK_ROLLOUT, MARK_SECRETS_VERSION}
