"""Which names say that what stands under them is a value: `db_password`, `X-Hub-Signature-256`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST_NAME: Final = 120
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TELLING_ALONE: Final = """
secret token password passwd pwd passphrase passcode authorization cookie cookies dsn jwt otp
apikey privatekey secretkey accesskey authtoken apitoken accesstoken clientsecret credentials
passwords
"""
_TELLING_BEFORE_KEY: Final = """
private secret api access signing encryption session master ssh tls ssl deploy auth hmac shared
service account root wireguard wg webhook symmetric data decryption rotator
"""
_TELLING_BEFORE_SIGNATURE: Final = "hub webhook fly slack stripe gitlab github"
_ALONE: Final = frozenset(_TELLING_ALONE.split())
_BEFORE_KEY: Final = frozenset(_TELLING_BEFORE_KEY.split())
_BEFORE_SIGNATURE: Final = frozenset(_TELLING_BEFORE_SIGNATURE.split())
_PAIRS: Final = frozenset(
    {
        ("connection", "string"),
        ("connection", "uri"),
        ("lease", "nonce"),
        ("token", "header"),
        ("secret", "value"),
        ("token", "value"),
        ("gitlab", "token"),
        ("private", "pem"),
    }
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a field, header or variable of this name holds a value.

    Case, dashes, dots and camelCase don't matter: the last word decides, with the one before it
    where it alone says too little (`private_key` holds one, `public_key` and `key_id` don't).
    """
    if len(name) > LONGEST_NAME:
        return False
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _ALONE or (before, last) in _PAIRS:
        return True
    if last in {"key", "keys"}:
        return before in _BEFORE_KEY
    return last == "signature" and before in _BEFORE_SIGNATURE
