"""The Fly client as a whole: one connection pool for each of Fly's two APIs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import httpx

from rotator.domain.ports import Clock, Entropy
from rotator.domain.secret import Secret
from rotator.fly.api_token import ApiToken, Authorizer, as_api_token
from rotator.fly.auth import (
    graphql_authorization,
    machines_authorization,
    releases_authorization,
)
from rotator.fly.authority import TokenAuthority
from rotator.fly.clock_watch import ClockWatch
from rotator.fly.counting import CallCounter
from rotator.fly.fleet import FlyFleet
from rotator.fly.graphql import Graphql
from rotator.fly.leaks import LeakedTokens
from rotator.fly.narrow_calls import CallNarrower
from rotator.fly.organizations import OrganizationsApi
from rotator.fly.probing import HttpProber
from rotator.fly.releases import ReleasesApi
from rotator.fly.secrets import SecretsApi
from rotator.fly.tokens import TokensApi
from rotator.fly.transport import Transport
from rotator.fly.wireguard import WireguardApi
from rotator.fly.witness import FlyWitness

if TYPE_CHECKING:
    from rotator.fly.certificate_reading import FlyCertificates
    from rotator.fly.certificates import CertificatesApi
    from rotator.fly.holdings import FlyHoldings
    from rotator.fly.own_rights import HeldTokens
    from rotator.fly.platform import PlatformApi
    from rotator.fly.running import FlyRunningApps
    from rotator.fly.survey import FlySurvey

CLOSE_SECONDS = 5


class FlyClient:
    """Everything that rotator does on Fly, by area. `calls` counts what goes out. What no rotation
    needs is made, and its module loaded, when it is first asked for.

    The base URLs are without `/v1` and `/graphql`. `http` replaces the network in tests. With
    `narrow_calls` each call carries a copy of the token that may do just that, for minutes.
    """

    def __init__(
        self,
        machines_url: str,
        graphql_url: str,
        token: Secret | ApiToken,
        clock: Clock,
        entropy: Entropy,
        *,
        http: httpx.AsyncBaseTransport | None = None,
        narrow_calls: bool = False,
    ) -> None:
        self.calls = CallCounter()
        self.token = as_api_token(token)
        self.clock_watch = ClockWatch()

        narrower = CallNarrower(clock) if narrow_calls else None

        def transport(base: str, form: Callable[[Secret], Secret]) -> Transport:
            authorizer = Authorizer(self.token, form, narrower)
            watch = self.clock_watch
            return Transport(base, authorizer, clock, entropy, self.calls, http=http, watch=watch)

        self._clock = clock
        self._machines = machines = transport(machines_url, machines_authorization)
        graphql_transport = transport(graphql_url, graphql_authorization)
        releases = transport(graphql_url, releases_authorization)
        self._transports = (machines, graphql_transport, releases)
        self._graphql = graphql = Graphql(graphql_transport)
        self.fleet = FlyFleet(machines)
        if narrower is not None:
            narrower.number_of = self.fleet.number
        self.secrets = SecretsApi(machines)
        self.organizations = OrganizationsApi(graphql)
        self.tokens = TokensApi(graphql, machines)
        self.leaked = LeakedTokens(self.tokens, self.token)
        self.wireguard = WireguardApi(graphql, self.organizations)
        self.witness = FlyWitness(graphql)
        self.releases = ReleasesApi(releases, graphql)
        self.prober = HttpProber(http=http)
        self.authority = TokenAuthority(self.token, clock)

    @cached_property
    def certificates(self) -> CertificatesApi:
        """Certificates by the Machines API."""
        from rotator.fly.certificates import CertificatesApi

        return CertificatesApi(self._machines)

    @cached_property
    def certificate_reading(self) -> FlyCertificates:
        """Certificates as both APIs have them."""
        from rotator.fly.certificate_lists import CertificateLists
        from rotator.fly.certificate_reading import FlyCertificates

        return FlyCertificates(self.certificates, CertificateLists(self._graphql))

    @cached_property
    def survey(self) -> FlySurvey:
        """All that organisations hold."""
        from rotator.fly.survey import FlySurvey

        return FlySurvey(self._graphql, self.tokens, self.wireguard, self.certificates, self._clock)

    @cached_property
    def holdings(self) -> FlyHoldings:
        """People, tokens and peers of an organisation, for its posture."""
        from rotator.fly.holdings import FlyHoldings

        return FlyHoldings(self._graphql, self.tokens, self.wireguard)

    @cached_property
    def held_tokens(self) -> HeldTokens:
        """What tokens that rotator holds may do."""
        from rotator.fly.own_rights import HeldTokens

        return HeldTokens(self.token)

    @cached_property
    def running(self) -> FlyRunningApps:
        """What apps run with."""
        from rotator.fly.running import FlyRunningApps

        return FlyRunningApps(self._machines, self._graphql, self.secrets)

    @cached_property
    def platform(self) -> PlatformApi:
        """Fly's regions and sizes."""
        from rotator.fly.platform import PlatformApi

        return PlatformApi(self._graphql, self._clock)

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._transports:
            async with asyncio.timeout(CLOSE_SECONDS):
                await transport.aclose()
        await self.prober.aclose()
