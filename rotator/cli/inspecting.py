"""`rotator token inspect`: where the token comes from, and what is told about it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from getpass import getpass
from pathlib import Path
from typing import Final

from rotator.cli.inspected import show_inspection
from rotator.cli.text import print_json
from rotator.domain.errors import InputError
from rotator.domain.risk import Risk
from rotator.domain.secret import Secret
from rotator.fly.bundle import Bundle, Form, Member, read_bundle
from rotator.fly.inspection import Reading, read_token, together
from rotator.fly.macaroon import MAX_HEADER_BYTES, MacaroonError
from rotator.fly.risk import RiskWarning, warnings_of
from rotator.system import SystemClock

_LOOKS_LIKE_ONE: Final = re.compile(
    r"(?i)\b(fm\d[a-z]?_|fo1_|flyv1\b|bearer\b|eyJ[\w-]{9})|^[\w-]{40,}=*$"
)
_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*[=:]\s*(?=\S)")
_HOW: Final = "use `rotator token inspect FILE`, `… --env NAME` or `… < FILE`"


def inspect_token(
    source: Sequence[str], env: str | None, *, as_json: bool, fail_on: str | None
) -> int:
    """Read, tell, and say by the exit code whether it is as bad as `fail_on`."""
    refuse_tokens([*source, env or ""])
    limit = _risk(fail_on)
    text = token_text(source, env)
    try:
        bundle = read_bundle(text.reveal())
    except MacaroonError as error:
        raise InputError(str(error), where=_where(source, env), next_step=_HOW) from None
    now = SystemClock().now()
    readings = [read_token(each, bundle) for each in bundle.permissions]
    in_ci = any(os.environ.get(name) for name in ("CI", "GITHUB_ACTIONS"))
    warnings = warnings_of(bundle, readings, now, in_ci=in_ci)
    if as_json:
        print_json(_as_data(bundle, readings, warnings))
    else:
        show_inspection(bundle, readings, warnings, now)
    worst = max((warning.risk for warning in warnings), default=Risk.NOTE)
    return 1 if limit is not None and worst >= limit else 0


def refuse_tokens(arguments: Sequence[str], how: str = _HOW) -> None:
    """A token on the command line is known to the shell's history and to `ps` by now."""
    for argument in arguments:
        if _LOOKS_LIKE_ONE.search(argument) and not Path(argument).is_file():
            raise InputError(
                "that is a token by its look: it is in the shell's history now, and everybody on "
                "this machine could see it in the list of processes; delete that line, and "
                "revoke the token unless nobody else uses this machine",
                next_step=how,
            )
    if len(arguments) > 2 or (len(arguments) == 2 and arguments[0] and arguments[1]):
        raise InputError("give one source: a file, - or --env NAME", next_step=_HOW)


def _risk(word: str | None) -> Risk | None:
    if word is None:
        return None
    known = {risk.word: risk for risk in Risk if risk is not Risk.NOTE}
    if word not in known:
        raise InputError(f"{word[:20]!r} is none of {', '.join(known)}", where="--fail-on")
    return known[word]


def _where(source: Sequence[str], env: str | None) -> str:
    return env or (source[0] if source and source[0] != "-" else "standard input")


def token_text(source: Sequence[str], env: str | None) -> Secret:
    """What is there, no more than a bundle's size, without the `NAME=` and quotes around it."""
    if env is not None:
        if env not in os.environ:
            raise InputError("there is no such environment variable", where=env, next_step=_HOW)
        found = os.environ[env]
    elif source and source[0] != "-":
        found = _file(Path(source[0]))
    elif sys.stdin.isatty():
        found = getpass("token (not shown): ")
    else:
        found = sys.stdin.buffer.read(MAX_HEADER_BYTES + 1).decode("utf-8", "replace")
    assignment = _ASSIGNMENT.match(found)
    if assignment is not None and not found.lstrip().lower().startswith(("fm", "fo1_")):
        found = found[assignment.end() :]
    return Secret(found.strip().strip("\"'"))


def _file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_HEADER_BYTES + 1).decode("utf-8", "replace")
    except OSError as error:
        told = (error.strerror or "can't be read").lower()
        raise InputError(told, where=str(path), next_step=_HOW) from None


def _as_data(
    bundle: Bundle, readings: Sequence[Reading], warnings: Sequence[RiskWarning]
) -> object:
    told = iter(readings)
    return {
        "kind": together(readings),
        "members": [
            {**_member(member), **(_reading(next(told)) if member.form is Form.PERMISSION else {})}
            for member in bundle.members
        ],
        "usable_until": _usable_until(readings),
        "risk": max((w.risk for w in warnings), default=Risk.NOTE).word,
        "warnings": [
            {"risk": w.risk.word, "code": w.code, "text": w.text, "advice": w.advice or None}
            for w in warnings
        ],
    }


def _usable_until(readings: Sequence[Reading]) -> datetime | None:
    ends = [reading.usable_until for reading in readings]
    return None if None in ends else max((end for end in ends if end), default=None)


def _member(member: Member) -> dict[str, object]:
    found: dict[str, object] = {
        "place": member.place,
        "form": member.form,
        "fingerprint": member.fingerprint,
    }
    if member.fault:
        found["fault"] = member.fault
    if member.macaroon is not None:
        found["location"] = member.macaroon.location
    return found


def _reading(reading: Reading) -> dict[str, object]:
    fields = asdict(reading)
    return {
        **{name: value for name, value in fields.items() if name != "narrowed"},
        "narrowed": bool(reading.narrowed),
        "signs_of_narrowing": reading.narrowed,
    }
