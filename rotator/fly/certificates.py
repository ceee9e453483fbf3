"""Certificates by the Machines API. Fly renews them by itself; what fails is DNS, so watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import field_validator

from rotator.domain.posture.certificate import (
    ApiView,
    Issued,
    Problem,
    Requirements,
    Source,
    Validation,
)
from rotator.domain.posture.certificate_port import CheckAnswer
from rotator.fly.call import CHANGE_SECONDS, Call, Effect
from rotator.fly.limits import APP_ACTIONS
from rotator.fly.parsing import FlyModel, Instant, parse
from rotator.fly.paths import app_path, certificate_path
from rotator.fly.redact import redacted
from rotator.fly.transport import Transport

PAGE_SIZE: Final = 500
MAX_PAGES: Final = 100


@dataclass(frozen=True)
class ListedCertificate:
    """A hostname as the list shows it: without expiries."""

    hostname: str
    status: str
    configured: bool
    created_at: datetime | None = None


class _Summary(FlyModel):
    hostname: str
    status: str = ""
    configured: bool = False
    created_at: Instant | None = None


class _Page(FlyModel):
    certificates: tuple[_Summary, ...] | None = None
    next_cursor: str | None = None


def _present(value: object) -> object:
    absent = isinstance(value, str) and (not value or value.startswith("0001-"))
    return None if absent else value


class _Timed(FlyModel):
    """What has an end, or none yet: Go writes an absent time as an empty text, or as its zero."""

    expires_at: Instant | None = None

    @field_validator("expires_at", mode="before")
    @classmethod
    def _no_time(cls, value: object) -> object:
        return _present(value)


class _Part(_Timed):
    type: str = ""
    certificate_authority: str = ""


class _Entry(_Timed):
    source: str = ""
    status: str = ""
    issuer: str = ""
    issued: tuple[_Part, ...] | None = None


class _Validation(FlyModel):
    dns_configured: bool | None = None
    alpn_configured: bool | None = None
    http_configured: bool | None = None
    ownership_txt_configured: bool | None = None


class _Challenge(FlyModel):
    name: str = ""
    target: str = ""


class _Ownership(FlyModel):
    name: str = ""
    app_value: str = ""


class _Requirements(FlyModel):
    a: tuple[str, ...] | None = None
    aaaa: tuple[str, ...] | None = None
    cname: str = ""
    acme_challenge: _Challenge | None = None
    ownership: _Ownership | None = None


class _Problem(FlyModel):
    code: str = ""
    message: str = ""
    remediation: str = ""


class _Detail(FlyModel):
    hostname: str
    status: str = ""
    configured: bool = False
    acme_requested: bool = True
    rate_limited_until: Instant | None = None
    certificates: tuple[_Entry, ...] | None = None
    validation: _Validation | None = None
    dns_requirements: _Requirements | None = None
    validation_errors: tuple[_Problem, ...] | None = None

    @field_validator("rate_limited_until", mode="before")
    @classmethod
    def _no_time(cls, value: object) -> object:
        return _present(value)


class CertificatesApi:
    """The certificates of apps."""

    def __init__(self, machines: Transport) -> None:
        self._machines = machines

    async def certificates(self, app: str) -> Sequence[ListedCertificate]:
        """All hostnames of an app, without expiries."""
        found: list[ListedCertificate] = []
        cursor = ""
        for _ in range(MAX_PAGES):
            call = Call(
                what=f"list the certificates of {app}",
                method="GET",
                path=app_path(app, "certificates"),
                action=APP_ACTIONS,
                of=app,
                query={"limit": PAGE_SIZE} | ({"cursor": cursor} if cursor else {}),
            )
            page = parse(_Page, call, await self._machines.send(call))
            found += [
                ListedCertificate(each.hostname, each.status, each.configured, each.created_at)
                for each in page.certificates or ()
            ]
            cursor = page.next_cursor or ""
            if not cursor:
                break
        return found

    async def certificate(self, app: str, hostname: str) -> ApiView:
        """One hostname: its certificates, what Fly wants of its DNS, and what is wrong with it."""
        call = Call(
            what=f"show the certificate of {hostname}",
            method="GET",
            path=certificate_path(app, hostname),
            action=APP_ACTIONS,
            of=app,
        )
        return _view(parse(_Detail, call, await self._machines.send(call)))

    async def check(self, app: str, hostname: str) -> CheckAnswer:
        """Ask Fly to validate it anew. See `domain.posture.certificate_port.Certificates`."""
        call = Call(
            what=f"have the certificate of {hostname} checked",
            method="POST",
            path=certificate_path(app, hostname, "check"),
            action=APP_ACTIONS,
            of=app,
            effect=Effect.CHANGE,
            timeout_seconds=CHANGE_SECONDS,
        )
        answer = await self._machines.send(call)
        return CheckAnswer(_view(parse(_Detail, call, answer)), answer.request_id)


def _view(detail: _Detail) -> ApiView:
    return ApiView(
        configured=detail.configured,
        status=detail.status,
        issued=tuple(newest(each for entry in detail.certificates or () for each in _of(entry))),
        validation=_validation(detail.validation),
        requirements=_requirements(detail.dns_requirements),
        problems=tuple(
            problem(each.code, each.message, each.remediation)
            for each in detail.validation_errors or ()
        ),
        requested=detail.acme_requested,
        rate_limited_until=detail.rate_limited_until,
    )


def _of(entry: _Entry) -> Sequence[Issued]:
    """The certificates of an entry: Fly's own are two, one for each kind of key."""
    source = Source.CUSTOM if entry.source == Source.CUSTOM.value else Source.FLY
    parts = [
        Issued(
            source,
            part.expires_at,
            part.type.lower(),
            entry.issuer or part.certificate_authority,
            entry.status,
        )
        for part in entry.issued or ()
        if part.expires_at is not None
    ]
    if parts or entry.expires_at is None:
        return parts
    return [Issued(source, entry.expires_at, "", entry.issuer, entry.status)]


def newest(issued: Iterable[Issued]) -> Sequence[Issued]:
    """Of each source and kind of key the one that ends last: what was renewed may be listed too."""
    found: dict[tuple[Source, str], Issued] = {}
    for each in issued:
        key = (each.source, each.key_type)
        if key not in found or each.expires_at > found[key].expires_at:
            found[key] = each
    return tuple(found.values())


def problem(code: str, message: str, remediation: str | None) -> Problem:
    """What Fly says is wrong, fit to be kept."""
    return Problem(code, redacted(message), redacted(remediation or ""))


def _validation(found: _Validation | None) -> Validation:
    if found is None:
        return Validation()
    return Validation(
        dns=found.dns_configured,
        alpn=found.alpn_configured,
        http=found.http_configured,
        ownership=found.ownership_txt_configured,
    )


def _requirements(found: _Requirements | None) -> Requirements:
    if found is None:
        return Requirements()
    challenge, ownership = found.acme_challenge or _Challenge(), found.ownership or _Ownership()
    return Requirements(
        a=found.a or (),
        aaaa=found.aaaa or (),
        cname=found.cname,
        challenge_name=challenge.name,
        challenge_target=challenge.target,
        ownership_name=ownership.name,
        ownership_value=ownership.app_value,
    )
