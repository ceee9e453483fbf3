"""Which values are no secrets: what stands in for one, and what is open by itself. Pure."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from rotator.domain.posture.words import words

_REFERENCE: Final = re.compile(
    r"""
      \$[A-Za-z_][A-Za-z0-9_]* | \$\{[^}]*\} | \$\([^)]*\) | `[^`]*` | \{\{.*\}\} | <[^<>]*>
    | %[A-Za-z_]+% | \{[A-Za-z_]+\} | \[[A-Za-z\ _-]+\]
    """,
    re.X,
)
_FILLER_WORDS: Final = re.compile(
    r"""
      change[-_ ]?(?:me|this|it) | replace[-_ ]?(?:me|this|with)? | to[-_ ]?do\b | fix[-_ ]?me
    | your[-_ ] | insert[-_ ] | example | placeholder | dummy | fake | sample | redacted
    | not[-_ ]?(?:a[-_ ])?(?:real|secret) | set[-_ ](?:me|in|via|by|at|this) | fill[-_ ]?(?:me|in)
    | goes[-_ ]?here | lorem | insecure | unused | build[-_ ]?(?:only|time)
    | secrets?[-_ ](?:set|here) | do[-_ ]?not[-_ ]?use | x{4,} | \*{3,} | \.{3,}
    """,
    re.X | re.I,
)
_FILLER_VALUES: Final = words(
    """
    none null nil undefined true false yes no on off enabled disabled test testing secret
    pass passwd password token foo bar baz foobar xxx todo tbd n/a na unset empty default local dev
    development staging production prod ci build nothing required optional auto env vault hidden
    masked value string key apikey api_key mysecret mypassword mytoken my-secret supersecret
    bcrypt argon2 argon2id scrypt pbkdf2 sha256 hs256 rs256 es256 aes-256-gcm aes256 basic
    bearer jwt oauth oauth2 ldap saml oidc ssl tls md5 scram-sha-256 trust session cookie header
    inherit manual random generated rotating static
    """
)


def is_filler(name: str, value: str) -> bool:
    """Whether a value stands in for a secret, or says where it comes from."""
    text = value.strip().strip("\"'")
    lower = text.lower()
    if len(text) < 4 or lower in _FILLER_VALUES or _REFERENCE.fullmatch(text):
        return True
    if text.startswith(("$(", "`")):
        return True
    if lower.replace("-", "_") == name.lower().replace("-", "_"):
        return True
    if len(set(lower)) <= 2 or _is_run(lower):
        return True
    return bool(_FILLER_WORDS.search(text)) or bool(_REFERENCE.search(text) and "${" in text)


def _is_run(text: str) -> bool:
    """Whether it only counts up or down, or says one short thing again and again."""
    if len(text) < 6:
        return False
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    if steps <= {1} or steps <= {-1}:
        return len(text) >= 8
    return any(
        text == (text[:size] * len(text))[: len(text)]
        for size in (1, 2, 3, 4)
        if len(text) >= 3 * size
    )


_HARMLESS_VALUE: Final = re.compile(
    r"""
      -?[0-9]+(?:[.,][0-9]+)*(?:\s?(?:ms|s|m|h|d|w|kb|mb|gb|kib|mib|gib|%))?      # numbers
    | [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}                        # a UUID
    | 0x[0-9a-fA-F]{40} | bc1[a-z0-9]{25,60} | npub1[a-z0-9]{58} | Qm[1-9A-Za-z]{44}    # addresses
    | [0-7][0-9A-HJKMNP-TV-Z]{25}                                                 # a ULID
    | (?:sha(?:1|224|256|384|512):|md5:)[0-9a-fA-F]{32,128}                       # a digest
    | sha(?:256|384|512)-[A-Za-z0-9+/]{40,}=*                                     # an integrity
    | (?:\.{0,2}|~|[A-Za-z]:)?/[^\s:@?]*                                          # a path
    | [\w.-]+(?:/[\w.-]+)+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?                  # an image
    | [a-z]{3}(?:\s*,\s*[a-z]{3})+                                                # regions
    | (?:[\w-]+\.)+[A-Za-z]{2,24}(?::[0-9]{1,5})?                                 # a host
    | [^\s@]+@[\w.-]+\.[A-Za-z]{2,24}                                             # an address
    | v?[0-9]+(?:\.[0-9A-Za-z]+){1,3}(?:[-+][0-9A-Za-z.]+)?                       # a version
    | \d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)? # a time
    | (?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}                                  # an IPv6 address
    | ssh-(?:rsa|ed25519|dss)\s.*|ecdsa-sha2-\S+\s.*|age1[a-z0-9]{58}             # public keys
    | -----BEGIN\s(?:[A-Z0-9]+\s)*(?:PUBLIC\sKEY|CERTIFICATE)-----.*              # and certificates
    | arn:[a-z-]+:.*|urn:.*|data:[a-z]+/.*                                        # other names
    """,
    re.X | re.S,
)


def is_harmless(value: str) -> bool:
    """Whether a value is of a kind that is open by itself: a path, a version, a host, an id."""
    return _HARMLESS_VALUE.fullmatch(value.strip()) is not None
