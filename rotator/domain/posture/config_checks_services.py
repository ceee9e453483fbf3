"""Who can reach an app, and how: services, ports, handlers, TLS. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rotator.domain.posture.config_file import ConfigFile, Table
from rotator.domain.posture.config_place import (
    Surroundings,
    entry_span,
    for_app,
    line_for,
    place_of,
    section,
    services,
)
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.rules_config import (
    HTTPS_NOT_FORCED,
    OLD_TLS,
    PLAIN_HTTP,
    PRIVATE_SERVICE_PUBLIC,
    SELF_SIGNED,
    SSH_SERVICE,
    TLS_MISSING,
)
from rotator.domain.risk import Risk

HTTP_PORT: Final = 80
HTTPS_PORT: Final = 443
SSH_PORT: Final = 22

PRIVATE_PORTS: Final[Mapping[int, str]] = {
    1433: "Microsoft SQL Server",
    1521: "Oracle Database",
    2345: "the Delve debugger",
    2375: "the Docker API",
    2379: "etcd",
    2380: "etcd",
    3306: "MySQL",
    4369: "Erlang's port mapper",
    5432: "PostgreSQL",
    5433: "PostgreSQL",
    5672: "RabbitMQ",
    5984: "CouchDB",
    6379: "Redis",
    6380: "Redis",
    7687: "Neo4j",
    8086: "InfluxDB",
    9042: "Cassandra",
    9092: "Kafka",
    9200: "Elasticsearch",
    9229: "Node's debugger",
    9300: "Elasticsearch",
    11211: "memcached",
    15672: "RabbitMQ's console",
    26257: "CockroachDB",
    27017: "MongoDB",
    27018: "MongoDB",
}
"""The registered or default ports of what is called by one's own apps only."""

_OLD_VERSIONS: Final = frozenset({"sslv2", "sslv3", "tlsv1", "tlsv1.0", "tlsv1.1"})


@dataclass(frozen=True)
class _Port:
    """One [[services.ports]]: a port or a range of them."""

    name: str
    table: Table
    first: int
    last: int
    handlers: frozenset[str]

    def covers(self, port: int) -> bool:
        """Whether it listens on a port."""
        return self.first <= port <= self.last

    @property
    def words(self) -> str:
        """Its number or numbers."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def check_services(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    """What a configuration opens to the internet, and how well."""
    yield from _http_service(file, around)
    for named in services(file):
        ports = tuple(_ports(named.name, named.table))
        for port in ports:
            yield from _http_port(file, port, around)
            yield from _tls_options(file, port.name, port.table)
        yield from _private(file, named.table, ports, around)


def _ports(name: str, service: Table) -> Iterator[_Port]:
    for _, table in service.tables("ports"):
        port = table.integer("port")
        first = table.integer("start_port") if port is None else port
        last = table.integer("end_port") if port is None else port
        if first is None or last is None:
            continue
        words = str(first) if first == last else f"{first}-{last}"
        handlers = frozenset(value.text.lower() for value in table.strings("handlers"))
        yield _Port(f"{name}.ports.{words}", table, first, last, handlers)


def _http_service(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    entry = file.root.entry("http_service")
    table = file.root.table("http_service")
    if entry is None or table is None:
        return
    if not table.is_true("force_https") and file.app not in around.flycast_apps:
        there = table.entry("force_https")
        span = entry.key_span if there is None else there.span
        line = line_for(file, "force_https", True)
        where = f"{'add' if there is None else 'set'} {line} in {section(file, 'http_service')}"
        mend = f"{where} (an app with only a Flycast address can't have it)"
        place = place_of(file, "http_service.force_https", span)
        yield place.finding(HTTPS_NOT_FORCED, "[http_service] also answers on http://", mend)
    yield from _tls_options(file, "http_service", table)
    what = PRIVATE_PORTS.get(table.integer("internal_port") or 0)
    if what is not None:
        place = place_of(file, "http_service", entry_span(table, "internal_port"))
        yield place.finding(
            PRIVATE_SERVICE_PUBLIC,
            f"[http_service] opens the port of {what} to the internet",
            _close(file, "http_service"),
            Risk.MEDIUM,
        )


def _http_port(file: ConfigFile, port: _Port, around: Surroundings) -> Iterator[Finding]:
    if "http" not in port.handlers or "tls" in port.handlers:
        return
    private = file.app in around.flycast_apps
    handlers = line_for(file, "handlers", ["tls", "http"])
    if port.covers(HTTPS_PORT):
        place = place_of(file, port.name, entry_span(port.table, "handlers"))
        yield place.finding(
            TLS_MISSING, f"port {port.words} has the http handler without tls", f"set {handlers}"
        )
    elif private or port.table.is_true("force_https"):
        return
    elif port.covers(HTTP_PORT):
        key = "force_https" if port.table.entry("force_https") else "port"
        place = place_of(file, f"{port.name}.force_https", entry_span(port.table, key))
        line = line_for(file, "force_https", True)
        mend = (
            f"set {line} in the {section(file, 'services.ports', many=True)} of port {port.words}"
        )
        yield place.finding(HTTPS_NOT_FORCED, f"port {port.words} answers on http://", mend)
    else:
        place = place_of(file, port.name, entry_span(port.table, "handlers"))
        yield place.finding(
            PLAIN_HTTP,
            f"port {port.words} takes HTTP without TLS",
            f"set {handlers}, or take port {port.words} out",
        )


def _tls_options(file: ConfigFile, name: str, table: Table) -> Iterator[Finding]:
    options = table.table("tls_options")
    if options is None:
        return
    old = [v for v in options.strings("versions") if v.text.lower() in _OLD_VERSIONS]
    if old:
        place = place_of(file, f"{name}.tls_options.versions", old[0].span)
        line = line_for(file, "versions", ["TLSv1.2", "TLSv1.3"])
        versions = ", ".join(value.text for value in old)
        yield place.finding(OLD_TLS, f"{versions} may be spoken", f"set {line}")
    if options.is_true("default_self_signed"):
        span = entry_span(options, "default_self_signed")
        place = place_of(file, f"{name}.tls_options.default_self_signed", span)
        line = line_for(file, "default_self_signed", False)
        yield place.finding(
            SELF_SIGNED,
            "hosts without a certificate are answered with a self-signed one",
            f"set {line}, and for each host: fly certs add HOST{for_app(file.app)}",
        )


def _private(
    file: ConfigFile, service: Table, ports: tuple[_Port, ...], around: Surroundings
) -> Iterator[Finding]:
    internal = service.integer("internal_port")
    for port in ports:
        if SSH_PORT in (internal, port.first, port.last):
            place = place_of(file, port.name, entry_span(port.table, "port"))
            yield place.finding(
                SSH_SERVICE,
                f"SSH can be reached on port {port.words} by everybody",
                f"take the service out, and use: fly ssh console{for_app(file.app)}",
            )
            continue
        what = PRIVATE_PORTS.get(internal or 0) or _known(port)
        what = what or _called_privately(file.app, internal, port, around)
        if what is None or "pg_tls" in port.handlers:
            continue
        place = place_of(file, port.name, entry_span(port.table, "port"))
        yield place.finding(
            PRIVATE_SERVICE_PUBLIC,
            f"{what} can be reached on port {port.words} by everybody, once the app has a public "
            "address",
            _close(file, "services"),
            Risk.MEDIUM if "tls" in port.handlers else None,
        )


def _called_privately(
    app: str, internal: int | None, port: _Port, around: Surroundings
) -> str | None:
    """What an own app calls over the private network; web pages are for both, so not those."""
    numbers = {internal or 0, port.first, port.last}
    if "http" in port.handlers or not any((app, n) in around.private_ports for n in numbers):
        return None
    return "what own apps call over the private network"


def _known(port: _Port) -> str | None:
    """What a single public port is for."""
    return PRIVATE_PORTS.get(port.first) if port.first == port.last else None


def _close(file: ConfigFile, name: str) -> str:
    app = file.app or "APP"
    many = name == "services"
    return (
        f"take {section(file, name, many=many)} out and call {app}.internal; or keep it for "
        f"Flycast: fly ips allocate-v6 --private{for_app(file.app)}, then release every public "
        f"address that fly ips list{for_app(file.app)} shows"
    )
