"""Secrets that rotator makes itself: session keys, signing keys, passwords between own apps."""

# ruff: noqa: ARG002 - the Kind protocol passes more than this kind needs
from __future__ import annotations

import base64
import difflib
import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rotator.domain.credential import CredentialSpec, Issued
from rotator.domain.errors import NeedsHuman, Refused
from rotator.domain.fields import Field, FieldType, Params, ParamValue, optional_text
from rotator.domain.ports import Entropy, Evidence, Minted, MintRequest
from rotator.domain.secret import Secret

DEFAULT_BYTES: Final = 32
MAX_BYTES: Final = 1024
MAX_LENGTH: Final = 4096
MIN_ENTROPY_BITS: Final = 96
"""Below this a value could be guessed by somebody who holds a hash of it."""

ALPHABETS: Final[Mapping[str, str]] = {
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": string.digits + "abcdef",
    "base64": string.ascii_letters + string.digits + "+/",
    "base64url": string.ascii_letters + string.digits + "-_",
    "ascii": "".join(chr(code) for code in range(33, 127)),
}
"""Named alphabets. Any other text of two or more characters is an alphabet itself."""

ENCODINGS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "hex": lambda raw: raw.hex(),
    "base64": lambda raw: base64.b64encode(raw).decode(),
    "base64url": lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
}
"""How random bytes become text. base64url is without padding, so it stands anywhere unquoted."""


@dataclass(frozen=True)
class _Recipe:
    """What a value is made of: `count` bytes in an encoding, or `count` characters."""

    count: int
    symbols: str
    encode: Callable[[bytes], str] | None
    prefix: str

    @property
    def bits(self) -> int:
        """Entropy, rounded down; the prefix adds none."""
        if self.encode is not None:
            return self.count * 8
        return math.floor(self.count * math.log2(len(self.symbols)))

    @property
    def length(self) -> int:
        """Characters of the value behind the prefix."""
        return len(self.encode(bytes(self.count))) if self.encode is not None else self.count

    def make(self, entropy: Entropy) -> str:
        """A fresh value. Each character is drawn uniformly, so none is likelier than another."""
        if self.encode is not None:
            return self.prefix + self.encode(entropy.token_bytes(self.count))
        drawn = (self.symbols[entropy.below(len(self.symbols))] for _ in range(self.count))
        return self.prefix + "".join(drawn)

    def fits(self, value: str) -> bool:
        """Whether a value has the prefix, the length and only characters of the recipe."""
        body = value.removeprefix(self.prefix)
        return (
            value.startswith(self.prefix)
            and len(body) == self.length
            and set(body) <= set(self.symbols)
        )


def _recipe(params: Params) -> _Recipe:
    prefix = optional_text(params, "prefix") or ""
    if "length" in params:
        alphabet = optional_text(params, "alphabet") or "alphanumeric"
        symbols = ALPHABETS.get(alphabet) or "".join(dict.fromkeys(alphabet))
        return _Recipe(_number(params["length"]), symbols, None, prefix)
    encoding = optional_text(params, "encoding") or "base64url"
    symbols = ALPHABETS[encoding] + ("=" if encoding == "base64" else "")
    count = _number(params.get("bytes", DEFAULT_BYTES))
    return _Recipe(count, symbols, ENCODINGS[encoding], prefix)


def _number(value: ParamValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{type(value).__name__} is not a whole number")
    return value


def _between(low: int, high: int) -> Callable[[ParamValue], str | None]:
    def check(value: ParamValue) -> str | None:
        return None if low <= _number(value) <= high else f"must be from {low} to {high}"

    return check


def _check_alphabet(value: ParamValue) -> str | None:
    alphabet = str(value)
    if alphabet in ALPHABETS:
        return None
    near = difflib.get_close_matches(alphabet.lower(), ALPHABETS, n=1, cutoff=0.75)
    if near:
        return f"is no known alphabet; did you mean {near[0]!r}?"
    if not _plain(alphabet):
        return "may hold printable ASCII characters only"
    if len(set(alphabet)) < 2:
        return "must name an alphabet, or hold at least two different characters"
    return None


def _check_encoding(value: ParamValue) -> str | None:
    return None if value in ENCODINGS else f"must be one of {', '.join(ENCODINGS)}"


def _check_prefix(value: ParamValue) -> str | None:
    prefix = str(value)
    if not _plain(prefix):
        return "may hold printable ASCII characters only"
    return None if len(prefix) <= 64 else "must be at most 64 characters"


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


class SecretKind:
    """A random value that rotator generates; no issuer knows it, only its targets do."""

    name = "secret"
    issuer_lists = False
    fields: tuple[Field, ...] = (
        Field(
            "bytes",
            FieldType.INTEGER,
            "32",
            check=_between(1, MAX_BYTES),
            about="random bytes, written as text by `encoding`; 32 unless `length` is given",
        ),
        Field(
            "length",
            FieldType.INTEGER,
            "40",
            check=_between(1, MAX_LENGTH),
            about="random characters of `alphabet`, instead of `bytes`",
        ),
        Field(
            "alphabet",
            FieldType.TEXT,
            '"alphanumeric"',
            check=_check_alphabet,
            about=f"with `length`: {', '.join(ALPHABETS)}, or the characters themselves",
        ),
        Field(
            "encoding",
            FieldType.TEXT,
            '"base64url"',
            check=_check_encoding,
            about=f"with `bytes`: {', '.join(ENCODINGS)}",
        ),
        Field(
            "prefix",
            FieldType.TEXT,
            '"sk_"',
            check=_check_prefix,
            about="fixed text before the random part; scanners find leaked values by it",
        ),
    )

    def check(self, params: Params) -> str | None:
        """Either bytes or length, each with its own companion, and enough entropy."""
        for declared in self.fields:
            if declared.check is not None and declared.name in params:
                problem = declared.check(params[declared.name])
                if problem is not None:
                    return f"{declared.name} {problem}"
        if "bytes" in params and "length" in params:
            return "give bytes or length, not both"
        if "alphabet" in params and "length" not in params:
            return "alphabet goes with length; with bytes, give an encoding"
        if "encoding" in params and "length" in params:
            return "encoding goes with bytes; with length, give an alphabet"
        bits = _recipe(params).bits
        if bits < MIN_ENTROPY_BITS:
            return (
                f"the value would have {bits} bits of randomness; "
                f"at least {MIN_ENTROPY_BITS} are needed"
            )
        return None

    def fits(self, spec: CredentialSpec, now: datetime) -> str | None:
        """Nothing beyond what each field checks."""
        return None

    def place(self, name: str, organization: str, params: Params) -> str:
        """`secret:{name}`: it lives nowhere but in rotator's inventory."""
        return f"secret:{name}"

    def issue_name(self, spec: CredentialSpec, rotation_id: str) -> str:
        """`{credential}-{rotation id}`."""
        return f"{spec.name}-{rotation_id}"

    def prepare(self, request: MintRequest, entropy: Entropy) -> Secret | None:
        """Make the value: it is sealed before anything else happens."""
        return Secret(_recipe(request.spec.params).make(entropy))

    async def mint(self, request: MintRequest, prepared: Secret | None) -> Minted:
        """Wrap the prepared value; there is no issuer to ask."""
        if prepared is None:
            raise NeedsHuman(
                f"the value generated for {request.spec.name} is not in the database",
                next_step="abort this rotation and start a new one",
            )
        return Minted(
            issued=Issued(ref=request.rotation_id, name=request.issue_name), value=prepared
        )

    async def locate(self, request: MintRequest) -> Sequence[Issued]:
        """Nothing: no issuer holds it, so none can be left behind."""
        return ()

    async def prove(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Evidence:
        """See that the value is what the manifest asks for. `Refused` if it is not."""
        recipe = _recipe(spec.params)
        if not recipe.fits(value.reveal()):
            raise Refused(
                f"the generated value of {spec.name} does not have the length and alphabet "
                "that the manifest asks for"
            )
        return Evidence(
            f"{recipe.bits} bits of randomness; length and alphabet are as the manifest asks",
            {"entropy_bits": str(recipe.bits)},
        )

    async def revoke(self, spec: CredentialSpec, issued: Issued) -> Evidence:
        """Nothing to revoke, and says so."""
        return Evidence("no issuer holds it: it is gone when no target shows it")

    async def disprove(
        self, spec: CredentialSpec, issued: Issued, value: Secret | None
    ) -> Evidence:
        """There is nobody to try it against, and the evidence says so."""
        return Evidence(
            "no issuer can refuse it: it ends where its consumers have taken up the new value"
        )

    async def holdings(self, spec: CredentialSpec) -> Sequence[Issued]:
        """Nothing: no issuer holds it."""
        return ()

    def render(self, spec: CredentialSpec, issued: Issued, value: Secret) -> Secret:
        """The value as it is."""
        return value

    def entropy_bits(self, params: Params) -> int | None:
        """Randomness of the generated value, rounded down."""
        return _recipe(params).bits

    def calls(self, spec: CredentialSpec) -> Mapping[str, tuple[str, ...]]:
        """No calls at all."""
        return {}
