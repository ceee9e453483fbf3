"""`[[hooks]]` of the manifest: who may tell rotator of leaks. Secrets are never in it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from rotator.domain.durations import format_duration
from rotator.domain.hook import (
    MOST_HOOKS,
    SIGNATURE_HEADERS,
    HookFormat,
    HookSpec,
    Respond,
    Untracked,
    secrets_variable,
    wrong_hook,
)
from rotator.manifest.reader import Table

_EXAMPLE: Final = '[[hooks]] with name = "github" and format = "github"'
_FORMATS: Final = ", ".join(HookFormat)
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
_TIMED: Final = frozenset({HookFormat.HEX, HookFormat.BASE64, HookFormat.FLY})
LONGEST_WAIT: Final = timedelta(days=30)
LONGEST_TOLERANCE: Final = timedelta(hours=1)


def read_hooks(root: Table) -> tuple[HookSpec, ...]:
    """All hooks; what is wrong with them is noted."""
    items = root.array("hooks", _EXAMPLE)
    if len(items) > MOST_HOOKS:
        root.wrong("hooks", f"there are more than {MOST_HOOKS}")
    found: list[HookSpec] = []
    for index, item in enumerate(items[:MOST_HOOKS]):
        table = Table(item, (*root.at("hooks"), index), root.problems)
        spec = _hook(table)
        if spec is None:
            continue
        if any(other.name == spec.name for other in found):
            table.wrong("name", f"there are two hooks {spec.name!r}")
        found.append(spec)
    return tuple(found)


def _hook(table: Table) -> HookSpec | None:
    before = len(table.problems.found)
    name = table.text("name", 'name = "github"', required=True)
    table.named("name", name, wrong_hook)
    form = table.choice("format", HookFormat, _FORMATS, 'format = "github"')
    if form is None and "format" not in table:
        table.wrong("format", "is missing", 'format = "github"')
    header = _header(table, "header", 'header = "x-signature"')
    timestamp = _header(table, "timestamp_header", 'timestamp_header = "x-timestamp"')
    if form is not None:
        header = _fitting_header(table, form, header)
        if timestamp is not None and form not in _TIMED:
            table.wrong("timestamp_header", f"the format {form} has its own")
    variable = table.text("secrets_env", 'secrets_env = "ROTATOR_HOOK_GITHUB_SECRETS"')
    if variable is not None and not _VARIABLE.fullmatch(variable):
        told = "a name of a variable is wanted, in capitals, never a secret itself"
        table.wrong("secrets_env", told, 'secrets_env = "ROTATOR_HOOK_GITHUB_SECRETS"')
    respond = table.choice("respond", Respond, ", ".join(Respond), 'respond = "approve"')
    untracked = table.choice("untracked", Untracked, ", ".join(Untracked), 'untracked = "tell"')
    within = _span(table, "approve_within", 'approve_within = "3d"', LONGEST_WAIT)
    tolerance = _span(table, "tolerance", 'tolerance = "5m"', LONGEST_TOLERANCE)
    table.finish()
    if len(table.problems.found) > before or name is None or form is None or header is None:
        return None
    defaults = HookSpec(name, form, header, secrets_variable(name))
    return HookSpec(
        name=name,
        format=form,
        header=header,
        secrets_env=variable or defaults.secrets_env,
        timestamp_header=timestamp,
        respond=respond or defaults.respond,
        untracked=untracked or defaults.untracked,
        approve_within=within or defaults.approve_within,
        tolerance=tolerance or defaults.tolerance,
    )


def _header(table: Table, key: str, example: str) -> str | None:
    value = table.text(key, example)
    if value is None:
        return None
    if not _HEADER.fullmatch(value.lower()):
        table.wrong(key, "the name of a header is wanted", example)
        return None
    return value.lower()


def _fitting_header(table: Table, form: HookFormat, header: str | None) -> str | None:
    own = SIGNATURE_HEADERS.get(form)
    if own is None and header is None and "header" not in table:
        table.wrong(
            "header", f"is missing: the format {form} leaves it to you", 'header = "x-signature"'
        )
    if own is not None and header not in (None, own):
        table.wrong("header", f"the format {form} signs in {own}")
    return own or header


def _span(table: Table, key: str, example: str, longest: timedelta) -> timedelta | None:
    found = table.span(key, example)
    if found is not None and not timedelta(seconds=1) <= found <= longest:
        table.wrong(key, f"is not between 1s and {format_duration(longest)}", example)
        return None
    return found
