"""HTTP probes of our own to a machine, over Fly's private network (6PN)."""

from __future__ import annotations

import asyncio

import httpx

from rotator.domain.machines import Machine
from rotator.domain.policy import Probe


class HttpProber:
    """Asks a machine by its private address. Only reachable from inside the organisation's network.

    The answer's body is never read: it may hold anything.
    """

    def __init__(self, *, http: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(transport=http, trust_env=False, follow_redirects=False)

    async def probe(self, machine: Machine, probe: Probe) -> str | None:
        """What is wrong, or None when the machine answers with the wanted status."""
        if not machine.private_ip:
            return "it has no private address"
        address = f"[{machine.private_ip}]" if ":" in machine.private_ip else machine.private_ip
        url = f"http://{address}:{probe.port}{probe.path}"
        seconds = probe.timeout.total_seconds()
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream("GET", url, timeout=seconds) as answer,
            ):
                status = answer.status_code
        except (httpx.HTTPError, TimeoutError) as error:
            return f"the probe {probe.path} got no answer ({type(error).__name__})"
        if status != probe.status:
            return f"the probe {probe.path} answered {status}, not {probe.status}"
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
