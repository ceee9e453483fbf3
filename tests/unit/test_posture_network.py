"""Rules on addresses and services: each is found where it should be, and only there."""

from __future__ import annotations

import pytest

from rotator.domain.posture.finding import Topic
from rotator.domain.posture.rules_network import PRIVATE_PORTS, RULES, check_network
from rotator.domain.posture.running import Port, RunningApp, Service
from rotator.domain.risk import Risk
from tests.unit.running_builders import (
    DEDICATED,
    FLYCAST,
    HTTP,
    HTTPS,
    PUBLIC,
    WEB,
    an_app,
    running,
)

POSTGRES = Service("tcp", 5432, (Port(5432, 5432),))
POSTGRES_TLS = Service("tcp", 5432, (Port(5432, 5432, ("pg_tls",)),))
PLAIN = Service("tcp", 8080, (Port(80, 80, ("http",)),))
UNFORCED = Service("tcp", 8080, (Port(80, 80, ("http",)), HTTPS))
OWN_TLS = Service("tcp", 8443, (Port(443, 443),))
ALLOCATE = "fly ips allocate-v6 --private --app web"
FORCE_HTTPS = (
    "in fly.toml: force_https = true under [http_service], or under the [[services.ports]] of "
    "port 80; then fly deploy --app web"
)
DOOM = Service("udp", 666, (Port(666, 666),))

FOUND = {
    "nothing is wrong": (an_app(), set()),
    "a worker with public addresses": (
        an_app(running()),
        {("public-address-without-service", "app:web")},
    ),
    "a worker without": (an_app(running(), addresses=()), set()),
    "a worker with a private address": (an_app(running(), addresses=(FLYCAST,)), set()),
    "a service without ports is reached by nobody": (
        an_app(running(Service("tcp", 8080))),
        {("public-address-without-service", "app:web")},
    ),
    "what a machine out of reach serves is not known": (
        an_app(running(config=None), running()),
        set(),
    ),
    "a machine that Fly itself runs does not count": (
        an_app(running(WEB), running(POSTGRES, group="fly_app_console")),
        set(),
    ),
    "a destroyed machine does not count": (
        an_app(running(WEB), running(POSTGRES, state="destroyed")),
        set(),
    ),
    "a dedicated address for HTTP": (
        an_app(addresses=(*PUBLIC, DEDICATED)),
        {("dedicated-address-unused", "app:web")},
    ),
    "a dedicated address for UDP": (
        an_app(running(WEB, DOOM), addresses=(*PUBLIC, DEDICATED)),
        set(),
    ),
    "a dedicated address for TLS of the app's own": (
        an_app(running(OWN_TLS), addresses=(DEDICATED,)),
        set(),
    ),
    "a dedicated address of an app without machines": (
        RunningApp("acme", "web", (DEDICATED,)),
        {("dedicated-address-unused", "app:web")},
    ),
    "an app that was never deployed": (RunningApp("acme", "web", PUBLIC), set()),
    "PostgreSQL on the internet": (
        an_app(running(POSTGRES)),
        {("private-service-public", "service:web/app/5432"), ("flycast-missing", "app:web")},
    ),
    "PostgreSQL with Flycast and public addresses": (
        an_app(running(POSTGRES), addresses=(*PUBLIC, FLYCAST)),
        {("private-service-public", "service:web/app/5432")},
    ),
    "PostgreSQL with Flycast alone": (an_app(running(POSTGRES), addresses=(FLYCAST,)), set()),
    "PostgreSQL beside a public service": (
        an_app(running(WEB), running(POSTGRES, group="db")),
        {("private-service-public", "service:web/db/5432")},
    ),
    "another port to the outside": (
        an_app(running(Service("tcp", 6379, (Port(10001, 10001),))), addresses=(*PUBLIC, FLYCAST)),
        {("private-service-public", "service:web/app/6379")},
    ),
    "HTTP on a database's port is an interface that somebody shows": (
        an_app(running(Service("tcp", 9200, (HTTP, HTTPS)))),
        set(),
    ),
    "a service that no address leads to": (
        an_app(addresses=()),
        {("flycast-missing", "app:web")},
    ),
    "plain HTTP beside HTTPS": (
        an_app(running(UNFORCED)),
        {("force-https-missing", "service:web/app/8080")},
    ),
    "plain HTTP on the private network": (
        an_app(running(UNFORCED), addresses=(FLYCAST,)),
        set(),
    ),
    "plain HTTP alone": (an_app(running(PLAIN)), {("http-without-tls", "service:web/app/8080")}),
    "plain HTTP on the port of TLS": (
        an_app(running(Service("tcp", 8080, (Port(443, 443, ("http",)),)))),
        {("http-without-tls", "service:web/app/8080")},
    ),
    "plain HTTP beside TLS of the app's own": (
        an_app(running(PLAIN, OWN_TLS)),
        {("force-https-missing", "service:web/app/8080")},
    ),
    "TLS versions that were withdrawn": (
        an_app(
            running(
                Service(
                    "tcp",
                    8080,
                    (HTTP, Port(443, 443, ("tls", "http"), tls_versions=("TLSv1.1", "TLSv1.2"))),
                )
            )
        ),
        {("tls-version-old", "service:web/app/8080")},
    ),
    "TLS versions of today": (
        an_app(
            running(
                Service("tcp", 8080, (Port(443, 443, ("tls",), tls_versions=("TLSv1.2",)),)),
            )
        ),
        set(),
    ),
    "a self-signed default": (
        an_app(running(Service("tcp", 8080, (Port(443, 443, ("tls", "http"), self_signed=True),)))),
        {("tls-self-signed", "service:web/app/8080")},
    ),
}


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case)
def test_a_rule_is_found_where_it_should_be_and_only_there(case: str) -> None:
    app, expected = FOUND[case]
    assert {(each.rule.id, each.subject) for each in check_network(app)} == expected


def test_every_rule_is_found_somewhere_and_belongs_to_the_network() -> None:
    found = {rule for _, expected in FOUND.values() for rule, _ in expected}
    assert found == {rule.id for rule in RULES}
    assert {rule.topic for rule in RULES} == {Topic.NETWORK}


def test_many_machines_with_one_fault_are_one_finding() -> None:
    app = an_app(*(running(UNFORCED) for _ in range(30)))
    assert len(list(check_network(app))) == 1


@pytest.mark.parametrize(
    ("app", "mends"),
    [
        (
            an_app(running()),
            ["fly ips release 2a09:8280:1::1 66.241.124.10 --app web"],
        ),
        (
            an_app(running(POSTGRES), addresses=(DEDICATED,)),
            [
                ALLOCATE
                + "; point the callers at web.flycast, then fly ips release 137.66.1.1 --app web",
                ALLOCATE,
            ],
        ),
        (
            an_app(running(UNFORCED)),
            [FORCE_HTTPS],
        ),
    ],
)
def test_a_finding_has_the_command_that_mends_it(app: RunningApp, mends: list[str]) -> None:
    assert [each.mend for each in check_network(app)] == mends


def test_a_database_behind_tls_is_less_bad_than_one_in_the_open() -> None:
    (bad, _), (better, _) = (
        list(check_network(an_app(running(each)))) for each in (POSTGRES, POSTGRES_TLS)
    )
    assert (bad.severity, better.severity) == (Risk.HIGH, Risk.MEDIUM)
    assert bad.message == "PostgreSQL of web answers on port 5432 of 2a09:8280:1::1"


@pytest.mark.parametrize("port", PRIVATE_PORTS)
def test_no_port_that_browsers_use_counts_as_private(port: int) -> None:
    assert port not in {80, 443, 3000, 4000, 5000, 8000, 8080, 8443, 9000}
    service = Service("tcp", port, (HTTP, HTTPS))
    assert list(check_network(an_app(running(service)))) == []
