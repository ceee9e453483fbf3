"""The Machines API: an app's TLS certificates, read and checked."""

from __future__ import annotations

from datetime import datetime

from starlette.responses import Response

from rotator.fly.macaroon import WRITE
from rotator.simulator import certificates
from rotator.simulator.api import Call, ok, whole_number
from rotator.simulator.errors import ApiError
from rotator.simulator.ids import rfc3339
from rotator.simulator.model import App, Certificate, Json

PAGE_SIZE = 25
MAX_PAGE_SIZE = 500
ADDRESS = "66.241.124.10"
ADDRESS_V6 = "2a09:8280:1::1"


async def list_certificates(call: Call) -> Response:
    """GET certificates, in pages."""
    wanted, now = call.query("filter"), call.world.now()
    found = certificates.certificates_of(call.app(), now, "machines")
    every = [each for each in found if wanted in each.hostname]
    limit = min(whole_number(call.query("limit", str(PAGE_SIZE)), "limit"), MAX_PAGE_SIZE)
    begin = whole_number(call.query("cursor") or "0", "cursor")
    following = str(begin + limit) if begin + limit < len(every) else ""
    rows = [_summary(certificate) for certificate in every[begin : begin + limit]]
    return ok({"certificates": rows, "next_cursor": following, "total_count": len(every)})


async def get_certificate(call: Call) -> Response:
    """GET one certificate."""
    app, now = call.app(), call.world.now()
    return ok(_detail(app, _certificate(call, app, now), now))


async def check_certificate(call: Call) -> Response:
    """POST check: validate anew, and tell the same with the records that were found."""
    app, now = call.app(WRITE), call.world.now()
    certificate = _certificate(call, app, now)
    certificates.check(certificate, now)
    found = certificate.configured
    records: Json = {
        "a": [ADDRESS] if found else [],
        "aaaa": [ADDRESS_V6] if found else [],
        "cname": [],
        "resolved_addresses": [ADDRESS] if found else [],
        "soa": "",
        "acme_challenge_cname": f"{certificate.hostname}.flydns.net" if found else "",
        "ownership_txt": "",
    }
    return ok({**_detail(app, certificate, now), "dns_records": records})


def _certificate(call: Call, app: App, now: datetime) -> Certificate:
    wanted = call.path("hostname")
    for certificate in certificates.certificates_of(app, now, "machines"):
        if certificate.hostname == wanted:
            return certificate
    raise ApiError(404, "certificate not found")


def _status(certificate: Certificate) -> str:
    if not certificate.configured:
        return "Awaiting configuration"
    return "Ready" if certificate.issued else "Awaiting certificates"


def _summary(certificate: Certificate) -> Json:
    configured = certificate.configured
    return {
        "hostname": certificate.hostname,
        "status": _status(certificate),
        "dns_provider": "simulated",
        "configured": configured,
        "acme_dns_configured": configured,
        "acme_alpn_configured": configured,
        "acme_http_configured": configured,
        "ownership_txt_configured": configured and certificate.custom_active,
        "acme_requested": True,
        "has_custom_certificate": certificate.custom_expires_at is not None,
        "has_fly_certificate": certificate.issued,
        "created_at": rfc3339(certificate.created_at),
        "updated_at": rfc3339(certificate.created_at),
    }


def _detail(app: App, certificate: Certificate, now: datetime) -> Json:
    configured, name = certificate.configured, certificate.hostname
    plain = name.removeprefix("*.")
    detail: Json = {
        "hostname": name,
        "configured": configured,
        "acme_requested": True,
        "status": _status(certificate),
        "dns_provider": "simulated",
        "certificates": certificates.entries(certificate),
        "validation": {
            "dns_configured": configured,
            "alpn_configured": configured,
            "http_configured": configured,
            "ownership_txt_configured": configured and certificate.custom_active,
        },
        "dns_requirements": {
            "a": [ADDRESS],
            "aaaa": [ADDRESS_V6],
            "cname": f"{app.name}.fly.dev",
            "acme_challenge": {
                "name": f"_acme-challenge.{plain}",
                "target": f"{plain}.flydns.net",
            },
            "ownership": {
                "name": f"_fly-ownership.{plain}",
                "app_value": f"app-{app.name}",
                "org_value": f"org-{app.org.slug}",
            },
        },
        "validation_errors": [
            {"code": code, "message": text, "remediation": mend, "timestamp": rfc3339(now)}
            for code, text, mend in certificates.validation_errors(certificate, now)
        ],
    }
    until = certificates.limited_until(certificate, now)
    return {**detail, "rate_limited_until": rfc3339(until)} if until is not None else detail
