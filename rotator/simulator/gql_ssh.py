"""Certificates to log in to machines: real ones, under a key of the simulated organization."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from rotator.fly.access import Access
from rotator.fly.macaroon import CREATE
from rotator.simulator.gql_mutations import answer, organization_of
from rotator.simulator.gql_paging import refused
from rotator.simulator.gql_views import Context
from rotator.simulator.model import Json

MUTATION: Final = "issueCertificate"
DEFAULT_HOURS: Final = 24
MAX_HOURS: Final = 24 * 365 * 100
PRINCIPALS: Final = ("root", "fly")


def issue_certificate(context: Context, given: Json) -> Json:
    """Sign a public key for some apps, or for all of an organization."""
    org = organization_of(context, given)
    named = given.get("appNames")
    for name in named if isinstance(named, list) and named else [None]:
        app = context.world.apps.get(name) if name else None
        if name and (app is None or app.org is not org):
            raise refused("Could not find App", "NOT_FOUND")
        wanted = Access(org.number, CREATE, app=app.number if app else None, mutation=MUTATION)
        if not context.principal.may(wanted):
            raise refused("Not authorized to issue a certificate", "UNAUTHORIZED")
    hours = given.get("validHours")
    hours = hours if isinstance(hours, int) else DEFAULT_HOURS
    if not 0 < hours <= MAX_HOURS:
        raise refused("validHours is out of range", "INVALID")
    signed = _certificate(context, org.slug, given, timedelta(hours=hours))
    return answer(given, certificate=signed, key=None)


def _certificate(context: Context, slug: str, given: Json, life: timedelta) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        SSHCertificateBuilder,
        SSHCertificateType,
        load_ssh_public_key,
    )

    try:
        key = load_ssh_public_key(str(given.get("publicKey") or "").encode())
    except (ValueError, TypeError):
        raise refused("Validation failed: Public key is invalid", "UNPROCESSABLE") from None
    if not isinstance(key, Ed25519PublicKey):
        raise refused("Validation failed: Public key is not ED25519", "UNPROCESSABLE")
    told = given.get("principals")
    principals = [str(each) for each in told] if isinstance(told, list) and told else PRINCIPALS
    begin = int(context.world.now().timestamp())
    issuer = hashlib.sha256(context.world.root_key + b"ssh" + slug.encode()).digest()
    return (
        SSHCertificateBuilder()
        .public_key(key)
        .serial(begin)
        .type(SSHCertificateType.USER)
        .key_id(context.principal.email.encode())
        .valid_principals([each.encode() for each in principals])
        .valid_after(begin)
        .valid_before(begin + int(life.total_seconds()))
        .sign(Ed25519PrivateKey.from_private_bytes(issuer))
        .public_bytes()
        .decode()
    )
