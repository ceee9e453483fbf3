"""Finds secrets that stand in plain text: by issuer, by address, by name, by randomness. Pure.

Says what kind of secret it may be, how long, and where; never the value itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from rotator.domain.posture.randomness import is_hex, looks_random
from rotator.domain.posture.secret_forms import FORMS, SecretForm
from rotator.domain.posture.secret_names import (
    NameSays,
    names_a_hash,
    parts_of,
    what_name_says,
)
from rotator.domain.posture.secret_values import is_filler, is_harmless
from rotator.domain.posture.words import words
from rotator.domain.risk import Risk

MAX_SCANNED: Final = 64 * 1024
"""Characters of one value that are looked at."""
MAX_FOUND: Final = 100
"""Suspicions that one text can rouse."""
MAX_NAME: Final = 48
"""Characters of a setting's name in a text."""


class Evidence(StrEnum):
    """What a suspicion rests on."""

    ISSUER = "issuer"
    ADDRESS = "address"
    NAME = "name"
    RANDOMNESS = "randomness"


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A place that looks like a secret: [start, end) of the text. Holds no part of the value."""

    code: str
    words: str
    evidence: Evidence
    risk: Risk
    start: int
    end: int
    name: str = ""
    """The setting or option in a text that holds it, if there is one."""

    @property
    def label(self) -> str:
        """What tells it from others in the same text: its name, else its kind."""
        return self.name or self.code

    @property
    def length(self) -> int:
        """Characters of the value."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.words} ({self.length} characters)"


_ADDRESS: Final = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://(?P<user>[^\s/:@?#'\"]*)(?::(?P<password>[^\s/@'\"]+))?"
    r"@(?P<host>\[[0-9a-fA-F:]+\]|[^\s/:?#,'\"]+)"
)
_QUERY: Final = re.compile(r"[?&]([A-Za-z][A-Za-z0-9_.-]*)=([^&\s\"'#]+)")
_LOOPBACK: Final = re.compile(
    r"localhost|127\.\d+\.\d+\.\d+|\[?::1\]?|0\.0\.0\.0|example\.(?:com|org|net)"
)
_SERVER_SCHEMES: Final = words(
    "http https postgres postgresql ecto mysql mysql2 mariadb redis rediss mongodb amqp amqps nats"
)
_OPEN_USER: Final = re.compile(r"sentry|ingest|dsn|glitchtip", re.I)

_ASSIGNMENT: Final = re.compile(
    r"(?:^|(?<=[\s;&|(\"',]))(?P<name>[A-Za-z_][\w.-]*)=(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|\"',]+)",
    re.M,
)
_OPTION: Final = re.compile(
    r"(?<=\s)--?(?P<name>[A-Za-z][\w-]*)(?:=|\s+)(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|\"'-][^\s;&|\"']*)"
)
_PAIR: Final = re.compile(
    r"^[ \t-]*[\"']?(?P<name>[A-Za-z_][\w.-]*)[\"']?[ \t]*[:=][ \t]*"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'#][^\n#]*)",
    re.M,
)
_JSON_PAIR: Final = re.compile(
    r"\"(?P<name>[A-Za-z_][\w.-]*)\"\s*:\s*(?P<value>\"(?:[^\"\\]|\\.)*\")"
)
_NPM: Final = re.compile(r":(?P<name>_auth(?:Token)?)=(?P<value>[^\s\"'\\]+)")
_HEADER: Final = re.compile(
    r"(?<![\w-])(?P<name>(?i:[\w-]{0,40}(?:authorization|api-?key|token|secret)[\w-]{0,40}))"
    r"(?:\s*:\s+|=)(?P<value>(?:(?i:bearer|basic|token|apikey)\s+)?[^\s\"',;]+)"
)
_LOGIN: Final = re.compile(
    r"\b(?:curl|wget|http)\b[^\n;&|]{0,200}?\s(?:-u|--user)[= ]?[\"']?[^\s:\"']{1,80}:"
    r"(?P<value>[^\s\"']+)"
)
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|apikey|flyv1)\s+", re.I)
_IDENTIFIERS: Final = re.compile(
    r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:[\s,]+[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)*"
)
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z]+(?:[-_. ,:/][A-Za-z]+)*")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_PASSWORD_PARTS: Final = words(
    """
    password passwd passphrase pwd pass secret requirepass masterauth sshpass dbpassword dbpass
    pgpassword passwort mysqlpwd cookie
    """
)
_OBJECT_ID: Final = re.compile(
    r"(?:price|prod|cus|acct|sub|plan|pk|org|user|team|proj|prj|app|ws|env|dpl|bucket|site|ca|tid|"
    r"client|tenant|pub|G|UA|GTM|GT|AW|phc|price|evt|in|pi|seti|ch)[_-][A-Za-z0-9_-]+"
)


def suspicion(name: str, value: str, now: datetime) -> Suspicion | None:
    """What looks like a secret in the value of a named setting, the worst of several."""
    text = value[:MAX_SCANNED]
    found = [*_by_issuer(name, text, now), *_by_address(name, text)]
    if not found:
        named = _by_name(name, text)
        found = [named] if named is not None else list(_inside(name, text, now))
    return max(found, key=lambda s: s.risk, default=None)


def suspicions_in_text(text: str, now: datetime) -> tuple[Suspicion, ...]:
    """What looks like a secret in a command or a script, in the order of the text."""
    patterns = (_ASSIGNMENT, _OPTION, _HEADER, _NPM, _JSON_PAIR, _LOGIN)
    return _scanned(text[:MAX_SCANNED], patterns, now)


def suspicions_in_file(text: str, now: datetime) -> tuple[Suspicion, ...]:
    """What looks like a secret in the content of a file: also settings that stand on lines."""
    patterns = (_ASSIGNMENT, _PAIR, _HEADER, _NPM, _JSON_PAIR)
    return _scanned(text[:MAX_SCANNED], patterns, now)


def suspicions_in_comment(text: str, now: datetime) -> tuple[Suspicion, ...]:
    """What looks like a secret in a comment: a setting or a command that was taken out."""
    patterns = (_ASSIGNMENT, _PAIR, _OPTION, _HEADER, _NPM)
    return _scanned(text[:MAX_SCANNED], patterns, now)


def decoded(value: str) -> str | None:
    """The text that a value holds in Base64, if it does."""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (ValueError, binascii.Error):
        return None


def _scanned(
    text: str, patterns: tuple[re.Pattern[str], ...], now: datetime
) -> tuple[Suspicion, ...]:
    found = [*_by_issuer("", text, now), *_by_address("", text)]
    for pattern in patterns:
        for match in pattern.finditer(text):
            name = match["name"] if "name" in pattern.groupindex else "password"
            start, end = _unquoted(text, match.start("value"), match.end("value"))
            inner = _by_name(name, text[start:end])
            if pattern is _OPTION and inner is not None and inner.evidence is not Evidence.NAME:
                continue  # gpg --recv-keys takes a fingerprint.
            if inner is not None and len(found) < MAX_FOUND:
                found.append(_moved(inner, start, _open_name(match)))
    return tuple(_apart(found))


def _apart(found: list[Suspicion]) -> Iterator[Suspicion]:
    """Each stretch of the text once, by its surest evidence (they come in that order)."""
    kept: list[Suspicion] = []
    for each in found:
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    yield from sorted(kept, key=lambda s: s.start)


def _moved(found: Suspicion, by: int, name: str = "") -> Suspicion:
    return replace(found, start=found.start + by, end=found.end + by, name=name)


def _open_name(match: re.Match[str]) -> str:
    """The name of a setting, unless it may itself be a piece of a value."""
    name = match["name"] if "name" in match.re.groupindex else ""
    return "" if len(name) > MAX_NAME or looks_random(name) else name


def _unquoted(text: str, start: int, end: int) -> tuple[int, int]:
    if end - start >= 2 and text[start] in "\"'" and text[end - 1] == text[start]:
        return start + 1, end - 1
    while end > start and text[end - 1] in ", \t\r":
        end -= 1
    return start, end


def _by_issuer(name: str, text: str, now: datetime) -> Iterator[Suspicion]:
    public = what_name_says(name) is NameSays.PUBLIC
    is_id = bool(name) and parts_of(name)[-1:] in (("id",), ("sid",))
    for form in FORMS:
        if form.meant_for_browsers and public:
            continue
        if is_id and form.code in ("aws-access-key", "twilio-key"):
            continue
        for match in form.pattern.finditer(text):
            risk = _risk_of(form, match[0], text[match.start() :], now)
            if risk is not None:
                end = len(text) if form.code == "private-key" else match.end()
                yield Suspicion(form.code, form.words, Evidence.ISSUER, risk, match.start(), end)


def _risk_of(form: SecretForm, matched: str, rest: str, now: datetime) -> Risk | None:
    """How bad a match is; None where it only shows how one would look."""
    if form.code == "private-key":
        body = rest[len(matched) :]
        return None if len(body.strip()) < 40 or is_filler("", body[:60]) else form.risk
    if is_filler("", matched) or len(set(matched[-16:])) < 6:
        return None
    if form.code == "openai-key" and not any(char.isdigit() for char in matched):
        return None
    if form.code == "json-web-token":
        return _risk_of_token(matched, form.risk, now)
    return form.risk


def _risk_of_token(token: str, risk: Risk, now: datetime) -> Risk | None:
    """A token that has run out opens nothing any more; one for anonymous callers is open anyway."""
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return risk
    if not isinstance(claims, dict):
        return risk
    if claims.get("role") == "anon":
        return None
    expiry = claims.get("exp")
    ran_out = isinstance(expiry, int | float) and expiry < now.timestamp()
    return Risk.LOW if ran_out else risk


def _by_address(name: str, text: str) -> Iterator[Suspicion]:
    for match in _ADDRESS.finditer(text):
        if _LOOPBACK.fullmatch(match["host"]) or _is_of_compose(match):
            continue
        password, user = match["password"], match["user"]
        if password and not is_filler("", password):
            yield _address_secret(match, "password")
        open_user = _OPEN_USER.search(name) or _OPEN_USER.search(match["host"])
        if not password and not open_user and looks_random(user, 20):
            yield _address_secret(match, "user")
    if "://" in text:
        yield from _hook(name, text)
        for query in _QUERY.finditer(text):
            inner = _by_name(query[1], query[2])
            if inner is not None and inner.evidence is Evidence.NAME:
                yield _moved(inner, query.start(2))


def _hook(name: str, text: str) -> Iterator[Suspicion]:
    """The address of a hook is a secret itself: whoever has it may call it."""
    if not any(part.endswith(("hook", "hooks")) for part in parts_of(name)):
        return
    for segment in re.finditer(r"(?<=/)[^/?#\s]+", text):
        if looks_random(segment[0], 20) and not is_harmless(segment[0]):
            start, end = segment.span()
            what = "the address of a hook"
            yield Suspicion("hook-address", what, Evidence.ADDRESS, Risk.MEDIUM, start, end)
            return


def _is_of_compose(address: re.Match[str]) -> bool:
    """Whether the host is one word: no host on Fly, but one of docker compose and of examples."""
    scheme, host = address[0].partition("://")[0].lower(), address["host"]
    return scheme in _SERVER_SCHEMES and not re.search(r"[.:]", host)


def _address_secret(match: re.Match[str], group: str) -> Suspicion:
    what = "an address with a password" if group == "password" else "an address with a token"
    start, end = match.span(group)
    return Suspicion("address-password", what, Evidence.ADDRESS, Risk.CRITICAL, start, end)


def _by_name(name: str, text: str) -> Suspicion | None:
    says = what_name_says(name)
    value = text.strip()
    scheme = _SCHEME.match(value)
    if scheme is not None:
        value = value[scheme.end() :]
        says = NameSays.SENSITIVE if says is NameSays.MAYBE else says
    if says in (NameSays.PUBLIC, NameSays.HARMLESS) or is_filler(name, value):
        return None
    start = text.index(value)
    if says is NameSays.SENSITIVE and _fits_secret(name, value):
        return Suspicion(
            "named-secret",
            "what its name calls a secret",
            Evidence.NAME,
            Risk.HIGH,
            start,
            start + len(value),
        )
    if says is not NameSays.SENSITIVE and _fits_randomness(name, value, says):
        return Suspicion(
            "random-value",
            "a value as random as a key",
            Evidence.RANDOMNESS,
            Risk.MEDIUM,
            start,
            start + len(value),
        )
    return None


def _fits_secret(name: str, value: str) -> bool:
    """Whether a value can be what a name like DB_PASSWORD or API_TOKEN promises."""
    if _UUID.fullmatch(value):
        return True
    if "://" in value or value.startswith(("{", "[")) or _IDENTIFIERS.fullmatch(value):
        return False
    for_people = bool(_PASSWORD_PARTS & set(parts_of(name)))
    if for_people and value.isdigit():
        return len(value) >= 6
    if is_harmless(value) and not any(looks_random(part, 20) for part in re.split(r"[/:.]", value)):
        return looks_random(value, 24) and "." not in value
    if for_people:
        return len(value) >= 5
    return not _PLAIN_WORDS.fullmatch(value) or looks_random(value)


def _fits_randomness(name: str, value: str, says: NameSays) -> bool:
    """Whether a value is random enough to be a key, though its name does not say so."""
    if names_a_hash(name) or "://" in value:
        return False
    if says is NameSays.MAYBE and _UUID.fullmatch(value):
        return parts_of(name)[-1] == "key"
    if is_harmless(value) and not _hides_key(value):
        return False
    if says is NameSays.MAYBE:
        return all(looks_random(piece.strip()) for piece in value.split(","))
    return (
        not is_hex(value)
        and _OBJECT_ID.fullmatch(value) is None
        and re.fullmatch(r"[A-Za-z0-9+/=_-]+", value) is not None
        and looks_random(value, 24)
    )


def _hides_key(value: str) -> bool:
    """Whether what could be the path of an image is Base64 with a slash in it."""
    parts = value.split("/")
    return len(parts) > 1 and "." not in value and any(looks_random(part, 10) for part in parts)


def _inside(name: str, text: str, now: datetime) -> Iterator[Suspicion]:
    """Secrets in a value that itself holds settings: a connection string, a JSON document."""
    if what_name_says(name) is NameSays.PUBLIC or not ("=" in text or ":" in text):
        return
    if re.search(r"[;{\s]", text.strip()) or _ASSIGNMENT.match(text):
        yield from suspicions_in_text(text, now)
