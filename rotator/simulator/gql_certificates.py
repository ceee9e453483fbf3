"""TLS certificates as GraphQL shows them."""

from __future__ import annotations

from rotator.simulator.gql_paging import connection
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import Certificate, Json


def certificate_view(certificate: Certificate) -> Json:
    """A certificate."""
    configured = certificate.configured
    target = f"{certificate.hostname}.flydns.net"
    names = (
        "isConfigured isAcmeDnsConfigured isAcmeAlpnConfigured isAcmeHttpConfigured "
        "configured acmeDnsConfigured acmeAlpnConfigured"
    )
    return {
        "__typename": "AppCertificate",
        "id": f"certificate:{certificate.hostname}",
        "hostname": certificate.hostname,
        "clientStatus": "Ready" if configured else "Awaiting configuration",
        "source": "fly",
        "certificateAuthority": "lets_encrypt",
        "createdAt": rfc3339(certificate.created_at),
        "dnsProvider": "simulated",
        "issued": lambda _, **args: _issued(certificate, args),
        "dnsValidationHostname": f"_acme-challenge.{certificate.hostname}",
        "dnsValidationInstructions": f"CNAME _acme-challenge.{certificate.hostname} => {target}",
        "dnsValidationTarget": target,
        "isApex": certificate.hostname.count(".") == 1,
        "isWildcard": certificate.hostname.startswith("*."),
        "rateLimitedUntil": None,
        "validationErrors": [],
        **dict.fromkeys(names.split(), configured),
    }


def _issued(certificate: Certificate, args: dict[str, object]) -> Json:
    kinds = ["rsa", "ecdsa"] if certificate.configured else []

    def view(kind: str) -> Json:
        return {
            "__typename": "Certificate",
            "id": f"{kind}:{certificate.hostname}",
            "hostname": certificate.hostname,
            "type": kind,
            "expiresAt": rfc3339(certificate.expires_at),
        }

    return connection(kinds, view, args)


def hostname_check(certificate: Certificate) -> Json:
    """What a check finds in the DNS."""
    return {
        "__typename": "HostnameCheck",
        "id": f"check:{certificate.hostname}",
        "aRecords": ["66.241.124.10"],
        "aaaaRecords": ["2a09:8280:1::1"],
        "caaRecords": [],
        "cnameRecords": [],
        "resolvedAddresses": ["66.241.124.10"],
        "acmeDnsConfigured": certificate.configured,
        "dnsConfigured": certificate.configured,
        "dnsProvider": "simulated",
        "dnsVerificationRecord": None,
        "isProxied": False,
        "errors": [],
        "soa": "",
    }
