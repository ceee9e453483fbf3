"""What becomes of certificates: Fly renews them a month before their end, unless the DNS is wrong.

Once a renewal has failed it comes no more by itself, but with a check. Nothing runs in the
background: each look settles what has happened since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from rotator.simulator.ids import rfc3339
from rotator.simulator.model import App, Certificate, Json

LIFE: Final = timedelta(days=90)
RENEWAL: Final = timedelta(days=30)
"""How long before its end a certificate is renewed."""
FAILURES_AN_HOUR: Final = 5
"""Failed validations that Let's Encrypt allows a hostname in an hour."""
HOUR: Final = timedelta(hours=1)
KINDS: Final = ("rsa", "ecdsa")
MESSAGES: Final[Mapping[str, tuple[str, str]]] = {
    "DNS_NOT_CONFIGURED": (
        "DNS records are not configured for this hostname",
        "Add the records that are listed",
    ),
    "DNS_RECORD_MISMATCH": (
        "DNS records do not match the expected values",
        "Change the records to those that are listed",
    ),
    "CAA_RECORD_INVALID": (
        "CAA records are blocking Let's Encrypt certificate issuance",
        "Add a CAA record that allows letsencrypt.org",
    ),
    "CAA_RECORD_MISSING_FLY": (
        "CAA records for Let's Encrypt are missing Fly's account URI",
        "Add Fly's accounturi to the CAA record",
    ),
    "RATE_LIMITED": ("Rate limited by the certificate provider", "Wait, and check again"),
}


def certificates_of(app: App, now: datetime, api: str) -> Sequence[Certificate]:
    """The certificates of an app as one API, `machines` or `graphql`, has them now."""
    for certificate in app.certificates.values():
        settle(certificate, now)
    return [each for each in app.certificates.values() if each.only_in in ("", api)]


def settle(certificate: Certificate, now: datetime) -> None:
    """Renew what has been due for renewal since the last look."""
    while certificate.issued and not certificate.stuck and certificate.expires_at - RENEWAL <= now:
        if not _valid(certificate):
            certificate.stuck = True
            return
        certificate.expires_at += LIFE - RENEWAL


def check(certificate: Certificate, now: datetime) -> None:
    """Validate it anew; what was stuck, or never issued, goes on if the validation succeeds."""
    settle(certificate, now)
    certificate.checks.append(now)
    if certificate.rate_limited_until is not None and now < certificate.rate_limited_until:
        return
    certificate.rate_limited_until = None
    if not _valid(certificate):
        certificate.failures = [at for at in certificate.failures if now - at < HOUR] + [now]
        if len(certificate.failures) >= FAILURES_AN_HOUR:
            certificate.rate_limited_until = now + HOUR
        return
    if certificate.stuck or not certificate.issued:
        certificate.checks_needed -= 1
        if certificate.checks_needed <= 0:
            certificate.stuck, certificate.issued = False, True
            certificate.checks_needed = 1
            certificate.expires_at = now + LIFE


def _valid(certificate: Certificate) -> bool:
    return certificate.configured and not certificate.errors


def validation_errors(certificate: Certificate, now: datetime) -> list[tuple[str, str, str]]:
    """Code, message and remediation of what is wrong now."""
    codes = list(certificate.errors)
    if not certificate.configured and not codes:
        codes.append("DNS_NOT_CONFIGURED")
    if limited_until(certificate, now) is not None:
        codes.append("RATE_LIMITED")
    return [(code, *MESSAGES.get(code, (code.replace("_", " ").lower(), ""))) for code in codes]


def limited_until(certificate: Certificate, now: datetime) -> datetime | None:
    """Until when Let's Encrypt refuses it, if it does."""
    until = certificate.rate_limited_until
    return until if until is not None and until > now else None


def entries(certificate: Certificate) -> list[Json]:
    """Its certificates as the Machines API lists them."""
    found: list[Json] = []
    if certificate.custom_expires_at is not None:
        status = "active" if certificate.custom_active else "pending_ownership"
        found.append(
            _entry(certificate, "custom", status, certificate.custom_expires_at, KINDS[:1])
        )
    if certificate.issued:
        found.append(_entry(certificate, "fly", "active", certificate.expires_at, KINDS))
    return found


def _entry(
    certificate: Certificate, source: str, status: str, ends_at: datetime, kinds: Sequence[str]
) -> Json:
    authority = "lets_encrypt" if source == "fly" else "Example CA"
    expires_at = rfc3339(ends_at)
    return {
        "source": source,
        "status": status,
        "created_at": rfc3339(certificate.created_at),
        "expires_at": expires_at,
        "issuer": "Let's Encrypt" if source == "fly" else authority,
        "issued": [
            {"type": kind, "expires_at": expires_at, "certificate_authority": authority}
            for kind in kinds
        ],
    }
