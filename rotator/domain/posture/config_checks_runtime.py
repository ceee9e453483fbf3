"""How an app runs by its configuration: debug modes, restarts, images, whom it calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from rotator.domain.posture.config_file import ConfigFile, Entry, Table, Value, dotted
from rotator.domain.posture.config_place import (
    Surroundings,
    entry_span,
    environments,
    line_for,
    place_of,
    section,
)
from rotator.domain.posture.finding import Finding
from rotator.domain.posture.rules_config import (
    DEBUG,
    IMAGE_BY_TAG,
    PUBLIC_ADDRESS,
    RESTART_UNBOUNDED,
    TLS_UNVERIFIED,
)
from rotator.domain.posture.secret_names import parts_of
from rotator.domain.posture.words import words
from rotator.domain.risk import Risk

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_OFF: Final = frozenset({"0", "false", "no", "off"})
_DEBUG_SWITCHES: Final = frozenset(
    {"DEBUG", "FLASK_DEBUG", "DJANGO_DEBUG", "APP_DEBUG", "WERKZEUG_DEBUG", "SYMFONY_DEBUG"}
)
_ENVIRONMENTS: Final[Mapping[str, str]] = {
    "NODE_ENV": "production",
    "RAILS_ENV": "production",
    "RACK_ENV": "production",
    "FLASK_ENV": "production",
    "MIX_ENV": "prod",
    "APP_ENV": "production",
    "ASPNETCORE_ENVIRONMENT": "Production",
    "DOTNET_ENVIRONMENT": "Production",
    "GIN_MODE": "release",
}
_DEVELOPMENT: Final = frozenset({"development", "dev", "local", "debug"})
_DEBUGGER: Final = re.compile(r"--inspect(?:-brk)?(?:=|\b)|-agentlib:jdwp|-Xrunjdwp|\bdebugpy\b")

_VERIFYING: Final[Mapping[str, frozenset[str]]] = {
    "NODE_TLS_REJECT_UNAUTHORIZED": _OFF,
    "PYTHONHTTPSVERIFY": _OFF,
    "GIT_SSL_NO_VERIFY": _TRUE,
    "NPM_CONFIG_STRICT_SSL": _OFF,
    "SSL_VERIFY": _OFF | {"none"},
    "VERIFY_SSL": _OFF,
}
"""Settings that turn the check of certificates off, with the values that do."""

_FLY_HOST: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+]*)://)?(?:[^\s/@]*@)?(?<![\w.-])(?P<app>[a-z0-9-]+)\.fly\.dev(?::(?P<port>\d+))?"
)
_DATA_SCHEMES: Final = words(
    "postgres postgresql mysql redis rediss mongodb amqp amqps nats memcached libsql clickhouse"
)
_FOR_OTHERS: Final = frozenset(
    {
        "public", "origin", "origins", "cors", "allowed", "callback", "redirect", "frontend", "cdn",
        "asset", "assets", "site", "canonical", "external", "base", "browser", "client", "return",
        "webhook", "share", "static", "trusted", "hosts", "domain", "domains", "csrf", "web", "app",
        "issuer", "audience", "vite", "link", "links", "nextauth",
    }
)  # fmt: skip
"""Words of settings whose addresses are for browsers and others outside."""


def check_runtime(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    """What a configuration says about how the app runs."""
    for table in environments(file):
        for entry in table.entries:
            if isinstance(entry.node, Value):
                yield from _variable(file, entry, entry.node.text, around)
    yield from _restarts(file)
    yield from _image(file)


def loosened(name: str, value: str) -> str | None:
    """What a variable leaves unchecked, if it turns the check of certificates off."""
    off = _VERIFYING.get(name.upper())
    return f"{name}={value} accepts every certificate" if off and value.lower() in off else None


def debugging(name: str, value: str) -> str | None:
    """Which debug mode a variable turns on."""
    upper, lower = name.upper(), value.strip().lower()
    if upper in _DEBUG_SWITCHES and lower in _TRUE:
        return f"{name} is on"
    if upper in _ENVIRONMENTS and lower in _DEVELOPMENT:
        return f"{name} is {lower}"
    if upper in ("NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "JAVA_OPTS") and _DEBUGGER.search(value):
        return f"{name} starts a debugger"
    return None


def _variable(
    file: ConfigFile, entry: Entry, value: str, around: Surroundings
) -> Iterator[Finding]:
    place = place_of(file, dotted(("env", entry.key)), entry.span)
    env = section(file, "env")
    if (loose := loosened(entry.key, value)) is not None:
        yield place.finding(TLS_UNVERIFIED, loose, f"take {entry.key} out of {env}")
    if (debug := debugging(entry.key, value)) is not None:
        right = _ENVIRONMENTS.get(entry.key.upper())
        mend = f"take {entry.key} out of {env}"
        if right is not None:
            mend = f"set {line_for(file, entry.key, right)} in {env}"
        risk = Risk.LOW if right is not None else None
        yield place.finding(DEBUG, debug, mend, risk)
    yield from _calls(file, entry, value, around)


def _calls(file: ConfigFile, entry: Entry, value: str, around: Surroundings) -> Iterator[Finding]:
    for_others = bool(_FOR_OTHERS & set(parts_of(entry.key)))
    place = place_of(file, dotted(("env", entry.key)), entry.span)
    for match in _FLY_HOST.finditer(value):
        app, scheme = match["app"], match["scheme"]
        if scheme in _DATA_SCHEMES:
            yield place.finding(
                PUBLIC_ADDRESS,
                f"{entry.key} reaches a data store over the public address {app}.fly.dev",
                f"write {app}.internal instead of {app}.fly.dev, and take the public service out",
                Risk.MEDIUM,
            )
        elif app in around.apps and app != file.app and not for_others:
            port = f":{match['port']}" if match["port"] else ""
            yield place.finding(
                PUBLIC_ADDRESS,
                f"{entry.key} calls the own app {app} over the internet",
                f"instead of {app}.fly.dev{port} write {app}.internal with its internal port, or "
                f"http://{app}.flycast (which wakes its machines) after: fly ips allocate-v6 "
                f"--private --app {app}",
            )


def _restarts(file: ConfigFile) -> Iterator[Finding]:
    for _, table in file.root.tables("restart"):
        if table.string("policy") != "always" or table.integer("retries"):
            continue
        groups = ",".join(value.text for value in table.strings("processes"))
        place = place_of(file, f"restart.{groups or 'all'}", entry_span(table, "policy"))
        policy, retries = line_for(file, "policy", "on-failure"), line_for(file, "retries", 10)
        yield place.finding(
            RESTART_UNBOUNDED,
            f"{groups or 'every process group'} is restarted whenever it ends, without a limit",
            f"set {policy} and {retries} in {section(file, 'restart', many=True)}",
        )


def _image(file: ConfigFile) -> Iterator[Finding]:
    build: Table | None = file.root.table("build")
    image = None if build is None else build.value("image")
    if build is None or image is None or not image.text or "@sha256:" in image.text:
        return
    place = place_of(file, "build.image", entry_span(build, "image"))
    message, risk = by_tag(image.text)
    yield place.finding(IMAGE_BY_TAG, message, pin(image.text), risk)


def by_tag(image: str) -> tuple[str, Risk | None]:
    """What is told of an image without a digest: a tag that is meant to move is worse."""
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if not tag or tag in ("latest", "stable", "main", "master", "edge", "nightly"):
        return f"{image} is whatever is newest at the time", Risk.MEDIUM
    return f"{image} is named by a tag", None


def pin(image: str) -> str:
    """How the digest of an image is found, and where it goes."""
    return (
        f"write {image}@sha256:DIGEST, with the Digest that this shows: docker buildx imagetools "
        f"inspect {image}"
    )
