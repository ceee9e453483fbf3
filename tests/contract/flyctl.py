"""flyctl's side of the wire: the documents and calls that its commands send, sent to a simulator.

Read in flyctl (`internal/command/{tokens,secrets,wireguard,apps,machine,status,certificates}`,
`internal/uiex`, `internal/command/deploy`, `internal/appconfig/from_app.go`, as of August 2026) and
in the library under it, fly-go (`resource_*.go`, `flaps/*.go`, `tokens/tokens.go`, v0.5 and later).
Where flyctl came from GraphQL to REST within 2026 (certificates, apps), both are here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from rotator.simulator.app import create_app
from rotator.simulator.in_process import InProcess
from rotator.simulator.world import World

DOCUMENTS: Final[Mapping[str, str]] = {
    # fly-go: resource_user.go
    "viewer": """query {
        viewer { ... on User { id email enablePaidHobby } ... on Macaroon { email } } }""",
    # fly-go: resource_organizations.go
    "organizations": """query($admin: Boolean!) { organizations(admin: $admin) { nodes {
        id slug rawSlug name type paidPlan billable viewerRole internalNumericId } } }""",
    "organization": """query($slug: String!) { organization(slug: $slug) {
        id internalNumericId slug rawSlug name type billable
        limitedAccessTokens { nodes { id name expiresAt revokedAt user { email } } } } }""",
    "organization_of_app": """query($appName: String!) { app(name: $appName) {
        organization { id internalNumericId slug rawSlug name type } } }""",
    # flyctl: gql/genqclient.graphql
    "CreateLimitedAccessToken": """mutation CreateLimitedAccessToken ($name: String!,
        $organizationId: ID!, $profile: String!, $profileParams: JSON, $expiry: String!) {
        createLimitedAccessToken(input: {name: $name, organizationId: $organizationId,
        profile: $profile, profileParams: $profileParams, expiry: $expiry}) {
        limitedAccessToken { tokenHeader } } }""",
    "GetApp": """query GetApp ($name: String!) { app(name: $name) { ... AppData } }
        fragment AppData on App { id name deployed platformVersion
        organization { ... OrganizationData } }
        fragment OrganizationData on Organization {
        id slug rawSlug paidPlan addOnSsoLink provisionsBetaExtensions }""",
    # fly-go: resource_tokens.go
    "app_tokens": """query ($appName: String!) { appLimitedAccessTokens: app(name: $appName) {
        limitedAccessTokens { nodes { id name token expiresAt revokedAt user { email } } } } }""",
    "org_tokens": """query ($slug: String!) { orgLimitedAccessTokens: organization(slug: $slug) {
        limitedAccessTokens { nodes { id name expiresAt revokedAt user { email } } } } }""",
    "revoke": """mutation($input:DeleteLimitedAccessTokenInput!) {
        deleteLimitedAccessToken(input: $input) { token } }""",
    # fly-go: resource_wireguard.go
    "peers": """query($slug: String!) { organization(slug: $slug) { wireGuardPeers { nodes {
        id name pubkey region peerip } } } }""",
    "add_peer": """mutation($input: AddWireGuardPeerInput!) { addWireGuardPeer(input: $input) {
        peerip endpointip pubkey } }""",
    "remove_peer": """mutation($input: RemoveWireGuardPeerInput!) {
        removeWireGuardPeer(input: $input) { organization { id } } }""",
    "validate_peers": """mutation($input: ValidateWireGuardPeersInput!) {
        validateWireGuardPeers(input: $input) { invalidPeerIps } }""",
    "nearest_gateway": """query { nearestRegion(wireguardGateway: true) {
        code name gatewayAvailable deprecated } }""",
    # fly-go: resource_apps.go
    "apps": """query($org: ID, $role: String, $after: String) {
        apps(type: "container", first: 200, after: $after, organizationId: $org, role: $role) {
        pageInfo { hasNextPage endCursor } nodes { id name deployed hostname platformVersion
        organization { slug name } currentRelease { createdAt status } status } } }""",
    "app_compact": """query ($appName: String!) { appcompact:app(name: $appName) {
        id internalNumericId name hostname cnameTarget deployed network status appUrl
        platformVersion organization { id internalNumericId slug paidPlan }
        postgresAppRole: role { name } } }""",
    "app_basic": """query ($appName: String!) { appbasic:app(name: $appName) {
        id name platformVersion organization { id slug rawSlug paidPlan } } }""",
    # fly-go: resource_images.go; flyctl: internal/command/status/machines.go
    "latest_image": """query($image: String!, $flyVersion: String) {
        latestImageDetails(image: $image, flyVersion: $flyVersion) {
        registry repository tag version digest } }""",
    "current_version": """query ($appName: String!) { app(name:$appName) {
        currentRelease:currentReleaseUnprocessed { version } } }""",
    # flyctl: internal/appconfig/from_app.go, internal/command/deploy
    "FlyctlConfigCurrentRelease": """query FlyctlConfigCurrentRelease ($appName: String!) {
        app(name: $appName) { currentReleaseUnprocessed { configDefinition } } }""",
    "FlyctlDeployGetLatestImage": """query FlyctlDeployGetLatestImage ($appName: String!) {
        app(name: $appName) { currentReleaseUnprocessed { id version imageRef } } }""",
    # fly-go: resource_ip_addresses.go, resource_issues.go
    "addresses": """query ($appName: String!) { app(name: $appName) { ipAddresses { nodes {
        id address type region createdAt network { name organization { slug } } serviceName } }
        sharedIpAddress } }""",
    "host_issues": """query($appName: String!) { apphostissues:app(name: $appName) { hostIssues {
        nodes { internalId message createdAt updatedAt } } } }""",
    # fly-go: resource_certificates.go
    "certificates": """query($appName: String!) { appcertscompact:app(name: $appName) {
        certificates { nodes { createdAt hostname clientStatus } } } }""",
    "check_certificate": """mutation($input: CheckCertificateInput!) {
        checkCertificate(input: $input) { certificate { acmeDnsConfigured acmeAlpnConfigured
        configured certificateAuthority createdAt dnsProvider dnsValidationInstructions
        dnsValidationHostname dnsValidationTarget hostname id source clientStatus isApex isWildcard
        issued { nodes { type expiresAt } }
        validationErrors { errorCode message remediation timestamp } }
        check { aRecords aaaaRecords cnameRecords soa dnsProvider dnsVerificationRecord
        resolvedAddresses } } }""",
}
TWENTY_YEARS: Final = "175200h0m0s"
VERSION: Final = "flyctl/0.4.0"


class Refused(AssertionError):
    """What flyctl prints when the API refuses."""


@dataclass
class Flyctl:
    """flyctl with a token, in front of one simulator."""

    http: httpx.AsyncClient
    token: str

    async def graphql(self, name: str, /, **variables: object) -> dict[str, Any]:
        """Send a document as fly-go does: one line of text, no name unless it has one."""
        text = " ".join(DOCUMENTS[name].split())
        body: dict[str, object] = {"query": text, "variables": variables or None}
        if name[0].isupper():
            body["operationName"] = name
        answer = await self._send("POST", "/graphql", body, f"FlyV1 {self._members}")
        if answer.get("errors"):
            raise Refused(answer["errors"][0]["message"])
        data: dict[str, Any] = answer["data"]
        return data

    async def flaps(
        self, method: str, path: str, body: object = None, *, nonce: str | None = None
    ) -> Any:
        """Call the Machines API."""
        return await self._send(method, f"/v1{path}", body, f"FlyV1 {self._members}", nonce)

    async def uiex(self, method: str, path: str, body: object = None) -> Any:
        """Call the REST beside GraphQL: always Bearer, macaroons too."""
        return await self._send(method, f"/api/v1{path}", body, f"Bearer {self._members}")

    async def app(self, name: str) -> dict[str, Any]:
        """An app, as every command with `-a` begins."""
        found: dict[str, Any] = await self.flaps("GET", f"/apps/{name}")
        return found

    async def create_token(self, profile: str, name: str, *, app: str | None = None) -> str:
        """`fly tokens create deploy|org`."""
        if app is not None:
            params: dict[str, object] = {"app_id": (await self.app(app))["id"]}
            organization = (await self.graphql("organization_of_app", appName=app))["app"][
                "organization"
            ]
        else:
            params, found = {}, await self.graphql("organization", slug="acme")
            organization = found["organization"]
        made = await self.graphql(
            "CreateLimitedAccessToken",
            name=name,
            organizationId=organization["id"],
            profile=profile,
            profileParams=params,
            expiry=TWENTY_YEARS,
        )
        header: str = made["createLimitedAccessToken"]["limitedAccessToken"]["tokenHeader"]
        return header

    async def tokens(self, *, app: str | None = None) -> dict[str, dict[str, Any]]:
        """`fly tokens list`, by name."""
        name = "app_tokens" if app else "org_tokens"
        data = await self.graphql(name, **({"appName": app} if app else {"slug": "acme"}))
        (holder,) = data.values()
        return {each["name"]: each for each in holder["limitedAccessTokens"]["nodes"]}

    async def set_secrets(self, app: str, values: Mapping[str, str | None]) -> int:
        """`fly secrets set|unset --stage`: the version that they have then."""
        await self.graphql("app_compact", appName=app)
        answer = await self.flaps("POST", f"/apps/{app}/secrets", {"values": dict(values)})
        version: int = answer["version"]
        return version

    @asynccontextmanager
    async def lease(self, path: str, *, seconds: int) -> AsyncIterator[str]:
        """A machine's lease, as every change of a machine is made under."""
        lease = await self.flaps("POST", f"{path}/lease?ttl={seconds}")
        nonce: str = lease["data"]["nonce"]
        try:
            yield nonce
        finally:
            await self.flaps("DELETE", f"{path}/lease", nonce=nonce)

    @property
    def _members(self) -> str:
        return self.token.removeprefix("FlyV1 ")

    async def _send(
        self, method: str, path: str, body: object, authorization: str, nonce: str | None = None
    ) -> Any:
        headers = {"Authorization": authorization, "User-Agent": VERSION}
        if nonce is not None:
            headers["fly-machine-lease-nonce"] = nonce
        content = None if body is None else json.dumps(body)
        response = await self.http.request(method, path, content=content, headers=headers)
        if response.status_code >= 300:
            raise Refused(f"{response.status_code} {response.text}")
        return response.json() if response.content else None


@asynccontextmanager
async def flyctl(world: World, token: str) -> AsyncIterator[Flyctl]:
    """flyctl, pointed at a simulator in this process."""
    transport = InProcess(create_app(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://fly") as http:
        yield Flyctl(http, token)
