"""The Machines API: an app's TLS certificates, read and checked."""

from __future__ import annotations

from starlette.responses import Response

from rotator.fly.macaroon import WRITE
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import Certificate, Json

PAGE_SIZE = 25
MAX_PAGE_SIZE = 500


async def list_certificates(call: Call) -> Response:
    """GET certificates, in pages."""
    wanted = call.query("filter")
    every = [c for c in call.app().certificates.values() if wanted in c.hostname]
    limit = min(whole_number(call.query("limit", str(PAGE_SIZE)), "limit"), MAX_PAGE_SIZE)
    begin = whole_number(call.query("cursor") or "0", "cursor")
    following = str(begin + limit) if begin + limit < len(every) else ""
    rows = [_summary(certificate) for certificate in every[begin : begin + limit]]
    return ok({"certificates": rows, "next_cursor": following, "total_count": len(every)})


async def get_certificate(call: Call) -> Response:
    """GET one certificate."""
    return ok(_detail(_certificate(call)))


async def check_certificate(call: Call) -> Response:
    """POST check: the same with the records that were found."""
    call.app(WRITE)
    certificate = _certificate(call)
    records: Json = {
        "a": ["66.241.124.10"],
        "aaaa": ["2a09:8280:1::1"],
        "cname": [],
        "resolved_addresses": ["66.241.124.10"],
        "soa": "",
        "acme_challenge_cname": f"{certificate.hostname}.flydns.net",
        "ownership_txt": "",
    }
    return ok({**_detail(certificate), "dns_records": records})


def _certificate(call: Call) -> Certificate:
    certificate = call.app().certificates.get(call.path("hostname"))
    if certificate is None:
        raise ApiError(404, "certificate not found")
    return certificate


def _summary(certificate: Certificate) -> Json:
    configured = certificate.configured
    return {
        "hostname": certificate.hostname,
        "status": "Ready" if configured else "Awaiting configuration",
        "dns_provider": "simulated",
        "configured": configured,
        "acme_dns_configured": configured,
        "acme_alpn_configured": configured,
        "acme_http_configured": configured,
        "ownership_txt_configured": configured,
        "acme_requested": True,
        "has_custom_certificate": False,
        "has_fly_certificate": configured,
        "created_at": rfc3339(certificate.created_at),
        "updated_at": rfc3339(certificate.created_at),
    }


def _detail(certificate: Certificate) -> Json:
    configured = certificate.configured
    expires_at = rfc3339(certificate.expires_at)
    issued = [
        {"type": kind, "expires_at": expires_at, "certificate_authority": "lets_encrypt"}
        for kind in ("rsa", "ecdsa")
    ]
    entry: Json = {
        "source": "fly",
        "status": "active" if configured else "pending_validation",
        "created_at": rfc3339(certificate.created_at),
        "expires_at": expires_at,
        "issuer": "Let's Encrypt",
        "issued": issued,
    }
    name = certificate.hostname
    return {
        "hostname": name,
        "configured": configured,
        "acme_requested": True,
        "status": "Ready" if configured else "Awaiting configuration",
        "dns_provider": "simulated",
        "certificates": [entry] if configured else [],
        "validation": {
            "dns_configured": configured,
            "alpn_configured": configured,
            "http_configured": configured,
            "ownership_txt_configured": configured,
        },
        "dns_requirements": {
            "a": ["66.241.124.10"],
            "aaaa": ["2a09:8280:1::1"],
            "cname": f"{name}.fly.dev",
            "acme_challenge": {"name": f"_acme-challenge.{name}", "target": f"{name}.flydns.net"},
            "ownership": {"name": f"_fly-ownership.{name}", "app_value": "app", "org_value": "org"},
        },
        "validation_errors": [],
    }
