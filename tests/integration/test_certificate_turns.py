"""Daemons that look at certificates at the same moment, on real databases."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from rotator.domain.events import Action
from rotator.domain.ports import EventQuery
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.rotation import Actor
from rotator.engine.certificates.look import CertificateEyes
from rotator.engine.certificates.watch import CertificateWatch
from rotator.engine.parts import Parts
from rotator.fly.client import FlyClient
from rotator.simulator.model import Certificate
from rotator.store.store import SqlStore
from rotator.system import SystemEntropy
from tests.contract.conversation import Conversation, conversation
from tests.integration.store_objects import a_ring

DAEMONS = 4


def a_daemon(said: Conversation, client: FlyClient, url: str, number: int) -> CertificateWatch:
    """One with its own connections to the database."""
    parts = Parts(
        store=SqlStore(url, a_ring(), said.clock),
        kinds={},
        targets={},
        fleet=client.fleet,
        releases=client.releases,
        prober=client.prober,
        authority=client.authority,
        calls=client.calls,
        clock=said.clock,
        entropy=SystemEntropy(),
        worker_id=f"worker-{number}",
        actor=Actor("worker", f"worker-{number}"),
    )
    return CertificateWatch(parts, CertificateEyes(client.certificate_reading), PosturePolicy())


async def test_daemons_that_look_at_once_tell_an_end_and_ask_fly_once(database_url: str) -> None:
    async with conversation() as said:
        now = said.clock.now()
        late = Certificate("late.example.com", now, now + timedelta(days=9), stuck=True)
        late.checks_needed = 99
        said.world.apps["jobs"].certificates[late.hostname] = late
        daemons = [a_daemon(said, said.client, database_url, n) for n in range(DAEMONS)]
        for _ in range(2):
            await asyncio.gather(*(each.run(["acme"]) for each in daemons))
        async with daemons[0].parts.store.view() as unit:
            events = await unit.events(EventQuery(action="certificate", limit=100))
        for each in daemons:
            await each.parts.store.aclose()
    assert Counter(logged.event.action for logged in events) == {
        Action.CERTIFICATE_EXPIRING: 1,
        Action.CERTIFICATE_CHECKING: 1,
        Action.CERTIFICATE_CHECKED: 1,
    }
    assert len(late.checks) == 1
