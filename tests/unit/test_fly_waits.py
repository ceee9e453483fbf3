"""Waiting for machines: how many long requests at once, and from when a look is worth while."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import httpx
import pytest

from rotator.domain.secret import Secret
from rotator.fly.client import FlyClient
from rotator.fly.fleet import MAX_WAITS
from rotator.fly.machine_model import MachineModel
from rotator.fly.transport import MAX_CONNECTIONS
from rotator.system import SystemClock, SystemEntropy


async def test_waits_leave_connections_for_what_must_not_wait_behind_them() -> None:
    released, under_way, most = asyncio.Event(), 0, 0

    async def serve(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        if not request.url.path.endswith("/wait"):
            return httpx.Response(200, json={"data": {"nonce": "n", "expires_at": 1}})
        under_way += 1
        most = max(most, under_way)
        await released.wait()
        under_way -= 1
        return httpx.Response(200, json={"ok": True, "state": "started"})

    client = FlyClient(
        "http://fly",
        "http://fly",
        Secret("token"),
        SystemClock(),
        SystemEntropy(),
        http=httpx.MockTransport(serve),
    )
    waits = [
        asyncio.create_task(
            client.fleet.wait("web", f"{n:014x}", instance_id="i", timeout_seconds=60)
        )
        for n in range(MAX_WAITS + 20)
    ]
    lease = await client.fleet.acquire_lease("web", "f" * 14, ttl_seconds=30, description="")
    assert lease.nonce == "n"
    while under_way < MAX_WAITS:
        await asyncio.sleep(0)
    released.set()
    assert set(await asyncio.gather(*waits)) == {"started"}
    assert most == MAX_WAITS < MAX_CONNECTIONS
    await client.aclose()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        (5_000_000_000, 5.0),
        (None, 0.0),
        (True, 0.0),
        ("soon", 0.0),
        ("10", 0.0),
        ({}, 0.0),
    ],
)
def test_a_grace_period_is_read_as_fly_writes_durations(written: object, seconds: float) -> None:
    config = {
        "checks": {"quick": {"type": "tcp"}, "slow": {"grace_period": written}},
        "services": [{"checks": [{"type": "http", "grace_period": "250ms"}]}],
    }
    machine = MachineModel.model_validate(
        {
            "id": "m",
            "state": "started",
            "region": "fra",
            "instance_id": "i",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "config": config,
        }
    ).plain("web")
    assert machine.check_grace == timedelta(seconds=max(seconds, 0.25))
