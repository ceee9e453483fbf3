"""What the name of a variable says about its value. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from typing import Final

from rotator.domain.posture.words import words


class NameSays(StrEnum):
    """What a name promises of its value."""

    SENSITIVE = "sensitive"
    MAYBE = "maybe"
    NOTHING = "nothing"
    HARMLESS = "harmless"
    PUBLIC = "public"


_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_PUBLIC_STARTS: Final = (
    "NEXT_PUBLIC_", "NUXT_PUBLIC_", "EXPO_PUBLIC_", "PUBLIC_", "VITE_", "REACT_APP_", "VUE_APP_",
    "GATSBY_", "STORYBOOK_", "NG_APP_",
)  # fmt: skip
_PUBLIC_PARTS: Final = words(
    """
    public publishable pubkey anon sitekey fingerprint thumbprint
    """
)

_SECRET_PARTS: Final = words(
    """
    password passwd passphrase passwort pwd secret secrets token tokens apikey apitoken
    credential credentials privatekey secretkey authkey accesskey dbpass dbpassword pgpassword
    mysqlpwd requirepass masterauth sshpass authtoken
    """
)
_SECRET_ENDS: Final = ("password", "passwd", "pwd", "passphrase", "secret", "apikey", "authtoken")
_SECRET_PAIRS: Final = frozenset(
    {
        ("api", "key"), ("private", "key"), ("secret", "key"), ("access", "key"), ("auth", "key"),
        ("encryption", "key"), ("signing", "key"), ("master", "key"), ("license", "key"),
        ("service", "key"), ("deploy", "key"), ("admin", "key"), ("jwt", "key"), ("app", "key"),
        ("session", "key"), ("cookie", "key"), ("hmac", "key"), ("aes", "key"), ("root", "key"),
        ("write", "key"), ("cipher", "key"), ("role", "key"), ("erlang", "cookie"),
        ("release", "cookie"), ("rails", "key"), ("decryption", "key"), ("hash", "salt"),
        ("db", "pass"), ("database", "pass"), ("smtp", "pass"), ("mail", "pass"),
        ("redis", "pass"), ("user", "pass"), ("postgres", "pass"), ("mysql", "pass"),
        ("admin", "pass"), ("basic", "auth"), ("webhook", "key"), ("storage", "key"),
        ("account", "key"), ("shared", "key"), ("sas", "key"),
    }
)  # fmt: skip
_MAYBE_PARTS: Final = words(
    """
    key keys auth salt pass pin seed cookie signature sig cert pem hash authorization bearer
    mnemonic keyring dek kek
    """
)
_HARMLESS_ENDS: Final = words(
    """
    ttl expiry expires expiration expire length len name names id ids sid file files path paths
    stdin url uri urls header headers issuer audience aud algorithm alg algo enabled enable disabled
    disable required require type types count limit max min timeout endpoint host hosts hostname
    port region regions version mode policy provider backend store rounds iterations cost prefix
    suffix scope scopes domain domains user username email dir directory folder bucket field
    param params lifetime rotation days seconds minutes hours hour day second minute ms size
    class module format dummy location role roles arn strategy encoding charset level env
    environment allowed locale lang language timezone tz driver adapter engine schema table
    group service manager cache debug flag feature interval bytes bits window grace attempts
    retries age duration sha sha256 digest checksum commit revision ref image tag mount usage
    budget quota per request requests command cmd
    script helper callback
    """
)
_OPEN_PARTS: Final = words(
    """
    sha sha1 sha256 sha512 md5 commit digest revision rev ref checksum integrity etag git build
    release image version id uuid guid fingerprint gpg pgp alphabet charset channel sheet document
    contract address wallet program mint cid npub style tenant client project space kit index pool
    playlist video pixel measurement site template form board chat guild asset
    """
)


def parts_of(name: str) -> tuple[str, ...]:
    """A name's words: DB_PASSWORD, dbPassword and db-password are db and password."""
    return tuple(part.lower() for part in _PARTS.findall(name))


_SWITCH_PARTS: Final = words("no not without disable disabled ignore skip allow forbid require")
"""Words of settings that turn something on or off: --disabled-password takes no password."""


def what_name_says(name: str) -> NameSays:
    """What to expect behind a name."""
    parts = parts_of(name)
    pairs = set(pairwise(parts))
    if name.upper().startswith(_PUBLIC_STARTS) or _PUBLIC_PARTS & set(parts):
        return NameSays.PUBLIC
    if ("site", "key") in pairs:
        return NameSays.PUBLIC
    if not parts:
        return NameSays.NOTHING
    strong = bool(_SECRET_PARTS & set(parts) or _SECRET_PAIRS & pairs) or parts[-1] == "pass"
    strong = strong or any(part.endswith(_SECRET_ENDS) for part in parts)
    if name.upper() in ("PWD", "OLDPWD"):
        return NameSays.HARMLESS
    if _last_word(parts) in _HARMLESS_ENDS or _SWITCH_PARTS & set(parts):
        return NameSays.HARMLESS
    if strong:
        return NameSays.SENSITIVE
    return NameSays.MAYBE if _MAYBE_PARTS & set(parts) else NameSays.NOTHING


def _last_word(parts: tuple[str, ...]) -> str:
    """The last word that is no number: TOKEN_TTL_2 ends with ttl."""
    named = [part for part in parts if not part.isdigit()]
    return named[-1] if named else ""


def names_a_hash(name: str) -> bool:
    """Whether a name is of something that looks random and is open: a commit, an address, an id."""
    return bool(_OPEN_PARTS & set(parts_of(name)))
