"""Values by what they look like: tokens of Fly and others, private keys, passwords in URLs, and
whatever stands behind a name that says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from rotator.domain.redaction.field_names import is_secret_name

Redact = Callable[[str], str]
MASK: Final = "[redacted]"
SHORTEST_NAMED: Final = 6
"""A named value that is shorter is no secret, or one that no text could be kept from."""

_TOKEN: Final = re.compile(r"(fo1_|fm1[ar]_|fm2_)[A-Za-z0-9/+_=%-]{8,}")
_SCHEME: Final = re.compile(r"(?i)\b(bearer|flyv1|basic)(\s+|%20)([A-Za-z0-9._~+/=-]{16,})")
_PEM: Final = re.compile(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)(?!\[redacted\])"
    r"(?:.{0,20000}?(-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"|[A-Za-z0-9+/=\s\\:,.()-]*)",
    re.DOTALL,
)
"""Without its end, as far as what stands there can be of a key: what comes behind has to stay."""
_PASSWORD_IN_URL: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{1,30}://[^/\s:@\"'<>]*:)(?!\d{1,5}[/?#])[^\s\"'<>]{1,2000}@"
)
_USER_IN_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,30}://)[^/\s:@\"'<>]{16,}@")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}")
SHORTEST_ISSUED: Final = 16
_KNOWN_ISSUERS: Final = """
ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- sk_live_ rk_live_ xoxb- xoxp- xoxa- xoxr- xoxs- xoxe-
whsec_ npm_ pypi- tskey-
"""
_ISSUERS: Final = tuple(_KNOWN_ISSUERS.split())
_ISSUED: Final = re.compile(rf"\b({'|'.join(_ISSUERS)})[A-Za-z0-9_+/=.-]{{12,}}")
_MACAROON_FIELD: Final = re.compile(
    r"([\"'](?:signature|tail|s64|s|rnd)[\"']\s*:\s*[\"'])[A-Za-z0-9+/_=-]{16,}"
)
_HEADER: Final = re.compile(
    r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*:\s*)([^\s\"'][^\r\n\"']*)"
)
_NAMED: Final = re.compile(
    r"(?<![A-Za-z0-9_.-])([A-Za-z][A-Za-z0-9_.-]{2,80})"
    r"((?:\\?[\"'])?\s{0,4}(?:=>|%3D|[:=])\s{0,4})"
    r"(\\?\"(?:[^\"\\\r\n]|\\.)*\"?|\\?'(?:[^'\\\r\n]|\\.)*'?|[^\s\"'&,;()<>{}\[\]]+)"
)
_PARTS_OF_NAMES: Final = """
passw pwd passphrase passcode secret token key authorization cookie signature credentials nonce dsn
jwt otp connection
"""
_TRIGGERS: Final = tuple(_PARTS_OF_NAMES.split())
_REFERENCE: Final = re.compile(
    r"(?:fly-secret|file|secret|token|wireguard-peer|certificate|machine|app|org):\S+"
    r"|0[0-7][0-9A-HJKMNP-TV-Z]{24}|[0-9a-f]{14}"
)
"""What rotator and Fly call things by: a target, an id (ULID), a machine."""
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-_ ./][A-Za-z]+)*[.!?:]?")
_NOT_A_VALUE: Final = ("$", "<", "[", "{", "(", "*", "…", "%s", "None", "null", "true", "false")


def without_values(text: str) -> str:
    """The text without what looks like a value. Short-circuits: a text without the beginnings of
    any form costs a few searches."""
    if len(text) < SHORTEST_NAMED:
        return text
    if "fm" in text or "fo1_" in text:
        text = _TOKEN.sub(rf"\1{MASK}", text)
    if "://" in text and "@" in text:
        text = _PASSWORD_IN_URL.sub(rf"\1{MASK}@", text)
        text = _USER_IN_URL.sub(rf"\1{MASK}@", text)
    if "-----BEGIN" in text:
        text = _PEM.sub(lambda found: f"{found[1]}{MASK}{found[2] or ''}", text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if len(text) >= SHORTEST_ISSUED and any(issuer in text for issuer in _ISSUERS):
        text = _ISSUED.sub(rf"\1{MASK}", text)
    if "caveats" in text or '"i64"' in text:
        text = _MACAROON_FIELD.sub(rf"\1{MASK}", text)
    if ":" in text or "=" in text or "%3D" in text or "earer" in text or "asic" in text:
        return _named_values(text)
    lowered = text.lower()
    return _SCHEME.sub(rf"\1\2{MASK}", text) if "flyv1" in lowered or "bearer" in lowered else text


def _named_values(text: str) -> str:
    lowered = text.lower()
    if "bearer" in lowered or "flyv1" in lowered or "basic" in lowered:
        text = _SCHEME.sub(rf"\1\2{MASK}", text)
    if not any(word in lowered for word in _TRIGGERS):
        return text
    if "authorization" in lowered or "cookie" in lowered:
        text = _HEADER.sub(_masked_header, text)
    return _NAMED.sub(_masked_named, text)


def _masked_header(found: re.Match[str]) -> str:
    value = found[3]
    return found[0] if MASK in value or len(value) < SHORTEST_NAMED else found[1] + found[2] + MASK


def _masked_named(found: re.Match[str]) -> str:
    name, between, value = found[1], found[2], found[3]
    if not is_secret_name(name):
        return found[0]
    quote, bare = _unquoted(value)
    strong = bool(quote) or ":" not in between
    if not strong and not between.endswith((" ", "\t")):
        return found[0]  # `secret:web/SESSION_KEY` names one
    if not is_value(bare, strong=strong):
        return found[0]
    return f"{name}{between}{quote}{MASK}{quote}"


def _unquoted(value: str) -> tuple[str, str]:
    for quote in ('\\"', "\\'", '"', "'"):
        if value.startswith(quote):
            return quote, value.removeprefix(quote).removesuffix(quote)
    return "", value


def is_value(text: str, *, strong: bool) -> bool:
    """Whether what stands behind a telling name can be its value: long enough, no placeholder, and,
    where the form is that of a sentence (`token: refused`), no word and no name of a thing."""
    if len(text) < SHORTEST_NAMED or MASK in text or text.startswith(_NOT_A_VALUE):
        return False
    return strong or not (_WORD.fullmatch(text) or _REFERENCE.fullmatch(text))
