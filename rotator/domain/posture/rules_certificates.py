"""Certificates: ends, issuance, DNS, CAA, and what a handshake shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from rotator.domain.certificate_alarms import is_late, mend_of
from rotator.domain.durations import rough_duration
from rotator.domain.posture.certificate import (
    ISSUING,
    CertificateSnapshot,
    Problem,
    Source,
    disagreements,
    is_as_issued,
    just_renewed,
    missing_records,
)
from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.handshake import OLD_VERSIONS, covers
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.risk import Risk

_PAGE: Final = "https://fly.io/docs/networking/custom-domain/"
_RESOURCE: Final = "https://fly.io/docs/machines/api/certificates-resource/"
_SERVICES: Final = "https://fly.io/docs/networking/services/"
_CAA_CODES: Final = frozenset({"CAA_RECORD_INVALID", "CAA_RECORD_MISSING_FLY"})
_DNS_CODES: Final = frozenset(
    {
        "DNS_NOT_CONFIGURED",
        "DNS_RECORD_MISMATCH",
        "DNS_RECORD_PARTIAL_MATCH",
        "DNS_TIMEOUT",
        "DNS_VALIDATION_FAILED",
        "HTTP_IPV6_REQUIRED",
        "IPV6_NOT_FOUND",
    }
)
"""Of CertificateValidationErrorCodeEnum, those that a DNS record mends."""
_ADDRESS_MENDS: Final = {
    "IPV6_NOT_ALLOCATED": "fly ips allocate-v6 --app {app}",
    "NO_ALLOCATED_IPS": (
        "fly ips allocate-v4 --shared --app {app} && fly ips allocate-v6 --app {app}"
    ),
    "TLS_HANDLER_MISSING": 'handlers = ["tls", "http"] at port 443 in fly.toml, then fly deploy',
    "CONFLICTING_PORT_443_SERVICES": "leave port 443 to one service in fly.toml, then fly deploy",
}


def _rule(name: str, risk: Risk, title: str, why: str, mend: str, *, page: str = _PAGE) -> Rule:
    return Rule(f"certificate-{name}", Topic.CERTIFICATES, risk, title, why, mend, page)


EXPIRED: Final = _rule(
    "expired",
    Risk.CRITICAL,
    "The certificate has expired",
    "Browsers and clients refuse to talk to the hostname.",
    "Mend what keeps Fly from renewing it, then `fly certs check`; your own: `fly certs import`.",
)
EXPIRING: Final = _rule(
    "expiring",
    Risk.HIGH,
    "The certificate ends soon, and Fly has not renewed it",
    "Fly renews about a month before the end. One that is still there after that will expire: "
    "mostly because a DNS record was changed.",
    "Set the records that Fly misses, then `fly certs check`.",
)
CUSTOM_EXPIRING: Final = _rule(
    "custom-expiring",
    Risk.HIGH,
    "An imported certificate ends soon",
    "Fly does not renew what was imported: nobody does, unless somebody remembers.",
    "Import the next one: `fly certs import`, or let Fly issue one.",
    page=_RESOURCE,
)
CUSTOM_INACTIVE: Final = _rule(
    "custom-inactive",
    Risk.MEDIUM,
    "An imported certificate is not served",
    "Fly serves an imported certificate only once a TXT record shows that the domain is yours.",
    "Set the `_fly-ownership` TXT record.",
    page=_RESOURCE,
)
NOT_ISSUED: Final = _rule(
    "not-issued",
    Risk.HIGH,
    "The hostname has no certificate",
    "It was added to the app, and nothing was issued: HTTPS does not work there.",
    "Set the records that Fly misses, then `fly certs check`; or `fly certs remove`.",
)
DNS: Final = _rule(
    "dns",
    Risk.HIGH,
    "The DNS of the hostname is not as Fly needs it",
    "Fly can't validate the hostname, so the next renewal fails.",
    "Set the record that is named.",
)
CAA: Final = _rule(
    "caa",
    Risk.HIGH,
    "A CAA record keeps Fly's certificate authority from issuing",
    "The next renewal is refused by Let's Encrypt.",
    'Allow it: a CAA record `0 issue "letsencrypt.org"`.',
)
VALIDATION: Final = _rule(
    "validation",
    Risk.MEDIUM,
    "Fly can't validate the hostname",
    "The next renewal fails for a reason other than DNS.",
    "Do what Fly's message says.",
)
OTHER_SERVED: Final = _rule(
    "other-served",
    Risk.MEDIUM,
    "A handshake shows another certificate than Fly has",
    "Visitors see a certificate that Fly does not renew: of a proxy before it, of another host "
    "that the name points to, or an old one.",
    "See where the name points to, and who serves it.",
)
WRONG_NAME: Final = _rule(
    "wrong-name",
    Risk.HIGH,
    "The certificate that is served is not for the hostname",
    "Browsers and clients refuse it.",
    "See where the name points to; add the hostname to the app that answers.",
)
OLD_TLS: Final = _rule(
    "old-tls",
    Risk.MEDIUM,
    "A retired TLS version is accepted",
    "TLS 1.0 and 1.1 have known weaknesses and were retired by RFC 8996.",
    'Set `tls_options = { versions = ["TLSv1.2", "TLSv1.3"] }` at the port in fly.toml.',
    page=_SERVICES,
)
BROKEN_CHAIN: Final = _rule(
    "broken-chain",
    Risk.HIGH,
    "The certificate that is served does not lead to a trusted root",
    "Clients refuse it, some of them only at times: an intermediate is missing, or it is signed by "
    "itself.",
    "Import the full chain, the leaf first.",
    page=_RESOURCE,
)
DISAGREE: Final = _rule(
    "apis-disagree",
    Risk.LOW,
    "Fly's two APIs say different things of the hostname",
    "One of them is behind, or the hostname was half removed; tools that read the wrong one are "
    "misled.",
    "`fly certs check` brings them together; else ask Fly's support.",
    page=_RESOURCE,
)
RULES: Final[tuple[Rule, ...]] = (
    EXPIRED,
    EXPIRING,
    CUSTOM_EXPIRING,
    CUSTOM_INACTIVE,
    NOT_ISSUED,
    DNS,
    CAA,
    VALIDATION,
    OTHER_SERVED,
    WRONG_NAME,
    OLD_TLS,
    BROKEN_CHAIN,
    DISAGREE,
)


def findings(
    snapshot: CertificateSnapshot, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """What is wrong with one hostname."""
    if snapshot.views:
        yield from _ends(snapshot, policy, now)
        yield from _issuance(snapshot, now)
        yield from _validation(snapshot)
        differing = "; ".join(disagreements(snapshot, now))
        if differing and not just_renewed(snapshot, now):
            yield _found(snapshot, DISAGREE, differing, _check(snapshot))
    yield from _shown(snapshot, policy, now)


def _ends(snapshot: CertificateSnapshot, policy: PosturePolicy, now: datetime) -> Iterator[Finding]:
    ends_at = snapshot.ends_at
    if ends_at is None:
        return
    left, when = ends_at - now, f"{ends_at:%Y-%m-%d %H:%M}Z"
    if left <= timedelta(0):
        text = f"it expired {rough_duration(left)} ago, at {when}"
        yield _found(snapshot, EXPIRED, text, mend_of(snapshot))
    elif left <= timedelta(days=policy.certificate_days):
        text = f"it expires in {rough_duration(left)}, at {when}"
        if snapshot.source is Source.CUSTOM:
            yield _found(snapshot, CUSTOM_EXPIRING, text, mend_of(snapshot))
        elif is_late(snapshot, now):
            yield _found(snapshot, EXPIRING, text, mend_of(snapshot))


def _issuance(snapshot: CertificateSnapshot, now: datetime) -> Iterator[Finding]:
    waiting = [
        each
        for each in snapshot.issued
        if each.source is Source.CUSTOM and each.status not in ("", "active")
    ]
    if waiting:
        wanted = snapshot.requirements
        record = f'{wanted.ownership_name} TXT "{wanted.ownership_value}"'
        mend = f"set {record}" if wanted.ownership_name else _setup(snapshot)
        text = f"an imported certificate is {waiting[0].status.replace('_', ' ')}"
        yield _found(snapshot, CUSTOM_INACTIVE, text, mend)
    if snapshot.serving:
        return
    if snapshot.created_at is not None and now - snapshot.created_at < ISSUING:
        return
    since = (
        f", {rough_duration(now - snapshot.created_at)} after" if snapshot.created_at else " since"
    )
    told = f": {snapshot.problems[0].message}" if snapshot.problems else ""
    text = f"nothing was issued{since} it was added{told}"
    yield _found(snapshot, NOT_ISSUED, text, mend_of(snapshot))


def _validation(snapshot: CertificateSnapshot) -> Iterator[Finding]:
    by_rule: dict[str, tuple[Rule, list[Problem]]] = {}
    for problem in snapshot.problems:
        rule = _rule_of(problem)
        by_rule.setdefault(rule.id, (rule, []))[1].append(problem)
    records = missing_records(snapshot)
    if DNS.id not in by_rule and records and not snapshot.configured:
        text = f"Fly does not find {'; '.join(records)}"
        yield _found(snapshot, DNS, text, _records_mend(snapshot, records))
    for rule, problems in by_rule.values():
        text = "; ".join(f"{each.message} ({each.code})" for each in problems)
        yield _found(snapshot, rule, text, _MENDS[rule.id](snapshot, problems))


def _rule_of(problem: Problem) -> Rule:
    if problem.code in _CAA_CODES:
        return CAA
    return DNS if problem.code in _DNS_CODES else VALIDATION


def _mend_dns(snapshot: CertificateSnapshot, problems: list[Problem]) -> str:
    records = missing_records(snapshot)
    return _records_mend(snapshot, records) if records else _told(snapshot, problems)


def _mend_caa(snapshot: CertificateSnapshot, problems: list[Problem]) -> str:
    """A record at the hostname itself goes before those of the domains above it (RFC 8659)."""
    host = snapshot.hostname.removeprefix("*.")
    record = f'{host} CAA 0 issue "letsencrypt.org"'
    told = next((each.remediation for each in problems if each.remediation), "")
    return f"set {record}; then {_check(snapshot)}" + (f" (Fly: {told})" if told else "")


def _mend_validation(snapshot: CertificateSnapshot, problems: list[Problem]) -> str:
    known = [_ADDRESS_MENDS[each.code] for each in problems if each.code in _ADDRESS_MENDS]
    return known[0].format(app=snapshot.app) if known else _told(snapshot, problems)


_MENDS: Final[dict[str, Callable[[CertificateSnapshot, list[Problem]], str]]] = {
    DNS.id: _mend_dns,
    CAA.id: _mend_caa,
    VALIDATION.id: _mend_validation,
}


def _shown(
    snapshot: CertificateSnapshot, policy: PosturePolicy, now: datetime
) -> Iterator[Finding]:
    """What a handshake has shown. One that was not reached says nothing."""
    shaken = snapshot.handshake
    if shaken is None:
        return
    if shaken.old_version:
        text = f"{shaken.address} speaks {shaken.old_version}"
        mend = 'tls_options = { versions = ["TLSv1.2", "TLSv1.3"] } at port 443 in fly.toml'
        risk = Risk.HIGH if shaken.version in OLD_VERSIONS else None
        yield _found(snapshot, OLD_TLS, text, f"{mend}, then fly deploy", risk)
    served = shaken.served
    if served is None:
        return
    where = f"at {shaken.address}, by {served.issuer}, until {served.not_after:%Y-%m-%d}"
    if not covers(served.names, snapshot.hostname):
        names = ", ".join(served.names[:5]) or "no name at all"
        text = f"the one that is served is for {names} ({where})"
        yield _found(snapshot, WRONG_NAME, text, _setup(snapshot))
        return
    if shaken.chain_problem:
        text = f"{shaken.chain_problem} ({where})"
        yield _found(snapshot, BROKEN_CHAIN, text, _chain_mend(snapshot))
    if is_as_issued(snapshot) is False and not just_renewed(snapshot, now):
        own = ", ".join(sorted({f"{each.expires_at:%Y-%m-%d}" for each in snapshot.issued}))
        text = f"one that Fly does not have is served ({where}); Fly's end {own}"
        near = served.not_after - now <= timedelta(days=policy.certificate_days)
        yield _found(snapshot, OTHER_SERVED, text, _setup(snapshot), Risk.HIGH if near else None)


def _chain_mend(snapshot: CertificateSnapshot) -> str:
    if snapshot.source is Source.CUSTOM:
        return mend_of(snapshot)
    return _setup(snapshot)


def _records_mend(snapshot: CertificateSnapshot, records: tuple[str, ...]) -> str:
    return f"set {'; '.join(records)}; then {_check(snapshot)}"


def _told(snapshot: CertificateSnapshot, problems: list[Problem]) -> str:
    told = next((each.remediation for each in problems if each.remediation), "")
    return f"{told.rstrip('.')}; then {_check(snapshot)}" if told else _check(snapshot)


def _check(snapshot: CertificateSnapshot) -> str:
    return f"fly certs check {snapshot.hostname} --app {snapshot.app}"


def _setup(snapshot: CertificateSnapshot) -> str:
    return f"fly certs setup {snapshot.hostname} --app {snapshot.app}"


def _found(
    snapshot: CertificateSnapshot, rule: Rule, text: str, mend: str, risk: Risk | None = None
) -> Finding:
    return Finding(
        rule,
        snapshot.subject,
        f"{snapshot.hostname}: {text}",
        mend,
        snapshot.organization,
        snapshot.app,
        risk=risk,
    )
