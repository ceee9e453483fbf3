"""How apps are reached: addresses, services, HTTPS and TLS. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rotator.domain.posture.finding import Finding, Rule, Topic
from rotator.domain.posture.running import Exposure, Port, RunningApp, Service, named
from rotator.domain.risk import Risk

_SERVICES: Final = "https://fly.io/docs/networking/services/"
_FLYCAST: Final = "https://fly.io/docs/networking/flycast/"
_PRIVATE: Final = "https://fly.io/docs/blueprints/autostart-internal-apps/"
_CONFIG: Final = "https://fly.io/docs/reference/configuration/"

PUBLIC_WITHOUT_SERVICE: Final = Rule(
    "public-address-without-service",
    Topic.NETWORK,
    Risk.LOW,
    "An app that serves nothing has a public address",
    "No machine has a service, so nothing answers there; the day that somebody adds one, it is on "
    "the internet without anybody having decided it.",
    "Release the public addresses. Machines reach each other at APP.internal without one.",
    "https://fly.io/docs/networking/app-services/",
)
DEDICATED_UNUSED: Final = Rule(
    "dedicated-address-unused",
    Topic.NETWORK,
    Risk.NOTE,
    "A dedicated IPv4 address that nothing needs",
    "It is paid for each month, and one more place where the app is found. A shared IPv4 address "
    "serves HTTP and TLS on 80 and 443 as well.",
    "Release it, once no DNS record and no list of allowed addresses names it.",
    _SERVICES,
)
PRIVATE_IS_PUBLIC: Final = Rule(
    "private-service-public",
    Topic.NETWORK,
    Risk.HIGH,
    "A database, cache or queue can be reached from the internet",
    "Only apps of the organisation call such a service. On a public address anybody can try "
    "passwords and known holes, and many of them ask for no password at all by default.",
    "Give the app a Flycast address, point the callers at APP.flycast, and release its public "
    "addresses.",
    _PRIVATE,
)
NO_FLYCAST: Final = Rule(
    "flycast-missing",
    Topic.NETWORK,
    Risk.LOW,
    "A private service has no private address",
    "Fly's proxy reaches a service by an address of its app only. Without a Flycast address "
    "there is no private way through it: no autostart, no balancing, and public addresses stay "
    "in use.",
    "Allocate a Flycast address and call APP.flycast.",
    _FLYCAST,
)
NO_FORCE_HTTPS: Final = Rule(
    "force-https-missing",
    Topic.NETWORK,
    Risk.MEDIUM,
    "Plain HTTP is answered instead of being sent to HTTPS",
    "Whoever is on the way reads and changes what is sent, cookies and tokens included.",
    "Set force_https for the port of plain HTTP.",
    _CONFIG,
)
HTTP_WITHOUT_TLS: Final = Rule(
    "http-without-tls",
    Topic.NETWORK,
    Risk.HIGH,
    "HTTP is served to the internet without TLS",
    "No port of the app speaks TLS, so that everything that is sent can be read and changed on the "
    "way.",
    'Serve port 443 with the handlers "tls" and "http", or make the app private with Flycast.',
    _CONFIG,
)
OLD_TLS: Final = Rule(
    "tls-version-old",
    Topic.NETWORK,
    Risk.MEDIUM,
    "TLS versions that are broken are accepted",
    "TLS 1.0 and 1.1 were withdrawn in 2021 (RFC 8996); an attacker on the way can force them.",
    'Accept "TLSv1.2" and "TLSv1.3" only, which is Fly\'s default.',
    "https://fly.io/docs/networking/tls/",
)
SELF_SIGNED: Final = Rule(
    "tls-self-signed",
    Topic.NETWORK,
    Risk.LOW,
    "A self-signed certificate is served by default",
    "Clients that take it have stopped verifying whom they talk to, so they would take an "
    "attacker's as well.",
    "Take default_self_signed out, and add a certificate for each hostname.",
    "https://fly.io/docs/networking/tls/",
)
RULES: Final = (
    PRIVATE_IS_PUBLIC,
    HTTP_WITHOUT_TLS,
    NO_FORCE_HTTPS,
    OLD_TLS,
    SELF_SIGNED,
    PUBLIC_WITHOUT_SERVICE,
    NO_FLYCAST,
    DEDICATED_UNUSED,
)

PRIVATE_PORTS: Final[Mapping[int, str]] = {
    1433: "SQL Server",
    1521: "Oracle",
    2379: "etcd",
    2380: "etcd",
    3306: "MySQL",
    4222: "NATS",
    5432: "PostgreSQL",
    5433: "PostgreSQL",
    5672: "RabbitMQ",
    5984: "CouchDB",
    6379: "Redis",
    6432: "PgBouncer",
    7687: "Neo4j",
    8086: "InfluxDB",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    9300: "Elasticsearch",
    11211: "Memcached",
    26257: "CockroachDB",
    26379: "Redis Sentinel",
    27017: "MongoDB",
    28015: "RethinkDB",
}
"""What listens on these ports by convention. Nothing that people open in a browser."""
_WITHDRAWN: Final = frozenset({"sslv2", "sslv3", "tlsv1", "tlsv1.0", "tlsv1.1"})
_SHARED_PORTS: Final = (80, 443)


def check_network(app: RunningApp) -> Iterator[Finding]:
    """Everything about addresses and services of one app."""
    services = list(app.services())
    served = [service for _, service in services if service.ports]
    yield from _unserved(app, served)
    yield from _private(app, services)
    yield from _without_address(app, served)
    if app.public:
        yield from _plain_http(app, services)
        yield from _tls(app, services)


def _unserved(app: RunningApp, served: Sequence[Service]) -> Iterator[Finding]:
    """Addresses that nothing needs. What a machine out of reach serves is not known."""
    dedicated = [each.ip for each in app.addresses if each.exposure is Exposure.DEDICATED_V4]
    if app.living and app.public and not served and not app.unread:
        kinds = [f"{each.ip} ({each.exposure})" for each in app.public]
        yield app.finding(
            PUBLIC_WITHOUT_SERVICE,
            f"app:{app.name}",
            f"{app.name} has {named(kinds)}, and none of its {len(app.living)} machines a service",
            _release(app, [each.ip for each in app.public]),
        )
    elif dedicated and not app.unread and not _needs_dedicated(served):
        why = (
            "all that it serves is HTTP and TLS on 80 and 443"
            if served
            else "the app has no machine"
        )
        yield app.finding(
            DEDICATED_UNUSED,
            f"app:{app.name}",
            f"{app.name} has {named(dedicated)} to itself; {why}",
            f"fly ips allocate-v4 --shared --app {app.name} && {_release(app, dedicated)}"
            if served
            else _release(app, dedicated),
        )


def _needs_dedicated(served: Sequence[Service]) -> bool:
    """Fly: a shared address tells apps apart by HTTP's host and TLS's server name, on 80 and
    443."""
    return any(
        service.protocol != "tcp"
        or port.start not in _SHARED_PORTS
        or port.start != port.end
        or not port.handlers
        for service in served
        for port in service.ports
    )


def _private(app: RunningApp, services: Sequence[tuple[str, Service]]) -> Iterator[Finding]:
    private = {
        (group, service.internal_port): (service, what)
        for group, service in services
        if (what := private_kind(service))
    }
    if not app.public or not private:
        return
    only = all(private_kind(service) for _, service in services if service.ports)
    for (group, port), (service, what) in private.items():
        ports = ", ".join(str(each) for each in service.ports)
        yield app.finding(
            PRIVATE_IS_PUBLIC,
            f"service:{app.name}/{group}/{port}",
            f"{what} of {app.name} answers on port {ports} of {app.public[0].ip}",
            _make_private(app) if only else _unserve(app, port),
            # A handler of TLS's encrypts, but lets in whoever knocks.
            Risk.MEDIUM if all(_encrypts(each) for each in service.ports) else None,
        )
    if only and not app.flycast:
        (_, what), *_ = private.values()
        yield app.finding(
            NO_FLYCAST,
            f"app:{app.name}",
            f"{app.name} serves {what} and has no Flycast address for those who call it",
            f"fly ips allocate-v6 --private --app {app.name}",
        )


def private_kind(service: Service) -> str | None:
    """What a service is that only other apps call, by its ports; None where it may be for the
    internet. HTTP to the outside is an interface that somebody has chosen to show."""
    if not service.ports or any("http" in port.handlers for port in service.ports):
        return None
    if service.internal_port in PRIVATE_PORTS:
        return PRIVATE_PORTS[service.internal_port]
    return next((PRIVATE_PORTS[p.start] for p in service.ports if p.start in PRIVATE_PORTS), None)


def _encrypts(port: Port) -> bool:
    return any(handler in ("tls", "pg_tls") for handler in port.handlers)


def _without_address(app: RunningApp, served: Sequence[Service]) -> Iterator[Finding]:
    if served and not app.addresses:
        yield app.finding(
            NO_FLYCAST,
            f"app:{app.name}",
            f"{app.name} has a service on port {served[0].ports[0]} and no address at all, so that "
            "Fly's proxy never reaches it",
            f"fly ips allocate-v6 --private --app {app.name}",
        )


def _plain_http(app: RunningApp, services: Sequence[tuple[str, Service]]) -> Iterator[Finding]:
    secure = any(
        443 in port and (_encrypts(port) or not port.handlers)
        for _, service in services
        for port in service.ports
    )
    plain: dict[tuple[str, int], Port] = {}
    for group, service in services:
        for port in service.ports:
            if "http" in port.handlers and not _encrypts(port):
                plain.setdefault((group, service.internal_port), port)
    for (group, internal), port in plain.items():
        subject = f"service:{app.name}/{group}/{internal}"
        if not secure or 443 in port:
            yield app.finding(
                HTTP_WITHOUT_TLS,
                subject,
                f"{app.name} serves HTTP on port {port} without TLS"
                + ("" if 443 in port else ", and nothing on 443"),
                _patch(
                    app,
                    'port = 443, handlers = ["tls", "http"] under [[services.ports]], or '
                    "[http_service] instead of [[services]]",
                ),
            )
        elif not port.force_https:
            yield app.finding(
                NO_FORCE_HTTPS,
                subject,
                f"{app.name} answers plain HTTP on port {port}, although it serves HTTPS",
                _patch(
                    app,
                    "force_https = true under [http_service], or under the [[services.ports]] of "
                    f"port {port}",
                ),
            )


def _tls(app: RunningApp, services: Sequence[tuple[str, Service]]) -> Iterator[Finding]:
    old: dict[str, tuple[Port, list[str]]] = {}
    signed: dict[str, Port] = {}
    for group, service in services:
        for port in service.ports:
            subject = f"service:{app.name}/{group}/{service.internal_port}"
            broken = [each for each in port.tls_versions if each.lower() in _WITHDRAWN]
            if broken:
                old.setdefault(subject, (port, broken))
            if port.self_signed:
                signed.setdefault(subject, port)
    for subject, (port, versions) in old.items():
        yield app.finding(
            OLD_TLS,
            subject,
            f"{app.name} accepts {named(versions)} on port {port}",
            _patch(app, f'tls_options = {{ versions = ["TLSv1.2", "TLSv1.3"] }} for port {port}'),
        )
    for subject, port in signed.items():
        yield app.finding(
            SELF_SIGNED,
            subject,
            f"{app.name} serves a self-signed certificate on port {port} where it has none",
            f"fly certs add HOSTNAME --app {app.name}; then "
            + _patch(app, f"no default_self_signed in the tls_options of port {port}"),
        )


def _release(app: RunningApp, ips: Sequence[str]) -> str:
    return f"fly ips release {' '.join(ips)} --app {app.name}"


def _make_private(app: RunningApp) -> str:
    release = _release(app, [each.ip for each in app.public])
    if app.flycast:
        return f"point the callers at {app.name}.flycast, then {release}"
    allocate = f"fly ips allocate-v6 --private --app {app.name}"
    return f"{allocate}; point the callers at {app.name}.flycast, then {release}"


def _unserve(app: RunningApp, internal_port: int) -> str:
    return (
        f"take the [[services]] with internal_port = {internal_port} out of fly.toml; callers use "
        f"{app.name}.internal:{internal_port}; then fly deploy --app {app.name}"
    )


def _patch(app: RunningApp, what: str) -> str:
    return f"in fly.toml: {what}; then fly deploy --app {app.name}"
