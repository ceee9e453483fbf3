"""Dice for texts of the alphabets that issuers use, and a value of each issuer's form.

Every value is made by dice of a fixed seed while the tests run: nothing in the repository looks
like a credential, and none of them ever was one.
"""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

NOW = datetime(2026, 1, 1, tzinfo=UTC)

_ALNUM = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Sample:
    """A value under a name; a command or script has the name ""."""

    name: str
    value: str


class Dice:
    """Random texts of the alphabets that issuers use."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def of(self, alphabet: str, length: int) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(length))

    def alnum(self, length: int) -> str:
        return self.of(_ALNUM, length)

    def hex(self, length: int) -> str:
        return self.of("0123456789abcdef", length)

    def word(self, length: int) -> str:
        return self.of(_ALNUM + "_-", length)

    def base64(self, size: int) -> str:
        return base64.b64encode(self.random.randbytes(size)).decode()

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self.random.randbytes(16), version=4))

    def password(self, length: int = 14) -> str:
        kinds = [string.ascii_lowercase, string.ascii_uppercase, string.digits, "!#%^*+"]
        text = [self.random.choice(kind) for kind in kinds] + list(self.alnum(length - 4))
        self.random.shuffle(text)
        return "".join(text)

    def jwt(self, **claims: object) -> str:
        parts = [{"alg": "HS256", "typ": "JWT"}, {"sub": self.hex(8), **claims}]
        head = [
            base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts
        ]
        return ".".join([*head, self.word(43)])

    def pem(self, kind: str, size: int = 200) -> str:
        body = self.base64(size)
        lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
        return f"-----BEGIN {kind}-----\n{lines}\n-----END {kind}-----\n"


def issued(dice: Dice) -> list[str]:
    """One value of each issuer's form."""
    d = dice
    return [
        "fm2" + "_" + d.base64(90),
        "FlyV1 " + "fm2" + "_" + d.base64(90) + "," + "fm2" + "_" + d.base64(60),
        "fm1r" + "_" + d.base64(60),
        "fo1" + "_" + d.word(43),
        "gh" + "p_" + d.alnum(36),
        "gh" + "s_" + d.alnum(36),
        "github" + "_pat_" + d.alnum(22) + "_" + d.alnum(59),
        "gl" + "pat-" + d.word(20),
        "xo" + "xb-" + d.of(string.digits, 12) + "-" + d.of(string.digits, 13) + "-" + d.alnum(24),
        "xo" + "xp-" + d.of(string.digits, 12) + "-" + d.alnum(32),
        "https://hooks."
        "slack.com/services/T" + d.alnum(8).upper() + "/B" + d.alnum(10) + "/" + d.alnum(24),
        "https://discord" + ".com/api/webhooks/" + d.of(string.digits, 18) + "/" + d.word(68),
        d.of("123456789", 10) + ":" + "AA" + d.word(33),
        "sk" + "_live_" + d.alnum(24),
        "sk" + "_test_" + d.alnum(24),
        "rk" + "_live_" + d.alnum(40),
        "wh" + "sec_" + d.alnum(32),
        "sk-" + "ant-api03-" + d.word(90),
        "sk-" + "proj-" + d.alnum(48),
        "sk-" + d.alnum(48),
        "SG" + "." + d.word(22) + "." + d.word(43),
        "np" + "m_" + d.alnum(36),
        "py" + "pi-" + d.word(90),
        "rubygems" + "_" + d.hex(48),
        "dckr" + "_pat_" + d.word(27),
        "AI" + "za" + d.word(35),
        "GOCS" + "PX-" + d.word(28),
        "dop" + "_v1_" + d.hex(64),
        "nfp" + "_" + d.alnum(36),
        "dp" + ".pt." + d.alnum(43),
        "hv" + "s." + d.word(90),
        d.alnum(14) + ".atlas" + "v1." + d.word(67),
        "shp" + "at_" + d.hex(32),
        "key-" + d.hex(32),
        d.hex(32) + "-us" + "12",
        "re" + "_" + d.alnum(8) + "_" + d.alnum(24),
        "lin" + "_api_" + d.alnum(40),
        "ntn" + "_" + d.alnum(46),
        "hf" + "_" + d.alnum(34),
        "r8" + "_" + d.alnum(37),
        "gsk" + "_" + d.alnum(52),
        "sbp" + "_" + d.hex(40),
        "tsec" + "_" + d.alnum(40),
        "tskey" + "-auth-" + d.alnum(17) + "-" + d.alnum(32),
        "NR" + "AK-" + d.of(string.ascii_uppercase + string.digits, 27),
        "glsa" + "_" + d.alnum(32) + "_" + d.hex(8),
        "sntry" + "s_" + d.base64(60),
        "dapi" + d.hex(32),
        "AGE-SECRET" + "-KEY-1" + d.of(string.ascii_uppercase + string.digits, 58),
        d.jwt(exp=4_000_000_000, role="service_role"),
        d.pem("RSA " + "PRIVATE KEY"),
        d.pem("OPENSSH " + "PRIVATE KEY"),
        d.pem("PRIVATE" + " KEY"),
    ]
