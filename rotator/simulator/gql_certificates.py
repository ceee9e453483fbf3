"""TLS certificates as GraphQL shows them."""

from __future__ import annotations

from datetime import datetime

from rotator.simulator import certificates
from rotator.simulator.gql_paging import connection
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import Certificate, Json


def certificate_view(certificate: Certificate, now: datetime) -> Json:
    """A certificate."""
    configured = certificate.configured
    target = f"{certificate.hostname}.flydns.net"
    names = (
        "isConfigured isAcmeDnsConfigured isAcmeAlpnConfigured isAcmeHttpConfigured "
        "configured acmeDnsConfigured acmeAlpnConfigured"
    )
    until = certificates.limited_until(certificate, now)
    return {
        "__typename": "AppCertificate",
        "id": f"certificate:{certificate.hostname}",
        "hostname": certificate.hostname,
        "clientStatus": _status(certificate),
        "source": "fly",
        "certificateAuthority": "lets_encrypt",
        "createdAt": rfc3339(certificate.created_at),
        "dnsProvider": "simulated",
        "issued": lambda _, **args: _issued(certificate, now, args),
        "dnsValidationHostname": f"_acme-challenge.{certificate.hostname}",
        "dnsValidationInstructions": f"CNAME _acme-challenge.{certificate.hostname} => {target}",
        "dnsValidationTarget": target,
        "isApex": certificate.hostname.count(".") == 1,
        "isWildcard": certificate.hostname.startswith("*."),
        "rateLimitedUntil": rfc3339(until) if until is not None else None,
        "validationErrors": [
            {"errorCode": code, "message": text, "remediation": mend, "timestamp": rfc3339(now)}
            for code, text, mend in certificates.validation_errors(certificate, now)
        ],
        **dict.fromkeys(names.split(), configured),
    }


def _status(certificate: Certificate) -> str:
    if not certificate.configured:
        return "Awaiting configuration"
    return "Ready" if certificate.issued else "Awaiting certificates"


def _issued(certificate: Certificate, now: datetime, args: dict[str, object]) -> Json:
    """Those that have expired only where they are asked for."""
    ends_at = certificate.graphql_expires_at or certificate.expires_at
    shown = certificate.issued and (ends_at > now or args.get("includeExpired") is True)

    def view(kind: str) -> Json:
        return {
            "__typename": "Certificate",
            "id": f"{kind}:{certificate.hostname}",
            "hostname": certificate.hostname,
            "type": kind,
            "expiresAt": rfc3339(ends_at),
        }

    return connection(certificates.KINDS if shown else (), view, args)


def hostname_check(certificate: Certificate) -> Json:
    """What a check finds in the DNS."""
    return {
        "__typename": "HostnameCheck",
        "id": f"check:{certificate.hostname}",
        "aRecords": ["66.241.124.10"] if certificate.configured else [],
        "aaaaRecords": ["2a09:8280:1::1"] if certificate.configured else [],
        "caaRecords": [],
        "cnameRecords": [],
        "resolvedAddresses": ["66.241.124.10"] if certificate.configured else [],
        "acmeDnsConfigured": certificate.configured,
        "dnsConfigured": certificate.configured,
        "dnsProvider": "simulated",
        "dnsVerificationRecord": None,
        "isProxied": False,
        "errors": [],
        "soa": "",
    }
