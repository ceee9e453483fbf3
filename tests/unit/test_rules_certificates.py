"""The rules on certificates: each one on a hostname that breaks it, and on one that does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from rotator.domain.posture.catalogue import RULES as EVERY
from rotator.domain.posture.certificate import (
    Api,
    CertificateSnapshot,
    CertificateState,
    Problem,
    Source,
    Validation,
    missing_records,
    state_of,
)
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.handshake import Handshake, Reach, covers
from rotator.domain.posture.policy import PosturePolicy
from rotator.domain.posture.rules_certificates import RULES, findings
from rotator.domain.risk import Risk
from tests.unit.builders import NOW
from tests.unit.certificate_builders import HOST, a_hostname, a_view, issued, shown

POLICY = PosturePolicy()
CUSTOM = Source.CUSTOM


def found(snapshot: CertificateSnapshot, policy: PosturePolicy = POLICY) -> list[Finding]:
    return list(findings(snapshot, policy, NOW))


def ids(snapshot: CertificateSnapshot, policy: PosturePolicy = POLICY) -> list[str]:
    return [each.rule.id.removeprefix("certificate-") for each in found(snapshot, policy)]


def with_problem(code: str, remediation: str = "") -> CertificateSnapshot:
    return a_hostname(a_view(problems=[Problem(code, "something is wrong", remediation)]))


CASES = {
    "a good one": (a_hostname(handshake=shown()), []),
    "renewed a minute ago": (
        a_hostname(a_view(89.999), a_view(30), handshake=shown(30)),
        [],
    ),
    "renewed a minute ago, for half as long": (
        a_hostname(a_view(44.999), a_view(15), handshake=shown(15, life_days=45)),
        [],
    ),
    "at its time of renewal": (a_hostname(a_view(29.5)), []),
    "late, yet outside the policy": (a_hostname(a_view(20)), []),
    "late": (a_hostname(a_view(13)), ["expiring"]),
    "expired": (a_hostname(a_view(-1)), ["expired"]),
    "expired, which GraphQL leaves out": (a_hostname(a_view(-1), a_view(None)), ["expired"]),
    "short-lived, to be renewed in two days": (
        a_hostname(a_view(4), handshake=shown(4, life_days=6)),
        [],
    ),
    "short-lived and late": (
        a_hostname(a_view(1), handshake=shown(1, life_days=6)),
        ["expiring"],
    ),
    "imported, near its end": (
        a_hostname(a_view(60, more=issued(10, CUSTOM)), a_view(60)),
        ["custom-expiring"],
    ),
    "imported, far from its end, own fallback late": (
        a_hostname(a_view(10, more=issued(300, CUSTOM)), a_view(10)),
        [],
    ),
    "imported, not active": (
        a_hostname(a_view(60, more=issued(300, CUSTOM, "pending_ownership")), a_view(60)),
        ["custom-inactive"],
    ),
    "never issued": (a_hostname(a_view(None)), ["not-issued"]),
    "added a minute ago": (
        a_hostname(replace(a_view(None), created_at=NOW - timedelta(minutes=1))),
        [],
    ),
    "DNS wrong, no error told": (a_hostname(a_view(configured=False)), ["dns"]),
    "DNS wrong by an error": (with_problem("DNS_RECORD_MISMATCH"), ["dns"]),
    "CAA": (with_problem("CAA_RECORD_INVALID"), ["caa"]),
    "CAA without Fly's account": (with_problem("CAA_RECORD_MISSING_FLY"), ["caa"]),
    "no TLS handler": (with_problem("TLS_HANDLER_MISSING"), ["validation"]),
    "a code of tomorrow": (with_problem("MOON_NOT_FULL"), ["validation"]),
    "another certificate": (a_hostname(handshake=shown(200)), ["other-served"]),
    "the same end with another key": (
        a_hostname(handshake=shown(60, key_type="other")),
        ["other-served"],
    ),
    "the name of somebody else": (
        a_hostname(handshake=shown(60, "shop.example.org")),
        ["wrong-name"],
    ),
    "retired TLS beside new": (a_hostname(handshake=shown(oldest="TLSv1.1")), ["old-tls"]),
    "retired TLS only": (a_hostname(handshake=shown(version="TLSv1")), ["old-tls"]),
    "a broken chain": (
        a_hostname(handshake=shown(chain_problem="unable to get local issuer certificate")),
        ["broken-chain"],
    ),
    "APIs that disagree on the end": (a_hostname(a_view(60), a_view(45)), ["apis-disagree"]),
    "APIs that disagree on the DNS": (
        a_hostname(a_view(), replace(a_view(), configured=False)),
        ["apis-disagree"],
    ),
    "only in GraphQL": (
        CertificateSnapshot("acme", "web", HOST, None, a_view()),
        ["apis-disagree"],
    ),
    "only in the Machines API": (
        CertificateSnapshot("acme", "web", HOST, a_view(), None),
        ["apis-disagree"],
    ),
    "one API that did not answer": (
        CertificateSnapshot("acme", "web", HOST, None, a_view(), frozenset({Api.MACHINES})),
        [],
    ),
    "not reached": (a_hostname(handshake=Handshake(Reach.UNREACHABLE, NOW, "no route")), []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_finds_what_is_wrong_and_nothing_else(case: str) -> None:
    snapshot, expected = CASES[case]
    assert ids(snapshot) == expected


def test_every_rule_has_a_case_and_is_in_the_catalogue() -> None:
    seen = {f"certificate-{name}" for _, expected in CASES.values() for name in expected}
    assert seen == {rule.id for rule in RULES}
    assert all(EVERY[rule.id] is rule for rule in RULES)


def test_the_policy_says_how_many_days_are_few() -> None:
    late, imported = a_hostname(a_view(20)), a_hostname(a_view(None, more=issued(20, CUSTOM)))
    assert (ids(late), ids(imported)) == ([], [])
    strict = PosturePolicy(certificate_days=21)
    assert (ids(late, strict), ids(imported, strict)) == (["expiring"], ["custom-expiring"])


@pytest.mark.parametrize(
    ("snapshot", "mend"),
    [
        (
            a_hostname(a_view(configured=False)),
            "set www.example.com CNAME web.fly.dev; then fly certs check www.example.com --app web",
        ),
        (
            a_hostname(a_view(configured=False, apex=True)),
            (
                "set www.example.com A 66.241.124.10; www.example.com AAAA 2a09:8280:1::1; "
                "then fly certs check www.example.com --app web"
            ),
        ),
        (
            a_hostname(a_view(configured=False, apex=True), handshake=shown(60)),
            (
                "set www.example.com AAAA 2a09:8280:1::1; "
                "then fly certs check www.example.com --app web"
            ),
        ),
        (
            with_problem("CAA_RECORD_MISSING_FLY", "add accounturi=https://acme.example/1"),
            (
                'set www.example.com CAA 0 issue "letsencrypt.org"; then fly certs check '
                "www.example.com --app web (Fly: add accounturi=https://acme.example/1)"
            ),
        ),
        (with_problem("IPV6_NOT_ALLOCATED"), "fly ips allocate-v6 --app web"),
        (
            with_problem("MOON_NOT_FULL", "Wait for it."),
            "Wait for it; then fly certs check www.example.com --app web",
        ),
        (
            a_hostname(a_view(None, more=issued(3, CUSTOM))),
            "fly certs import www.example.com --app web --fullchain FILE --private-key FILE",
        ),
        (
            a_hostname(a_view(60, more=issued(300, CUSTOM, "pending_ownership")), a_view(60)),
            'set _fly-ownership.www.example.com TXT "app-web"',
        ),
    ],
)
def test_what_mends_it_is_the_exact_record_or_command(
    snapshot: CertificateSnapshot, mend: str
) -> None:
    (only,) = found(snapshot)
    assert only.mend == mend
    assert only.subject == "certificate:www.example.com"
    assert (only.organization, only.app) == ("acme", "web")


def test_a_wildcard_needs_its_challenge_record() -> None:
    nothing = Validation(dns=True, challenge=False)
    view = a_view(None, configured=False, validation=nothing)
    record = "_acme-challenge.www.example.com CNAME www.example.com.flydns.net"
    assert missing_records(a_hostname(view, host="*.example.com")) == (record,)
    assert missing_records(a_hostname(view)) == ()


def test_tls_that_is_only_retired_is_worse_than_beside_new() -> None:
    (beside,) = found(a_hostname(handshake=shown(oldest="TLSv1.1")))
    (only,) = found(a_hostname(handshake=shown(version="TLSv1")))
    assert (beside.severity, only.severity) == (Risk.MEDIUM, Risk.HIGH)


@pytest.mark.parametrize(
    ("names", "hostname", "fits"),
    [
        (("www.example.com",), "WWW.example.com.", True),
        (("*.example.com",), "www.example.com", True),
        (("*.example.com",), "a.www.example.com", False),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "*.example.com", True),
        (("*.com",), "example.com", True),
        ((), "www.example.com", False),
    ],
)
def test_a_name_covers_a_hostname_as_browsers_see_it(
    names: tuple[str, ...], hostname: str, fits: bool
) -> None:
    assert covers(names, hostname) is fits


@pytest.mark.parametrize(
    ("snapshot", "state"),
    [
        (a_hostname(), CertificateState.GOOD),
        (a_hostname(a_view(configured=False)), CertificateState.MISCONFIGURED),
        (with_problem("CAA_RECORD_INVALID"), CertificateState.MISCONFIGURED),
        (a_hostname(a_view(10, configured=False)), CertificateState.EXPIRING),
        (a_hostname(a_view(-1)), CertificateState.EXPIRED),
        (a_hostname(a_view(None)), CertificateState.NOT_ISSUED),
        (a_hostname(handshake=shown(60, "x.org")), CertificateState.BADLY_SERVED),
        (a_hostname(handshake=shown(chain_problem="self-signed")), CertificateState.BADLY_SERVED),
        (a_hostname(handshake=shown(200)), CertificateState.GOOD),
        (CertificateSnapshot("acme", "web", HOST), CertificateState.UNREAD),
    ],
)
def test_a_state_is_the_worst_that_holds(
    snapshot: CertificateSnapshot, state: CertificateState
) -> None:
    assert state_of(snapshot, NOW, 14) is state
