"""Secrets that stand in an app's configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from rotator.domain.posture.config_file import (
    Comment,
    ConfigFile,
    Items,
    Span,
    Table,
    Value,
    dotted,
)
from rotator.domain.posture.config_place import (
    Place,
    Surroundings,
    environments,
    for_app,
    line_for,
    place_of,
    section,
    services,
)
from rotator.domain.posture.finding import Finding, Rule
from rotator.domain.posture.randomness import looks_random
from rotator.domain.posture.rules_config import (
    SECRET_FILE_COPIED,
    SECRET_IN_BUILD_ARGS,
    SECRET_IN_COMMAND,
    SECRET_IN_COMMENT,
    SECRET_IN_ENV,
    SECRET_IN_FILE_VALUE,
    SECRET_IN_HEADER,
)
from rotator.domain.posture.secrets_in_text import (
    Evidence,
    Suspicion,
    decoded,
    suspicion,
    suspicions_in_comment,
    suspicions_in_file,
    suspicions_in_text,
)

_NAME: Final = re.compile(r"[^A-Z0-9]+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VARIABLES: Final = {
    "named-secret": "PASSWORD",
    "random-value": "KEY",
    "address-password": "DATABASE_URL",
    "authorization": "API_TOKEN",
}
SECRET_FILE: Final = re.compile(
    r"(?:^|/)(?:\.env(?!\.(?:example|sample|template|dist|defaults?|test|schema|vault)\b)(?:\.[\w.-]+)?"
    r"|id_(?:rsa|ed25519|ecdsa|dsa)|\.netrc|\.pgpass|\.htpasswd|master\.key|credentials\.json"
    r"|service[-_]?account[\w-]*\.json|[\w.-]+\.(?:p12|pfx|jks|keystore)|[\w.-]*private[\w.-]*\.(?:pem|key)"
    r"|secrets?\.(?:json|ya?ml|toml|env))$",
    re.I,
)


def check_secrets(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    """Every secret in a configuration file, by the section where it stands."""
    yield from _env(file, around)
    yield from _build_args(file, around)
    yield from _commands(file, around)
    yield from _headers(file, around)
    yield from _files(file, around)
    for comment in file.comments:
        yield from check_comment(file.path, file.app, comment, around)


def check_comment(path: str, app: str, comment: Comment, around: Surroundings) -> Iterator[Finding]:
    """Secrets that a comment still shows; only sure ones, as comments also write about them."""
    for found in suspicions_in_comment(comment.text, around.now):
        value = comment.text[found.start : found.end]
        if found.evidence is Evidence.NAME and not looks_random(value):
            continue
        place = Place(path, f"comment~{found.label}", comment.span, app)
        mend = "take the comment out, and replace the value: it stays in the history"
        yield told(place, SECRET_IN_COMMENT, found, "a comment", mend)


def set_command(name: str, app: str) -> str:
    """How a secret is set without its value among the arguments: - is standard input."""
    return f'printf %s "${name}" | fly secrets set {name}=-{for_app(app)}'


def secret_name(name: str) -> str:
    """A name that a secret can have, from a key or a header."""
    if _IDENTIFIER.fullmatch(name):
        return name
    return _NAME.sub("_", name.upper()).strip("_") or "SECRET"


def variable_for(found: Suspicion) -> str:
    """The variable that a command or script reads instead of a value that stood in it."""
    return _VARIABLES.get(found.label.lower()) or secret_name(found.label).upper()


def told(place: Place, rule: Rule, found: Suspicion, where: str, mend: str) -> Finding:
    """A finding of a secret; its value is not in it."""
    return place.finding(rule, f"{where} holds {found}", mend, found.risk)


def _env(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    for table in environments(file):
        for entry in table.entries:
            if not isinstance(entry.node, Value):
                continue
            found = suspicion(entry.key, entry.node.text, around.now)
            if found is not None:
                place = place_of(file, dotted(("env", entry.key)), entry.span)
                mend = (
                    f"take {entry.key} out of {section(file, 'env')}, replace the value (it stays "
                    f"in the history), then: {set_command(secret_name(entry.key), file.app)}"
                )
                yield told(place, SECRET_IN_ENV, found, entry.key, mend)


def _build_args(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    build = file.root.table("build")
    for section_name in ("args", "settings"):
        table = None if build is None else build.table(section_name)
        yield from _given_to_build(file, section_name, table, around)


def _given_to_build(
    file: ConfigFile, section_name: str, table: Table | None, around: Surroundings
) -> Iterator[Finding]:
    for entry in () if table is None else table.entries:
        if not isinstance(entry.node, Value):
            continue
        found = suspicion(entry.key, entry.node.text, around.now)
        if found is not None:
            place = place_of(file, dotted(("build", section_name, entry.key)), entry.span)
            mend = (
                f"take {entry.key} out, replace the value, mount it in the Dockerfile with RUN "
                f"--mount=type=secret,id={entry.key}, and deploy with: fly deploy --build-secret "
                f'{entry.key}="${entry.key}"'
            )
            yield told(place, SECRET_IN_BUILD_ARGS, found, f"the build argument {entry.key}", mend)


def _commands(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    for name, text, span in _all_commands(file):
        for found in suspicions_in_text(text, around.now):
            place = place_of(file, f"{name}~{found.label}", span)
            variable = variable_for(found)
            mend = (
                f"let the command read it from its environment as ${variable}, replace the value, "
                f"then: {set_command(variable, file.app)}"
            )
            yield told(place, SECRET_IN_COMMAND, found, f"the command {name}", mend)


def _all_commands(file: ConfigFile) -> Iterator[tuple[str, str, Span]]:
    root = file.root
    if (console := root.value("console_command")) is not None:
        yield "console_command", console.text, console.span
    groups = root.table("processes")
    for entry in () if groups is None else groups.entries:
        if isinstance(entry.node, Value):
            yield dotted(("processes", entry.key)), entry.node.text, entry.node.span
    yield from _commands_of(root.table("deploy"), "deploy", ("release_command", "seed_command"))
    yield from _commands_of(
        root.table("experimental"), "experimental", ("cmd", "entrypoint", "exec")
    )
    for name, table in _services_and_root(file):
        for _, check in table.tables("machine_checks"):
            yield from _commands_of(check, f"{name}machine_checks", ("command", "entrypoint"))


def _commands_of(
    table: Table | None, name: str, keys: tuple[str, ...]
) -> Iterator[tuple[str, str, Span]]:
    for key in keys if table is not None else ():
        words = table.strings(key) if table is not None else ()
        if words:
            text = " ".join(word.text for word in words)
            yield f"{name}.{key}", text, words[0].span.until(words[-1].span)


def _services_and_root(file: ConfigFile) -> Iterator[tuple[str, Table]]:
    yield "", file.root
    http = file.root.table("http_service")
    if http is not None:
        yield "http_service.", http
    for named in services(file):
        yield f"{named.name}.", named.table


def _headers(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    for name, check in _checks(file):
        for header, value in _header_values(check):
            found = suspicion(header, value.text, around.now)
            if found is not None:
                place = place_of(
                    file, dotted((f"{name}.headers", header)).replace('"', ""), value.span
                )
                mend = (
                    f"take the header {header} out, let the path of the check answer without a "
                    "login (checks come over the private network), and replace the value"
                )
                yield told(place, SECRET_IN_HEADER, found, f"the header {header} of {name}", mend)


def _checks(file: ConfigFile) -> Iterator[tuple[str, Table]]:
    top = file.root.table("checks")
    for entry in () if top is None else top.entries:
        if isinstance(entry.node, Table):
            yield f"checks.{entry.key}", entry.node
    http = file.root.table("http_service")
    for _, check in () if http is None else http.tables("checks"):
        yield "http_service.checks", check
    for named in services(file):
        for key in ("http_checks", "checks"):
            for _, check in named.table.tables(key):
                yield f"{named.name}.{key}", check


def _header_values(check: Table) -> Iterator[tuple[str, Value]]:
    """Headers are a table; machine configurations have a list of name and values."""
    table = check.table("headers")
    for entry in () if table is None else table.entries:
        if isinstance(entry.node, Value):
            yield entry.key, entry.node
        elif isinstance(entry.node, Items):
            yield from ((entry.key, i) for i in entry.node.items if isinstance(i, Value))
    for _, item in check.tables("headers") if table is None else ():
        yield from ((item.string("name"), value) for value in item.strings("values"))


def _files(file: ConfigFile, around: Surroundings) -> Iterator[Finding]:
    for _, each in file.root.tables("files"):
        guest = each.string("guest_path") or "a file"
        name = secret_name(guest.rsplit("/", 1)[-1])
        raw = each.value("raw_value")
        if raw is not None:
            text = decoded(raw.text) or raw.text
            for found in suspicions_in_file(text, around.now)[:1]:
                place = place_of(file, f"files.{guest}.raw_value", raw.span)
                mend = (
                    f"replace raw_value by {line_for(file, 'secret_name', name)} and the value "
                    f"by a new one, then: base64 < FILE | fly secrets set {name}=-"
                    f"{for_app(file.app)}"
                )
                yield told(place, SECRET_IN_FILE_VALUE, found, f"the content of {guest}", mend)
        local = each.value("local_path")
        if local is not None and SECRET_FILE.search(local.text):
            place = place_of(file, f"files.{guest}.local_path", local.span)
            yield place.finding(
                SECRET_FILE_COPIED,
                f"{local.text} is copied into the configuration of every machine as {guest}",
                f"replace local_path by {line_for(file, 'secret_name', name)}, then: base64 < "
                f"{local.text} | fly secrets set {name}=-{for_app(file.app)}",
            )
