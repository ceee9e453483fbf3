"""The Fly client as a whole: one connection pool for each of Fly's two APIs."""

from __future__ import annotations

import asyncio

import httpx

from rotator.domain.ports import Clock, Entropy
from rotator.domain.secret import Secret
from rotator.fly.auth import (
    graphql_authorization,
    machines_authorization,
    releases_authorization,
)
from rotator.fly.authority import TokenAuthority
from rotator.fly.certificates import CertificatesApi
from rotator.fly.counting import CallCounter
from rotator.fly.fleet import FlyFleet
from rotator.fly.graphql import Graphql
from rotator.fly.leaks import LeakedTokens
from rotator.fly.organizations import OrganizationsApi
from rotator.fly.probing import HttpProber
from rotator.fly.releases import ReleasesApi
from rotator.fly.secrets import SecretsApi
from rotator.fly.survey import FlySurvey
from rotator.fly.tokens import TokensApi
from rotator.fly.transport import Transport
from rotator.fly.wireguard import WireguardApi
from rotator.fly.witness import FlyWitness

CLOSE_SECONDS = 5


class FlyClient:
    """Everything that rotator does on Fly, by area. `calls` counts what goes out.

    The base URLs are without `/v1` and `/graphql`. `http` replaces the network in tests.
    """

    def __init__(
        self,
        machines_url: str,
        graphql_url: str,
        token: Secret,
        clock: Clock,
        entropy: Entropy,
        *,
        http: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.calls = CallCounter()
        self._transports = (
            machines := Transport(
                machines_url, machines_authorization(token), clock, entropy, self.calls, http=http
            ),
            graphql_transport := Transport(
                graphql_url, graphql_authorization(token), clock, entropy, self.calls, http=http
            ),
            releases := Transport(
                graphql_url, releases_authorization(token), clock, entropy, self.calls, http=http
            ),
        )
        graphql = Graphql(graphql_transport)
        self.fleet = FlyFleet(machines)
        self.secrets = SecretsApi(machines)
        self.certificates = CertificatesApi(machines)
        self.organizations = OrganizationsApi(graphql)
        self.tokens = TokensApi(graphql, machines)
        self.leaked = LeakedTokens(self.tokens)
        self.wireguard = WireguardApi(graphql, self.organizations)
        self.survey = FlySurvey(graphql, self.tokens, self.wireguard, self.certificates, clock)
        self.witness = FlyWitness(graphql)
        self.releases = ReleasesApi(releases, graphql)
        self.prober = HttpProber(http=http)
        self.authority = TokenAuthority(token, clock)

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._transports:
            async with asyncio.timeout(CLOSE_SECONDS):
                await transport.aclose()
        await self.prober.aclose()
