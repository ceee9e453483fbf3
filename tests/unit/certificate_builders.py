"""Hostnames with their certificates, as tests need them; the rest is plain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rotator.domain.posture.certificate import (
    ApiView,
    CertificateSnapshot,
    Issued,
    Problem,
    Requirements,
    Source,
    Validation,
)
from rotator.domain.posture.handshake import Handshake, Reach, ServedCertificate
from tests.unit.builders import NOW

HOST = "www.example.com"
RECORDS = Requirements(
    a=("66.241.124.10",),
    aaaa=("2a09:8280:1::1",),
    cname="web.fly.dev",
    challenge_name="_acme-challenge.www.example.com",
    challenge_target="www.example.com.flydns.net",
    ownership_name="_fly-ownership.www.example.com",
    ownership_value="app-web",
)
GOOD = Validation(dns=True, alpn=True, http=True, challenge=True, ownership=True)
BAD = Validation(dns=False, alpn=False, http=False, ownership=False)


def issued(days: float, source: Source = Source.FLY, status: str = "active") -> tuple[Issued, ...]:
    """Certificates that end in so many days."""
    kinds = ("rsa", "ecdsa") if source is Source.FLY else ("rsa",)
    ends_at = NOW + timedelta(days=days)
    return tuple(Issued(source, ends_at, kind, "Let's Encrypt", status) for kind in kinds)


def a_view(
    days: float | None = 60,
    *,
    configured: bool = True,
    problems: Sequence[Problem] = (),
    validation: Validation | None = None,
    more: tuple[Issued, ...] = (),
    **given: object,
) -> ApiView:
    """What one API says; `days` is how long Fly's own certificate has left, None for none."""
    return ApiView(
        configured=configured,
        issued=(issued(days) if days is not None else ()) + more,
        validation=validation or (GOOD if configured else BAD),
        requirements=RECORDS,
        problems=tuple(problems),
        created_at=NOW - timedelta(days=100),
        **given,  # type: ignore[arg-type]
    )


def a_hostname(
    machines: ApiView | None = None,
    graphql: ApiView | None = None,
    *,
    host: str = HOST,
    handshake: Handshake | None = None,
) -> CertificateSnapshot:
    """A hostname of which both APIs say the same unless a second view is given."""
    first = machines if machines is not None else a_view()
    return CertificateSnapshot("acme", "web", host, first, graphql or first, handshake=handshake)


def shown(
    days: float = 60,
    *names: str,
    life_days: float = 90,
    key_type: str = "ecdsa",
    version: str = "TLSv1.3",
    oldest: str = "",
    chain_problem: str = "",
) -> Handshake:
    """A handshake that showed a certificate with so many days left."""
    ends_at = NOW + timedelta(days=days)
    served = ServedCertificate(
        names or (HOST,), ends_at - timedelta(days=life_days), ends_at, "CA", key_type, "ab" * 32
    )
    return Handshake(
        Reach.SHAKEN,
        NOW,
        addresses=("66.241.124.10",),
        address="66.241.124.10",
        version=version,
        oldest=oldest,
        served=served,
        chain_problem=chain_problem,
    )
